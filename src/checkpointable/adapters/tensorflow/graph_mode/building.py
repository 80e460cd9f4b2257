"""Adds operations to a graph, independent of the scopes that the program has entered."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["building"]


@contextmanager
def building(graph: Any) -> Iterator[None]:
    """Enters a graph, outside the program's control dependencies, devices and name scopes."""
    try:
        with (
            graph.as_default(),
            graph.control_dependencies(None),
            graph.colocate_with(None, ignore_existing=True),
            graph.device(None),
            tf.compat.v1.name_scope("checkpointable/"),
        ):
            yield
    except RuntimeError as error:
        if type(error) is not RuntimeError or not graph.finalized:
            raise
        raise RuntimeError(
            "the graph is finalized, and has no operations that save or restore these objects: "
            "save and restore once before you finalize it (the restore need not be run)"
        ) from error
