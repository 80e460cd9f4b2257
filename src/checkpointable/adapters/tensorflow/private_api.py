"""The private names of TensorFlow and Keras that this package uses, all in one place.

The public interface of TensorFlow shows neither the dependencies of objects nor the restores that
wait for them, so the adapter reads both where `tf.train.Checkpoint` does.
`tests/tf/test_private_api.py` checks that each name exists in the installed version and behaves as
assumed. All were seen in the versions of `SEEN`.

Names are resolved when this module is imported. A name without a substitute is required: if
TensorFlow lacks it, the import raises an error that names it. Attributes of objects are in
`private_attributes.py`.
"""

from __future__ import annotations

from importlib import import_module
from operator import attrgetter
from typing import Any, NamedTuple

import tensorflow as tf

SEEN = ("2.16", "2.18", "2.21")


class PrivateName(NamedTuple):
    """A private name of a TensorFlow module.

    Attributes:
      path: its module below `tensorflow.python`, and its name there: `module:name`.
      use: the purpose for which this package uses it.
      missing: the effect if TensorFlow lacks it; "" if the name is required.
    """

    path: str
    use: str
    missing: str = ""


NAMES: list[PrivateName] = []


class Absent:
    """Stands for a class that the installed TensorFlow lacks: it has no instances."""


def required(path: str, use: str) -> Any:
    """Returns the object of TensorFlow at `path`.

    Raises:
      ImportError: TensorFlow has no such object.
    """
    NAMES.append(PrivateName(path, use))
    try:
        return _resolved(path)
    except (ImportError, AttributeError) as error:
        raise ImportError(
            f"TensorFlow {tf.__version__} has no tensorflow.python.{path}, which "
            f"checkpointable needs to {use}. TensorFlow {', '.join(SEEN)} have it: install one of "
            "these, or a checkpointable that knows this version"
        ) from error


def _optional(path: str, use: str, missing: str, substitute: Any) -> Any:
    """Returns the object of TensorFlow at `path`, or `substitute`."""
    NAMES.append(PrivateName(path, use, missing))
    try:
        return _resolved(path)
    except (ImportError, AttributeError):
        return substitute


def _resolved(path: str) -> Any:
    module, _, name = path.partition(":")
    return attrgetter(name)(import_module(f"tensorflow.python.{module}"))


# Objects that TensorFlow tracks.
Trackable = required("trackable.base:Trackable", "know the objects that TensorFlow tracks")
AutoTrackable = required(
    "trackable.autotrackable:AutoTrackable", "look through the attributes of a tf.Module"
)
TrackableDataStructure = required(
    "trackable.data_structures:TrackableDataStructure", "look through tracked lists and dicts"
)
TupleWrapper = required(
    "trackable.data_structures:_TupleWrapper", "walk tuples that hold objects of this library"
)
PythonState = required("trackable.python_state:PythonState", "save state as strings")
convert_to_trackable = required(
    "trackable.converter:convert_to_trackable", "see a dependency as TensorFlow wraps it"
)
get_full_name = required("checkpoint.util:get_full_name", "name variables as tf.train.Saver does")
# A restore of this package counts among TensorFlow's, so that the last of both wins (S24).
next_restore_number = required("framework.ops:uid", "order its restores among TensorFlow's")

# Objects that offer tensors or saveables.
get_registered_saver_name = required(
    "saved_model.registration:get_registered_saver_name", "refuse objects with a registered saver"
)
get_saveable_name = required(
    "checkpoint.saveable_compat:get_saveable_name", "name values as older checkpoints do"
)
offers_tensors = required(
    "training.saving.saveable_object_util:trackable_has_serialize_to_tensor",
    "tell objects that offer tensors from those that offer saveables",
)
saveables_of = required(
    "training.saving.saveable_object_util:saveable_objects_for_op",
    "read the contents of a saveable",
)
SaveableObject = required(
    "training.saving.saveable_object:SaveableObject", "find the tables of a graph"
)
SaveSpec = required("training.saving.saveable_object:SaveSpec", "read the tensors of a saveable")
OwnedIterator = _optional(
    "data.ops.iterator_ops:OwnedIterator",
    "know the state of an iterator without reading it",
    "any tf.data.Iterator counts as one",
    tf.data.Iterator,
)

# Variables.
BaseResourceVariable = required(
    "ops.resource_variable_ops:BaseResourceVariable", "read and assign variables"
)
RefVariable = _optional(
    "ops.ref_variable:RefVariable",
    "assign the variables of TensorFlow 1 graphs",
    "there are no such variables",
    Absent,
)
PartitionedVariable = _optional(
    "ops.variables:PartitionedVariable",
    "save partitioned variables as their parts",
    "there are no such variables",
    Absent,
)
MirroredVariable = _optional(
    "distribute.values:MirroredVariable",
    "save one copy of a mirrored variable, and assign all of them",
    "variables of a distribution strategy are refused",
    Absent,
)
DISTRIBUTED = tuple(
    _optional(path, "know variables with several copies", "there are no such variables", Absent)
    for path in (
        "distribute.values:DistributedVariable",
        "distribute.ps_values:AggregatingVariable",
        "distribute.ps_values:CachingVariable",
        "distribute.sharded_variable:ShardedVariableMixin",
    )
)

# Eager execution. The public functions take two to ten times as long.
EagerTensor = required("framework.ops:EagerTensor", "make a tensor of an array without a copy")
eager_mode = required("eager.context:eager_mode", "read eager objects while a graph is built")
eager_context = required("eager.context:context", "run an operation on many variables")
read_variable = _optional(
    "ops.gen_resource_variable_ops:read_variable_op",
    "read a variable without recording it on tapes",
    "tf.raw_ops reads it, more slowly",
    lambda handle, dtype: tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype),
)
assign_variable = _optional(
    "ops.gen_resource_variable_ops:assign_variable_op",
    "assign a variable without a copy",
    "tf.raw_ops assigns it, more slowly",
    lambda handle, value: tf.raw_ops.AssignVariableOp(resource=handle, value=value),
)
quick_execute = _optional(
    "eager.execute:quick_execute",
    "read and assign many variables in one operation",
    "variables are read and assigned one by one",
    None,
)

# Graphs, optimizers, functions.
get_session = _optional(
    "checkpoint.checkpoint:get_session",
    "find the session that is entered, or Keras's",
    "Keras's session must be given",
    tf.compat.v1.get_default_session,
)
slot_key = _optional(
    "training.optimizer:_var_key",
    "drop restores of a slot that a later one replaces",
    "such restores stay until the slot is made, and the last one wins",
    lambda _: None,
)
_conversion = _optional(
    "autograph.core:config",
    "run this library unconverted in a tf.function",
    "AutoGraph converts its code, which then runs more slowly",
    None,
)


def exempt_from_autograph(package: str) -> None:
    """Lets a `tf.function` call the code of `package` without converting it."""
    if _conversion is not None:
        rule = _conversion.DoNotConvert(package)
        _conversion.CONVERSION_RULES = (rule, *_conversion.CONVERSION_RULES)
