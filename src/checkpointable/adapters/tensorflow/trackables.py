"""Anything that TensorFlow tracks: its children, values, slots and names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorflow.python.checkpoint.util import get_full_name
from tensorflow.python.ops.ref_variable import RefVariable
from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable
from tensorflow.python.saved_model.registration import get_registered_saver_name
from tensorflow.python.trackable import converter
from tensorflow.python.trackable.autotrackable import AutoTrackable
from tensorflow.python.trackable.base import Trackable
from tensorflow.python.trackable.constants import VARIABLE_VALUE_KEY
from tensorflow.python.trackable.python_state import PYTHON_STATE, PythonState

from checkpointable.adapters.tensorflow import checkpointables_inside
from checkpointable.adapters.tensorflow.deferred import notes_of
from checkpointable.adapters.tensorflow.eager.distributed import (
    is_distributed,
    is_distributed_type,
    mirrored_value,
)
from checkpointable.adapters.tensorflow.eager.multi_tensor import eager_values
from checkpointable.adapters.tensorflow.eager.variables import PlannedValue, VariableValue
from checkpointable.adapters.tensorflow.graph_mode.values import (
    graph_of,
    initializer_value,
    values_in,
    variable_in_graph,
)
from checkpointable.adapters.tensorflow.overlooked import overlooked
from checkpointable.adapters.tensorflow.saveables import offered
from checkpointable.adapters.tensorflow.slots import OptimizerSlots
from checkpointable.graph.adapter import Adapter, RestoreNotes, Slots, resolve_pending
from checkpointable.graph.value import SplitValue, Value, ValueSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from checkpointable.graph.value import ValueFactory

__all__ = ["TrackableAdapter"]

_PLAIN_CHILDREN = Trackable._trackable_children


class TrackableAdapter(Adapter):
    """The objects of one class that TensorFlow tracks."""

    def __init__(self, cls: type) -> None:
        self._has_plain_children = cls._trackable_children is _PLAIN_CHILDREN  # type: ignore[attr-defined]
        self._may_hold_ours = checkpointables_inside.may_hold_ours(cls)
        self.may_overlook = issubclass(cls, AutoTrackable)
        self._is_variable = (
            issubclass(cls, BaseResourceVariable)
            and not is_distributed_type(cls)
            and cls._serialize_to_tensors is BaseResourceVariable._serialize_to_tensors  # type: ignore[attr-defined]
        )
        self._is_keras_variable = any(
            base.__module__ == "keras.src.backend.tensorflow.core" and base.__name__ == "Variable"
            for base in cls.__mro__
        )
        self._has_slots = "get_slot_names" in dir(cls)

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        if self._has_plain_children and not getattr(
            obj, "_self_unconditional_checkpoint_dependencies", None
        ):
            if not self._may_hold_ours:
                return ()
            found: Mapping[str, Any] = {}
        else:
            obj._maybe_initialize_trackable()
            found = obj._trackable_children()
        children = [(name, _as_trackable(ref, obj)) for name, ref in found.items()]
        if self._may_hold_ours:
            ours = [
                (name, child)
                for name, child in checkpointables_inside.ours_in(obj)
                if name not in found
            ]
            notes = notes_of(obj) if ours else None
            for name, child in ours:
                # TensorFlow does not tell when one of ours comes.
                if notes is not None and name in notes.pending:
                    resolve_pending(notes, name, child)
            children += ours
        return children

    def child(self, obj: Any, local_name: str) -> Any | None:
        obj._maybe_initialize_trackable()
        found = obj._lookup_dependency(local_name)
        if found is None and not self._has_plain_children:
            found = obj._trackable_children().get(local_name)
        if found is not None:
            return _as_trackable(found, obj)
        if self._may_hold_ours:
            for name, child in checkpointables_inside.ours_in(obj):
                if name == local_name:
                    return child
        return None

    def lookup(self, obj: Any) -> Callable[[str], Any | None]:
        obj._maybe_initialize_trackable()
        find = obj._lookup_dependency

        def child(local_name: str) -> Any | None:
            # As `child`, in fewer steps where it can be: asked for every item of a long list.
            found = find(local_name)
            return found if isinstance(found, Trackable) else self.child(obj, local_name)

        return child

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        if self._is_variable:
            in_graph = obj._in_graph_mode
            return {
                VARIABLE_VALUE_KEY: variable_in_graph(obj) if in_graph else VariableValue(obj, obj)
            }
        if isinstance(obj, PythonState):
            return {PYTHON_STATE: Value("string", (), obj.serialize, obj.deserialize)}
        if self._is_keras_variable:
            held = obj._value
            value = PlannedValue(obj) if held is None else _variable_value(held, obj)
            return {VARIABLE_VALUE_KEY: value}
        saver_name = get_registered_saver_name(obj)
        if saver_name:
            raise NotImplementedError(
                f"a {type(obj).__name__} is saved by the function {saver_name!r} that was "
                "registered for it, into files of its own, which is not supported"
            )
        if is_distributed(obj):
            return {VARIABLE_VALUE_KEY: mirrored_value(obj, obj)}
        if isinstance(obj, RefVariable):
            return {VARIABLE_VALUE_KEY: variable_in_graph(obj)}
        if not _offers(obj):
            return {}
        graph = graph_of(obj)
        return offered(obj, eager_values if graph is None else values_in(graph), SplitValue)

    def value_names(self, obj: Any) -> Iterable[str]:
        return (VARIABLE_VALUE_KEY,) if self._is_variable else super().value_names(obj)

    def overlooked(
        self, obj: Any, node_id: Callable[[Any], int | None]
    ) -> Iterable[tuple[str, str]]:
        return overlooked(obj, node_id)

    def notes(self, obj: Any) -> RestoreNotes:
        return notes_of(obj)

    def slots(self, obj: Any) -> Slots | None:
        return OptimizerSlots(obj) if self._has_slots else None

    def full_name(self, obj: Any) -> str:
        if self._is_variable and obj._save_slice_info is None:
            name: str = obj._shared_name
            return name
        return get_full_name(obj) or ""

    def initializable(self, obj: Any) -> ValueSpec | None:
        if self._is_variable or isinstance(obj, RefVariable):
            return None
        return initializer_value(obj)


def _as_trackable(ref: Any, parent: Any) -> Any:
    return ref if isinstance(ref, Trackable) else converter.convert_to_trackable(ref, parent=parent)


def _variable_value(variable: Any, trackable: Any) -> ValueSpec:
    if is_distributed(variable):
        return mirrored_value(variable, trackable)
    if variable._in_graph_mode:
        return variable_in_graph(variable)
    return VariableValue(variable, trackable)


def _offers(obj: Any) -> bool:
    """Whether an object says anything about values at all; most say nothing."""
    cls = type(obj)
    if (
        cls._serialize_to_tensors is not Trackable._serialize_to_tensors
        or cls._gather_saveables_for_checkpoint is not Trackable._gather_saveables_for_checkpoint
    ):
        return True
    # What was loaded from a SavedModel says it by itself, not by its class.
    own = getattr(obj, "__dict__", {})
    return "_serialize_to_tensors" in own or bool(own.get("_self_saveable_object_factories"))
