"""Where operations are added to a graph: apart from what the program is building."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorflow.python.framework import ops

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Building"]


class Building:
    """Enters a graph; what is built is under no condition and on no device of the program's."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._contexts = [
            graph.as_default(),
            graph.control_dependencies(None),
            graph.colocate_with(None, ignore_existing=True),
            graph.device(None),
        ]
        self._scope: Any = None

    def __enter__(self) -> None:
        for context in self._contexts:
            context.__enter__()
        self._scope = ops.name_scope_v1("checkpointable/")
        self._scope.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._scope.__exit__(kind, error, trace)
        for context in reversed(self._contexts):
            context.__exit__(kind, error, trace)
        if kind is RuntimeError and self._graph.finalized:
            raise RuntimeError(
                "the graph is finalized, and operations that save or restore these objects were "
                "not added to it before: save and restore once (restoring is recorded, and need "
                "not be run), then finalize it"
            ) from error
