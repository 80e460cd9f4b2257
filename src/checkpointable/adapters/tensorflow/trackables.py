"""The adapter of the objects that TensorFlow tracks: their children, values, slots and names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from checkpointable.adapters.tensorflow.private_api import (
    AutoTrackable,
    PythonState,
    RefVariable,
    Trackable,
    convert_to_trackable,
    get_full_name,
    get_registered_saver_name,
)
from checkpointable.adapters.tensorflow.private_attributes import (
    KERAS_VARIABLE,
    children_of,
    has_listed_children,
    has_listed_children_only,
    in_graph_mode,
    is_keras,
    is_stored_as_variable,
    keras_value,
    lookup_in,
    offers_values,
    prepare,
    shared_name,
    slice_info,
)
from checkpointable.adapters.tensorflow.saveables import values_of
from checkpointable.adapters.tensorflow.slots import OptimizerSlots
from checkpointable.graph.adapter import Adapter
from checkpointable.graph.paths import PYTHON_STATE, VARIABLE_VALUE
from checkpointable.graph.restore_notes import RestoreNotes, resolve_pending
from checkpointable.graph.slots import Slots
from checkpointable.graph.value import SplitValue, Value, ValueSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from checkpointable.graph.value import ValueFactory

__all__ = ["TrackableAdapter"]


class TrackableAdapter(Adapter):
    """The objects of one class that TensorFlow tracks."""

    def __init__(self, cls: type) -> None:
        self._has_listed_children_only = has_listed_children_only(cls)
        self._may_hold_ours = checkpointables_inside.may_hold_ours(cls)
        self.may_overlook = issubclass(cls, AutoTrackable)
        self._is_variable = is_stored_as_variable(cls) and not is_distributed_type(cls)
        self._is_keras_variable = is_keras(cls, KERAS_VARIABLE)
        self._has_slots = "get_slot_names" in dir(cls)

    def children(self, obj: Any) -> Iterable[tuple[str, Any]]:
        if self._has_listed_children_only and not has_listed_children(obj):
            if not self._may_hold_ours:
                return ()
            tracked: Mapping[str, Any] = {}
        else:
            prepare(obj)
            tracked = children_of(obj)
        children = [(name, _as_trackable(ref, obj)) for name, ref in tracked.items()]
        if self._may_hold_ours:
            ours = [
                (name, child)
                for name, child in checkpointables_inside.ours_in(obj)
                if name not in tracked
            ]
            notes = notes_of(obj) if ours else None
            for name, child in ours:
                # TensorFlow has no hook for new attributes that it does not track.
                if notes is not None and name in notes.pending:
                    resolve_pending(notes, name, child)
            children += ours
        return children

    def child(self, obj: Any, local_name: str) -> Any | None:
        prepare(obj)
        dependency = lookup_in(obj)(local_name)
        if dependency is None and not self._has_listed_children_only:
            dependency = children_of(obj).get(local_name)
        if dependency is not None:
            return _as_trackable(dependency, obj)
        if self._may_hold_ours:
            for name, child in checkpointables_inside.ours_in(obj):
                if name == local_name:
                    return child
        return None

    def lookup(self, obj: Any) -> Callable[[str], Any | None]:
        prepare(obj)
        find = lookup_in(obj)

        def child(local_name: str) -> Any | None:
            # Equivalent to `child` in fewer steps, because this runs for every item of a long list.
            dependency = find(local_name)
            return dependency if isinstance(dependency, Trackable) else self.child(obj, local_name)

        return child

    def values(self, obj: Any) -> Mapping[str, ValueSpec | ValueFactory]:
        if self._is_variable:
            if in_graph_mode(obj):
                return {VARIABLE_VALUE: variable_in_graph(obj)}
            return {VARIABLE_VALUE: VariableValue(obj, obj)}
        if isinstance(obj, PythonState):
            return {PYTHON_STATE: Value("string", (), obj.serialize, obj.deserialize)}
        if self._is_keras_variable:
            held = keras_value(obj)
            value = PlannedValue(obj) if held is None else _variable_value(held, obj)
            return {VARIABLE_VALUE: value}
        saver_name = get_registered_saver_name(obj)
        if saver_name:
            raise NotImplementedError(
                f"a {type(obj).__name__} is saved by the registered saver {saver_name!r}, which "
                "writes separate files. checkpointable does not support registered savers"
            )
        if is_distributed(obj):
            return {VARIABLE_VALUE: mirrored_value(obj, obj)}
        if isinstance(obj, RefVariable):
            return {VARIABLE_VALUE: variable_in_graph(obj)}
        if not offers_values(obj):
            return {}
        graph = graph_of(obj)
        return values_of(obj, eager_values if graph is None else values_in(graph), SplitValue)

    def value_names(self, obj: Any) -> Iterable[str]:
        return (VARIABLE_VALUE,) if self._is_variable else super().value_names(obj)

    def overlooked(
        self, obj: Any, node_id: Callable[[Any], int | None]
    ) -> Iterable[tuple[str, str]]:
        return overlooked(obj, node_id)

    def notes(self, obj: Any) -> RestoreNotes:
        return notes_of(obj)

    def slots(self, obj: Any) -> Slots | None:
        return OptimizerSlots(obj) if self._has_slots else None

    def full_name(self, obj: Any) -> str:
        if self._is_variable and slice_info(obj) is None:
            name: str = shared_name(obj)
            return name
        return get_full_name(obj) or ""

    def initializable(self, obj: Any) -> ValueSpec | None:
        if self._is_variable or isinstance(obj, RefVariable):
            return None
        return initializer_value(obj)


def _as_trackable(ref: Any, parent: Any) -> Any:
    return ref if isinstance(ref, Trackable) else convert_to_trackable(ref, parent=parent)


def _variable_value(variable: Any, trackable: Any) -> ValueSpec:
    if is_distributed(variable):
        return mirrored_value(variable, trackable)
    if in_graph_mode(variable):
        return variable_in_graph(variable)
    return VariableValue(variable, trackable)
