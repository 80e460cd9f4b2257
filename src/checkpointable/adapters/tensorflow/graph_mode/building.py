"""Where operations are added to a graph: apart from what the program is building."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tensorflow.python.framework import ops

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["building"]


@contextmanager
def building(graph: Any) -> Iterator[None]:
    """Enters a graph; what is built is under no condition and on no device of the program's."""
    try:
        with (
            graph.as_default(),
            graph.control_dependencies(None),
            graph.colocate_with(None, ignore_existing=True),
            graph.device(None),
            ops.name_scope_v1("checkpointable/"),
        ):
            yield
    except RuntimeError as error:
        if type(error) is not RuntimeError or not graph.finalized:
            raise
        raise RuntimeError(
            "the graph is finalized, and operations that save or restore these objects were "
            "not added to it before: save and restore once (restoring is recorded, and need "
            "not be run), then finalize it"
        ) from error
