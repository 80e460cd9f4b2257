"""Adapters of TensorFlow objects, eager and in graphs. Imported when the first object comes up.

From the bottom up; each line imports only from those above it (`tests/test_imports.py`):

    conversion.py               NumPy arrays <-> tensors
    variants.py                 opaque tensors (the state of a data iterator) as bytes
    deferred.py                 restore on create, by the hooks of TensorFlow
    saveables.py                objects that offer several tensors, or old saveables
    partitioned.py              partitioned variables and their parts
    eager/                      values of eager objects
        batched_variables.py        reads and assigns many variables in few operations
        variables.py                one variable
        distributed.py              variables with a copy on each replica
        multi_tensor.py             objects with several tensors
    graph_mode/                 values of TensorFlow 1 graphs
        building.py                 adds operations to a graph
        executor.py                 reads, restores and initializes in a session
        values.py                   variables and other objects of a graph
    keras_state.py              metrics and seed generators of Keras 3
    checkpointables_inside.py   objects of this library inside TensorFlow's
    slots.py                    slots of TensorFlow's optimizers
    overlooked.py               state that TensorFlow does not save
    trackables.py               the adapter of everything that TensorFlow tracks
    find.py                     type -> adapter

Behaviour follows TensorFlow 2.21, tensorflow/python/{checkpoint,trackable,training/saving},
which the tests compare with.
"""
