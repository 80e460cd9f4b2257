"""Object graphs made to mislead, in files whose checksums are right."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.bundle import DataType, ValueToWrite, write_bundle
from checkpointable.graph.message import graph_message_class
from checkpointable.graph.object_graph import Attribute, Child, Node, SlotVariable
from tests.damage.helpers import contents, program, restore, save

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
KEY = "a/.ATTRIBUTES/VARIABLE_VALUE"
VALUE = Attribute("VARIABLE_VALUE", "", KEY)


def write(directory, graph, *, dtype=DataType.DT_STRING, shape=(), more=()):
    """A checkpoint with these bytes for an object graph, and a value for the variable a."""
    array = np.empty(shape, dtype=object) if dtype == DataType.DT_STRING else graph
    if dtype == DataType.DT_STRING:
        array[...] = graph
    values_to_write = [
        ValueToWrite(GRAPH_KEY, dtype, shape, lambda: array),
        ValueToWrite(KEY, DataType.DT_INT8, (3,), lambda: np.full(3, 3, np.int8)),
        *more,
    ]
    prefix = str(Path(directory) / "c")
    write_bundle(prefix, values_to_write, durability="flush")
    return prefix


def refused(directory, graph, match, **keywords):
    prefix = write(directory, encode(graph), **keywords)
    root = program(5)
    with pytest.raises(cp.CheckpointCorruptError, match=match) as caught:
        restore(root, prefix)
    assert contents(root) == contents(program(5))
    assert prefix in str(caught.value)


def encode(graph):
    """By protobuf, which writes what our own writer would not: negative numbers, say."""
    if isinstance(graph, bytes):
        return graph
    message = graph_message_class()()
    for node in graph:
        target = message.nodes.add()
        for child in node.children:
            target.children.add(**child._asdict())
        for attribute in node.attributes:
            target.attributes.add(**attribute._asdict())
        for slot in node.slot_variables:
            target.slot_variables.add(**slot._asdict())
        if node.has_checkpoint_values is not None:
            target.has_checkpoint_values.SetInParent()
            target.has_checkpoint_values.value = node.has_checkpoint_values
    return message.SerializeToString()


def node(*children, slots=(), attributes=()):
    return Node(
        [Child(*child) for child in children],
        list(attributes),
        [SlotVariable(*slot) for slot in slots],
    )


LIES = {
    "a child past the end": ([node((1, "a"))], "node 0 refers to node 1, but there are 1"),
    "a child far past the end": ([node((2**31 - 1, "a"))], "refers to node 2147483647"),
    "a negative child": ([node((-1, "a"))], "refers to node -1"),
    "the most negative child": ([node((-(2**31), "a"))], "refers to node -2147483648"),
    "a slot's variable past the end": ([node(slots=[(7, "m", 0)])], "refers to node 7"),
    "a slot past the end": ([node(slots=[(0, "m", 9)])], "refers to node 9"),
    "a negative slot": ([node(slots=[(0, "m", -3)])], "refers to node -3"),
    "two dependencies of one name": (
        [node((1, "a"), (2, "a")), node(attributes=[VALUE]), node()],
        "node 0 has two dependencies named 'a'",
    ),
    "two values of one name": (
        [node((1, "a")), node(attributes=[VALUE, VALUE])],
        "node 1 has two values named 'VARIABLE_VALUE'",
    ),
    "two slots of one name": (
        [node((1, "a"), slots=[(1, "m", 2), (1, "m", 3)]), node(), node(), node()],
        "two slots named",
    ),
    "no node": (b"", "has no root node"),
    "a key that is not there": (
        [node((1, "a")), node(attributes=[Attribute("VARIABLE_VALUE", "", "b/c")])],
        "names this key.*no such entry",
    ),
    "an empty key": (
        [node((1, "a")), node(attributes=[Attribute("VARIABLE_VALUE", "", "")])],
        "names this key.*no such entry",
    ),
    "a name that is no UTF-8": (b"\n\x09\x0a\x07\x08\x00\x12\x03\xff\xfea", "does not parse"),
    "a node that runs over the end": (
        b"\n\x7f\x00",
        "field of 127 bytes where 1 are left, after 0 nodes, at byte 0 of 3",
    ),
    "a length of ten bytes": (
        b"\n" + b"\xff" * 9 + b"\x01",
        "field of 18446744073709551615 bytes where 0 are left",
    ),
    "a number that never ends": (b"\n" + b"\xff" * 20, "a varint of more than 10 bytes"),
    "an unknown wire type": (b"\n\x00\x0f", "wire type 7, after 1 nodes, at byte 2"),
    "a group": (b"\n\x00\x0b\x0c", "wire type 3"),
    "a field cut short": (
        b"\n\x00\x11\x00",
        "field of 8 bytes where 1 are left, after 1 nodes, at byte 2",
    ),
    "something else": (b"PK\x03\x04 is no graph", "object graph: "),
}


# S12 S33
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused(tmp_path, lie):
    refused(tmp_path, *LIES[lie])


ENTRIES = {
    "integers": (np.arange(3, dtype=np.int32), DataType.DT_INT32, (3,)),
    "a number": (np.array(1.5, np.float32), DataType.DT_FLOAT, ()),
    "bytes as integers": (np.arange(9, dtype=np.uint8), DataType.DT_UINT8, (9,)),
    "several strings": (b"\n\x00", DataType.DT_STRING, (2,)),
    "no string": (b"", DataType.DT_STRING, (0,)),
}


# S12 S33
@pytest.mark.parametrize("entry", ENTRIES)
def test_the_graphs_entry_is_no_string(tmp_path, entry):
    contents_, dtype, shape = ENTRIES[entry]
    prefix = write(tmp_path, contents_, dtype=dtype, shape=shape)
    root = program(5)
    for call in (lambda: restore(root, prefix), lambda: cp.object_metadata(prefix)):
        with pytest.raises(cp.CheckpointCorruptError, match="graph should be a scalar string"):
            call()
    assert contents(root) == contents(program(5))


ODD_BUT_HARMLESS = {
    "self edges": [node((0, "me"), (1, "a")), node((1, "me"), attributes=[VALUE])],
    "a cycle": [node((1, "b"), (2, "a")), node((0, "up")), node((1, "x"), attributes=[VALUE])],
    "nodes that nothing reaches": [
        node((3, "a")),
        node((2, "x")),
        node(),
        node(attributes=[VALUE]),
    ],
    "two nodes of one key": [
        node((1, "a"), (2, "z")),
        node(attributes=[VALUE]),
        node(attributes=[VALUE]),
    ],
    "a slot of itself": [
        node((1, "a"), (2, "opt")),
        node(attributes=[VALUE]),
        node(slots=[(2, "m", 2)]),
    ],
    "a slot that is its variable": [
        node((1, "a"), (2, "opt")),
        node(attributes=[VALUE]),
        node(slots=[(1, "q", 1)]),
    ],
    "a slot that is the root": [
        node((1, "a"), (2, "opt")),
        node(attributes=[VALUE]),
        node(slots=[(1, "q", 0)]),
    ],
    "a slot of two variables": [
        node((1, "a"), (2, "opt"), (3, "b")),
        node(attributes=[VALUE]),
        node(slots=[(1, "q", 4), (3, "q", 4)]),
        node(),
        node(),
    ],
    "slots of slots": [
        node((1, "a"), (2, "opt")),
        node(attributes=[VALUE]),
        node(slots=[(1, "q", 3), (3, "q", 4), (4, "q", 3)]),
        node(),
        node(),
    ],
    "empty names": [node((1, ""), (2, "a")), node((1, "")), node(attributes=[VALUE])],
}


# S12 S19: what TensorFlow would never write, but what has a meaning
@pytest.mark.parametrize("shape", ODD_BUT_HARMLESS)
def test_an_odd_graph_restores_what_matches(tmp_path, shape):
    prefix = write(tmp_path, encode(ODD_BUT_HARMLESS[shape]))
    root = program(5)
    status = restore(root, prefix).expect_partial()
    assert root.a.numpy().tolist() == [3, 3, 3]
    for check in (status.assert_consumed, status.assert_existing_objects_matched):
        with pytest.raises(AssertionError):
            check()
    late = cp.Checkpointable()
    late_status = restore(late, prefix).expect_partial()
    late.opt, late.a = cp.Optimizer(), cp.Variable(np.zeros(3, np.int8))
    assert late.a.numpy().tolist() == [3, 3, 3]
    late_status.report()
    cp.CheckpointableSaver(root).plan(prefix)


# S12: fields that a newer writer added
def test_unknown_fields_do_no_harm(tmp_path):
    plain = encode([node((1, "a")), node(attributes=[VALUE])])
    extra = plain + b"\x9a\x06\x03abc" + b"\xa0\x06\x05" + b"\xad\x06\x01\x02\x03\x04"
    message = graph_message_class().FromString(plain)
    message.nodes[0].MergeFromString(b"\x9a\x06\x03abc")
    for data in (extra, message.SerializeToString()):
        root = program(5)
        restore(root, write(tmp_path, data)).expect_partial()
        assert root.a.numpy().tolist() == [3, 3, 3]


# S25: an attribute of another kind than the object's
@pytest.mark.parametrize(("place", "name"), [("state", "py_state"), ("b", "VARIABLE_VALUE")])
def test_a_value_of_the_wrong_kind(tmp_path, place, name):
    attribute = Attribute(name, "", KEY)
    prefix = write(tmp_path, encode([node((1, place)), node(attributes=[attribute])]))
    root = program(5)
    with pytest.raises(cp.CheckpointMismatchError, match=f"{place}: dtype int8 in the checkpoint"):
        restore(root, prefix)
    assert contents(root) == contents(program(5))


# S25: the graph's own entry as a value
def test_a_value_whose_key_is_the_graphs(tmp_path):
    attribute = Attribute("VARIABLE_VALUE", "", GRAPH_KEY)
    prefix = write(tmp_path, encode([node((1, "a")), node(attributes=[attribute])]))
    root = program(5)
    with pytest.raises(cp.CheckpointMismatchError, match="dtype string in the checkpoint"):
        restore(root, prefix)
    assert contents(root) == contents(program(5))


# S25: Python state that the state itself refuses
def test_a_state_that_is_not_what_it_was(tmp_path):
    attribute = Attribute("py_state", "", "state/.ATTRIBUTES/py_state")
    text = np.array(b"no number", dtype=object)
    value_to_write = ValueToWrite(attribute.checkpoint_key, DataType.DT_STRING, (), lambda: text)
    graph = encode(
        [node((1, "a"), (2, "state")), node(attributes=[VALUE]), node(attributes=[attribute])]
    )
    prefix = write(tmp_path, graph, more=[value_to_write])
    root = program(5)
    with pytest.raises(ValueError, match="invalid literal"):  # the object's own error
        restore(root, prefix)
    assert root.a.numpy().tolist() == [5, 5, 5]


def outcome(prefix, *, late=True):
    """Restores into a program that exists, and maybe into one that comes later; any outcome is
    right that is a status, or an error of the tree that changed nothing.
    """
    root = program(5)
    try:
        status = restore(root, prefix).expect_partial()
    except cp.CheckpointError:
        assert contents(root) == contents(program(5))
        return False
    for check in (status.assert_consumed, status.assert_nontrivial_match):
        try:
            check()
        except AssertionError:
            continue
    if late:
        status.report()
        _build_later(prefix)
    return True


def _build_later(prefix):
    root = cp.Checkpointable()
    restore(root, prefix).expect_partial()
    try:
        root.opt, root.items, root.b = cp.Optimizer(), [], cp.Variable(np.zeros((2, 2)))
        root.items.append(cp.Variable([b""] * 3))
        root.a = cp.Variable(np.zeros(3, np.int8))
    except cp.CheckpointError:
        pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The values of a real checkpoint, without its graph."""
    root = program(3)
    del root.b, root.items
    prefix = save(root, tmp_path_factory.mktemp("whole") / "c")
    with cp.load_checkpoint(prefix) as reader:
        arrays = {key: np.asarray(reader.get_tensor(key)) for key in reader.keys()}
        dtypes = {key: reader.entry(key).dtype for key in reader.keys()}
    graph = arrays.pop(GRAPH_KEY).item()
    values_to_write = [
        ValueToWrite(key, dtypes[key], array.shape, lambda array=array: array)
        if array.dtype.kind != "S"
        else ValueToWrite(key, dtypes[key], (), lambda array=array: array.astype(object))
        for key, array in arrays.items()
    ]
    return graph, values_to_write


def with_graph(directory, graph, values_to_write):
    array = np.array(graph, dtype=object)
    value_to_write = ValueToWrite(GRAPH_KEY, DataType.DT_STRING, (), lambda: array)
    write_bundle(f"{directory}/c", [value_to_write, *values_to_write], durability="flush")
    return f"{directory}/c"


# S12 S33: every bit of a graph's message, under a checksum that is right
@pytest.mark.parametrize("part", range(4))
def test_every_bit_of_a_graph(tmp_path, whole, part):
    graph, values_to_write = whole
    outcomes = set()
    for position, bit in itertools.product(range(part, len(graph), 4), range(8)):
        changed = bytearray(graph)
        changed[position] ^= 1 << bit
        prefix = with_graph(tmp_path, bytes(changed), values_to_write)
        outcomes.add(outcome(prefix, late=bit == 0))
    assert outcomes == {False, True}


# S12 S33
def test_every_length_of_a_graph(tmp_path, whole):
    graph, values_to_write = whole
    for length in range(len(graph)):
        outcome(with_graph(tmp_path, graph[:length], values_to_write))


@st.composite
def graphs(draw):
    """Graphs of the right form whose numbers and names are anything."""
    count = draw(st.integers(1, 6))
    ids = st.integers(0, count - 1) | st.integers(-2, 9)
    names = st.sampled_from(
        ["a", "b", "items", "0", "1", "opt", "state", "", "m", "VARIABLE_VALUE"]
    )
    keys = st.sampled_from([KEY, "b/.ATTRIBUTES/VARIABLE_VALUE", "state/.ATTRIBUTES/py_state", "x"])
    attributes = st.builds(Attribute, st.sampled_from(["VARIABLE_VALUE", "py_state"]), names, keys)
    return [
        Node(
            draw(st.lists(st.builds(Child, ids, names), max_size=4)),
            draw(st.lists(attributes, max_size=2)),
            draw(st.lists(st.builds(SlotVariable, ids, names, ids), max_size=2)),
            has_checkpoint_values=draw(st.sampled_from([None, False, True])),
        )
        for _ in range(count)
    ]


# S12 S33
def test_any_graph_of_the_right_form(whole):
    _, values_to_write = whole

    @seed(0)
    @settings(
        max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(graphs())
    def run(graph):
        with tempfile.TemporaryDirectory() as directory:
            outcome(with_graph(directory, encode(graph), values_to_write))

    run()


# S12 S33
def test_any_bytes_for_a_graph(whole):
    _, values_to_write = whole

    @seed(0)
    @settings(
        max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.binary(max_size=60) | st.lists(st.binary(max_size=8)).map(b"\n\x08".join))
    def run(graph):
        with tempfile.TemporaryDirectory() as directory:
            outcome(with_graph(directory, graph, values_to_write))

    run()
