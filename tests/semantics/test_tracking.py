"""What is tracked, under which name, and what is not."""

from __future__ import annotations

import collections
import copy
import pickle

import numpy as np
import pytest

import checkpointable as cp
from tests.semantics.helpers import Counter, Module, edges, keys, restore, save, variable


def names_of(obj):
    return [name for name, _ in obj._checkpoint_dependencies]


# S1
def test_what_takes_part_is_tracked_under_the_attributes_name():
    module = Module(v=variable(), child=Module(), state=Counter(), items=[], table={})
    assert names_of(module) == ["v", "child", "state", "items", "table"]
    assert module._lookup_dependency("v") is module.v
    assert module._lookup_dependency("nothing") is None
    assert [ref.name for ref in module._checkpoint_dependencies] == names_of(module)
    assert module._checkpoint_dependencies[0].ref is module.v


# S1
@pytest.mark.parametrize(
    "value",
    [1, 1.5, "text", b"bytes", None, True, np.arange(3), np.float32(1), {1}, object, (1, "a")],
    ids=repr,
)
def test_plain_values_and_arrays_are_not_tracked(tmp_path, value):
    module = Module(v=variable(), plain=value)
    assert names_of(module) == ["v"]
    assert module.plain is value
    assert keys(save(module, tmp_path / "c")) == ["v"]


# S1
def test_a_name_is_local(tmp_path):
    inner = Module(v=variable(1))
    root = Module(a=inner, b=Module(v=variable(2)), v=variable(3))
    assert keys(save(root, tmp_path / "whole")) == ["a/v", "b/v", "v"]
    assert keys(save(inner, tmp_path / "part")) == ["v"]


# S1
def test_class_attributes_and_properties_work_as_ever():
    class Layer(cp.Checkpointable):
        rate = 0.5

        @property
        def kernel(self):
            return self._kernel

        @kernel.setter
        def kernel(self, value):
            self._kernel = value

    layer = Layer()
    layer.kernel = variable(1)
    # As in TensorFlow: the property's name is tracked, and what it assigns to as well.
    assert names_of(layer) == ["kernel", "_kernel"]
    assert Layer.rate == layer.rate == 0.5
    with pytest.raises(AttributeError):
        _ = layer.missing


# S1
def test_an_attribute_that_refuses_is_not_tracked():
    class Layer(cp.Checkpointable):
        @property
        def fixed(self):
            return 1

    layer = Layer()
    with pytest.raises(AttributeError):
        layer.fixed = variable()
    assert names_of(layer) == []


# S2
def test_reassigning_replaces_the_dependency_in_its_place(tmp_path):
    module = Module(a=variable(1), b=variable(2))
    module.a = replacement = variable(3)
    assert names_of(module) == ["a", "b"]
    assert module._lookup_dependency("a") is replacement
    path = save(module, tmp_path / "c")
    module.a.assign(0)
    restore(module, path).assert_consumed()
    assert float(module.a) == 3


# S2
@pytest.mark.parametrize(
    "value",
    [None, 1, np.zeros(2), cp.NoDependency(variable())],
    ids=["none", "number", "array", "no dependency"],
)
def test_reassigning_something_untracked_removes_the_dependency(tmp_path, value):
    module = Module(a=variable(1), b=variable(2))
    module.a = value
    assert names_of(module) == ["b"]
    assert keys(save(module, tmp_path / "c")) == ["b"]


# S2
def test_deleting_removes_the_dependency(tmp_path):
    module = Module(a=variable(1), b=variable(2), n=3)
    del module.a
    del module.n
    assert names_of(module) == ["b"]
    with pytest.raises(AttributeError):
        del module.a
    module.a = variable(4)
    assert names_of(module) == ["b", "a"]


# S2
def test_track_checkpointable_adds_by_hand(tmp_path):
    module, kernel = Module(), variable(5)
    assert module._track_checkpointable(kernel, "kernel/0") is kernel
    assert not hasattr(module, "kernel/0")
    assert module._track_checkpointable(kernel, "kernel/0") is kernel  # again the same
    with pytest.raises(ValueError, match=r"'kernel/0' is already declared on this Module"):
        module._track_checkpointable(variable(), "kernel/0")
    other = variable(6)
    module._track_checkpointable(other, "kernel/0", overwrite=True)
    assert keys(save(module, tmp_path / "c")) == ["kernel.S0"]
    with pytest.raises(TypeError, match="'n': int is not checkpointable"):
        module._track_checkpointable(3, "n")
    with pytest.raises(TypeError, match="must be a str, not int"):
        module._track_checkpointable(variable(), 3)


# S2
def test_a_dependency_by_hand_outlives_an_attribute_of_its_name():
    module = Module()
    by_hand = module._track_checkpointable(variable(), "a")
    module.__dict__["a"] = "something else"
    del module.a
    assert module._lookup_dependency("a") is by_hand


# S4
def test_no_dependency_assigns_the_value_itself(tmp_path):
    teacher, items = Module(v=variable()), [variable()]
    root = Module(v=variable(), teacher=cp.NoDependency(teacher), items=cp.NoDependency(items))
    assert root.teacher is teacher
    assert root.items is items
    assert type(root.items) is list
    assert keys(save(root, tmp_path / "c")) == ["v"]
    assert repr(cp.NoDependency(3)) == "NoDependency(3)"


# S4
def test_no_dependency_within_containers_goes_by_position(tmp_path):
    v = variable()
    root = Module(
        items=[cp.NoDependency(v), v],
        table={"left_out": cp.NoDependency(v), "kept": v},
        pair=(v, cp.NoDependency(v)),
    )
    root.items.append(cp.NoDependency(Module(v=variable())))
    assert root.items[0] is v
    assert root.pair == (v, v)
    path = save(root, tmp_path / "c")
    assert edges(path) == [
        *((0, "items", 1), (0, "table", 2), (0, "pair", 3)),
        *((1, "1", 4), (2, "kept", 4), (3, "0", 4)),
    ]
    root.items[0] = v
    assert (1, "0", 4) in edges(save(root, tmp_path / "d"))


# S4
def test_saving_what_is_not_checkpointable_names_its_path(tmp_path):
    class Socket(cp.NotCheckpointable):
        pass

    root = Module(a=Module(items=[variable(), {"b.c": Socket()}]))
    with pytest.raises(NotImplementedError, match=r"a/items/1/b\.\.c: Socket is NotCheckpointable"):
        save(root, tmp_path / "c")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotImplementedError, match="the root: Socket"):
        save(Socket(), tmp_path / "c")
    root.a.items[1]["b.c"] = cp.NoDependency(Socket())
    assert keys(save(root, tmp_path / "c")) == ["a/items/0"]


# S4
def test_restoring_into_what_is_not_checkpointable_goes_on(tmp_path):
    path = save(Module(a=Module(v=variable(3))), tmp_path / "c")

    class Socket(cp.NotCheckpointable):
        pass

    root = Module(a=Module(v=variable()), socket=Socket())
    restore(root, path).assert_consumed()
    assert float(root.a.v) == 3


# S5
def test_init_need_not_be_called(tmp_path):
    class Layer(cp.Checkpointable):
        def __init__(self):
            self.v = variable(1)

    class Late(Layer):
        def __init__(self):
            self.w = variable(2)

    class Sgd(cp.Optimizer):
        def __init__(self, rate):
            self.rate = cp.Variable(rate)

    class Items(cp.List):
        def __init__(self):
            self.note = "none"

    late, sgd = Late(), Sgd(0.5)
    sgd.add_slot(late.w, "m", 0.0)
    bare = Late.__new__(Late)
    bare.x = variable(3)
    root = Module(late=late, sgd=sgd, bare=bare, items=Items())
    root.items.append(variable(4))
    assert keys(save(root, tmp_path / "c")) == [
        *("bare/x", "items/0", "late/w", "late/w/.OPTIMIZER_SLOT/sgd/m", "sgd/rate"),
    ]


# S1 S5
def test_copies_and_pickles_track_their_own_copies(tmp_path):
    module = Module(v=variable(1), items=[variable(2)])
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert names_of(copied) == ["v", "items"]
        assert copied._lookup_dependency("v") is copied.v
        assert copied.v is not module.v
        copied.v.assign(9)
        copied.extra = variable(3)
        path = save(copied, tmp_path / "c")
        assert keys(path) == ["extra", "items/0", "v"]
        restore(copied, path).assert_consumed()
    assert float(module.v) == 1
    assert names_of(module) == ["v", "items"]

    shallow = copy.copy(module)
    shallow.w = variable(4)
    assert names_of(shallow) == ["v", "items", "w"]
    assert names_of(module) == ["v", "items"]


# S6
def test_add_variable_creates_a_tracked_variable():
    module = Module()
    v = cp.add_variable(module, "v", shape=(2, 3))
    assert module._lookup_dependency("v") is v
    assert (v.shape, v.dtype, v.name) == ((2, 3), np.float32, "v")
    limit = np.sqrt(6 / 5)
    assert np.abs(v.numpy()).max() <= limit  # Glorot uniform
    assert len(np.unique(v.numpy())) == 6
    assert cp.add_variable(module, "i", shape=2, dtype="int64").numpy().tolist() == [0, 0]
    assert cp.add_variable(module, "s", shape=(1,), dtype="string").numpy().tolist() == [b""]
    assert cp.add_variable(module, "b", shape=(), dtype=bool).numpy() == np.False_
    assert cp.add_variable(module, "h", shape=(4,), dtype="bfloat16").dtype.name == "bfloat16"
    assert module._add_variable("w", shape=[1]).shape == (1,)
    assert [name for name, _ in module._checkpoint_dependencies] == ["v", "i", "s", "b", "h", "w"]


# S6
def test_add_variable_takes_a_value_or_a_callable():
    module, asked = Module(), []

    def ones(shape, dtype):
        asked.append((shape, dtype))
        return np.ones(shape, dtype)

    assert cp.add_variable(module, "a", initializer=[1, 2]).numpy().tolist() == [1.0, 2.0]
    assert cp.add_variable(module, "b", shape=(2,), initializer=ones).numpy().tolist() == [1, 1]
    assert asked == [((2,), np.dtype("float32"))]
    assert cp.add_variable(module, "c", dtype="int32", initializer=7).numpy() == 7


# S6
def test_add_variable_refuses_what_cannot_be_right():
    module = Module()
    with pytest.raises(ValueError, match=r"'v'.*do not specify shape"):
        cp.add_variable(module, "v", shape=(2,), initializer=[1.0, 2.0])
    assert module._lookup_dependency("v") is None
    cp.add_variable(module, "v", shape=(2,))
    with pytest.raises(ValueError, match=r"'v'.*already declared"):
        cp.add_variable(module, "v", shape=(2,))
    with pytest.raises(ValueError, match="shape or a constant initializer"):
        cp.add_variable(module, "w")
    with pytest.raises(ValueError, match=r"returned shape \(3,\), but should return \(2,\)"):
        cp.add_variable(module, "w", shape=(2,), initializer=lambda shape, dtype: np.zeros(3))


# S7
def test_a_value_of_its_own_may_write_to_several_variables(tmp_path):
    class Mirrored(cp.Checkpointable):
        def __init__(self):
            self.copies = cp.NoDependency([np.zeros(3), np.zeros(3)])
            self.writes = 0

        def _gather_saveables_for_checkpoint(self):
            def write(array):
                self.writes += 1
                for one in self.copies:
                    one[...] = array

            return {"MIRRORED": cp.Value("float64", (3,), lambda: self.copies[0], write)}

    source = Mirrored()
    source.copies[0][...] = [1, 2, 3]
    path = save(Module(m=source), tmp_path / "c")
    assert cp.list_variables(path)[1] == ("m/.ATTRIBUTES/MIRRORED", (3,))
    target = Mirrored()
    restore(Module(m=target), path).assert_consumed()
    assert [one.tolist() for one in target.copies] == [[1, 2, 3], [1, 2, 3]]
    assert target.writes == 1


# S7
def test_a_factory_is_told_its_key(tmp_path):
    class Named(cp.Checkpointable):
        def __init__(self):
            self.made = []
            self.array = np.arange(4.0)

        def _gather_saveables_for_checkpoint(self):
            def make(key):
                self.made.append(key)
                return cp.Value(
                    "float64", (4,), lambda: self.array, self.array.__init__, memory=self.array
                )

            return {"a/b": make}

    named = Named()
    path = save(Module(**{"x.y": named}), tmp_path / "c")
    assert named.made == ["x..y/.ATTRIBUTES/a/b"]
    named.array[...] = 0
    restore(Module(**{"x.y": named}), path).assert_consumed()
    assert named.array.tolist() == [0, 1, 2, 3]


# S7
def test_several_values_beside_dependencies(tmp_path):
    class Both(cp.Checkpointable):
        def __init__(self):
            self.v = variable(1)
            self.text, self.shapeless = b"t", np.arange(3)

        def _set(self, name):
            return lambda contents: setattr(self, name, contents)

        def _gather_saveables_for_checkpoint(self):
            return {
                "text": cp.Value("string", (), lambda: self.text, self._set("text")),
                "any": cp.Value("int64", None, lambda: self.shapeless, self._set("shapeless")),
            }

    path = save(Both(), tmp_path / "c")
    assert cp.list_variables(path) == [
        *(("/.ATTRIBUTES/any", (3,)), ("/.ATTRIBUTES/text", ())),
        *(("_CHECKPOINTABLE_OBJECT_GRAPH", ()), ("v/.ATTRIBUTES/VARIABLE_VALUE", ())),
    ]
    other = Both()
    other.text, other.shapeless = b"", np.zeros(9)
    restore(other, path).assert_consumed()
    assert other.text == b"t"
    assert other.shapeless.tolist() == [0, 1, 2]


# S8
def test_python_state_is_asked_at_every_save_and_handed_back(tmp_path):
    root = Module(counter=Counter(1))
    first = save(root, tmp_path / "c", 1)
    root.counter.count = 20
    second = save(root, tmp_path / "c", 2)
    assert keys(first) == ["counter"]
    assert cp.list_variables(first)[1] == ("counter/.ATTRIBUTES/py_state", ())
    with cp.load_checkpoint(second) as reader:
        assert reader.get_tensor("counter/.ATTRIBUTES/py_state") == b"20"
    restore(root, first).assert_consumed()
    assert root.counter.count == 1
    late = Module()
    restore(late, second)
    late.counter = Counter()
    assert late.counter.count == 20


# S8
def test_python_state_is_an_abstract_base():
    with pytest.raises(TypeError, match="abstract"):
        cp.PythonState()


# S3
def test_of_what_is_not_tracked_only_that_is_named_which_is_missing(tmp_path, caplog):
    class Loss(cp.Checkpointable):
        """Has nothing to be saved."""

    class Wrapper(cp.Checkpointable):
        def __init__(self, inner):
            self.inner = inner

    root = Module(v=variable())
    root.losses, root.views = {Loss()}, {Wrapper(root.v)}
    object.__setattr__(root, "loss", Wrapper(Loss()))  # as a frozen dataclass does it
    save(root, tmp_path / "c")
    assert not caplog.records
    root.queue = collections.deque([Wrapper(variable())])
    object.__setattr__(root, "late", Wrapper(variable()))
    save(root, tmp_path / "d")
    queue, late = [record.getMessage() for record in caplog.records]
    assert queue.startswith("queue is not saved: it is a deque, which is not tracked, and holds a")
    assert late.startswith("late is not saved: it is a Wrapper that was set without __setattr__")
