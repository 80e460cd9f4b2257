"""TensorFlow's own objects, eager and in graphs; imported when one of them first comes up.

    find.py         which types are TensorFlow's
    trackables.py   children, values, slots and names of anything that TensorFlow tracks
    mixed.py        objects of this library inside TensorFlow's
    deferred.py     restore on create, by TensorFlow's own hooks
    slots.py        the slots of TensorFlow's optimizers
    keras_state.py  metrics and seed generators of Keras 3
    overlooked.py   state that they hold and do not show
    variables.py    eager variables
    many.py         many of these, read and assigned in few steps
    distributed.py  variables with a copy on each replica
    partitioned.py  variables that are parts of a larger one
    tensors.py      objects with several values; old saveables
    variants.py     opaque tensors (the state of a data iterator) as bytes
    building.py     where operations are added to a graph
    executor.py     what acts for values of a graph
    in_graph.py     variables of a graph

Source of what is done here, and the oracle of the tests: TensorFlow 2.21, tensorflow/python/
{checkpoint,trackable,training/saving}.
"""
