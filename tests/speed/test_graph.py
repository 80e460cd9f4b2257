"""The fast encoder and decoder of object graphs agree with protobuf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.graph import decoding_fast
from checkpointable.graph.decoding import decode_graph, decode_plainly
from checkpointable.graph.decoding_fast import decode_usual
from checkpointable.graph.encoding import encode_graph
from checkpointable.graph.message import graph_message_class
from checkpointable.graph.object_graph import Attribute, Child, Node, ObjectGraph, SlotVariable

names = st.text(max_size=3) | st.sampled_from(["v", "VARIABLE_VALUE", "é" * 60, "x" * 130])
ids = st.integers(0, 3) | st.sampled_from([127, 128, 16_383, 16_384, 2**21, 2**28])
keys = st.sampled_from(["k", "x" * 103, "x" * 104, "x" * 300, "é/.ATTRIBUTES/VARIABLE_VALUE", ""])
attributes = st.builds(Attribute, st.just("VARIABLE_VALUE") | names, st.just("") | names, keys)
nodes = st.builds(
    Node,
    st.lists(st.builds(Child, ids, names), max_size=3),
    st.lists(attributes, max_size=2),
    st.lists(st.builds(SlotVariable, ids, names, ids), max_size=2),
    st.none() | st.tuples(names, names),
    st.none() | st.booleans(),
)
# Variables without a global name, of all sizes around those that fit a byte; and almost such.
leaves = st.builds(
    lambda key, name, full_name, has_values: Node(
        [], [Attribute(name, full_name, key)], [], None, has_values
    ),
    st.integers(0, 110).map(lambda size: "k" * size) | keys,
    st.sampled_from(["VARIABLE_VALUE"] * 3 + ["VARIABLE_VALUF"]),
    st.sampled_from(["", "", "", "n"]),
    st.sampled_from([True, True, True, False, None]),
)
graphs = st.lists(nodes | leaves, min_size=1, max_size=6).map(ObjectGraph)


def plain(graph):
    return [
        (
            [tuple(child) for child in node.children],
            [tuple(attribute) for attribute in node.attributes],
            [tuple(slot) for slot in node.slot_variables],
            node.registered_saver,
            node.has_checkpoint_values,
        )
        for node in graph.nodes
    ]


def outcome(decode, data):
    try:
        return plain(decode(data, "ck"))
    except cp.CheckpointError as error:
        return type(error), str(error)


@given(graphs)
def test_a_graph_is_encoded_as_protobuf_does(graph):
    message = graph_message_class()()
    for node in graph.nodes:
        to = message.nodes.add()
        for child in node.children:
            to.children.add(**child._asdict())
        for attribute in node.attributes:
            to.attributes.add(**attribute._asdict())
        for slot in node.slot_variables:
            to.slot_variables.add(**slot._asdict())
        if node.registered_saver is not None:
            to.registered_saver.name, to.registered_saver.object_name = node.registered_saver
            to.registered_saver.SetInParent()
        if node.has_checkpoint_values is not None:
            to.has_checkpoint_values.SetInParent()
            to.has_checkpoint_values.value = node.has_checkpoint_values
    assert encode_graph(graph) == message.SerializeToString()


@given(graphs)
def test_a_graph_is_decoded_alike(graph):
    data = encode_graph(graph)
    assert outcome(decode_graph, data) == outcome(decode_plainly, data)


@given(graphs, st.data())
def test_a_damaged_graph_is_judged_alike(graph, draw):
    data = bytearray(encode_graph(graph))
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    damaged = bytes(data[: draw.draw(st.integers(0, len(data)))])
    assert outcome(decode_graph, damaged) == outcome(decode_plainly, damaged)


def changed(graph, draw):
    """The message of a graph with a few bytes changed, most of them little, and maybe cut."""
    data = bytearray(encode_graph(graph))
    for _ in range(draw.draw(st.integers(0, 2))):
        at = draw.draw(st.integers(0, len(data) - 1))
        data[at] = (data[at] + draw.draw(st.sampled_from([1, 255, 2, 0x80]))) % 256
    return bytes(data[: draw.draw(st.sampled_from([len(data), len(data) - 1, len(data) - 4]))])


@given(st.lists(leaves, min_size=1, max_size=4).map(ObjectGraph), st.data())
def test_variables_are_decoded_alike(graph, draw):
    data = changed(graph, draw)
    assert outcome(decode_graph, data) == outcome(decode_plainly, data)


@pytest.mark.parametrize("full_name", ["", "n", "n" * 40])
@pytest.mark.parametrize("size", [0, 1, 2, 63, 64, 67, 68, 98, 103, 104, 109, 110, 127, 128])
def test_variables_are_decoded_in_one_step(monkeypatch, size, full_name):
    """Those whose attribute's size fits a byte, and no others."""
    attribute = Attribute("VARIABLE_VALUE", full_name, "k" * size)
    graph = ObjectGraph([Node([], [attribute], [], None, True)])
    data = encode_graph(graph)
    monkeypatch.setattr(decoding_fast, "_node", lambda *_: pytest.fail("not in one step"))
    if size > 0 and 18 + size + (2 + len(full_name) if full_name else 0) < 0x80:
        assert plain(ObjectGraph(decode_usual(data))) == plain(graph)
    else:
        with pytest.raises(pytest.fail.Exception):
            decode_usual(data)


def test_what_is_written_is_of_the_usual_form():
    model = cp.Checkpoint(v=[cp.Variable(1.0, name="a"), cp.Variable(2.0)], state=cp.JSONState(a=1))
    optimizer = cp.Optimizer()
    optimizer.add_slot(model.v[0], "m", 0.0)
    root = cp.Checkpoint(model=model, optimizer=optimizer)
    from checkpointable.saving.saving import values_of_objects

    data = values_of_objects(root)[-1].read().item()
    found = decode_usual(data)
    assert plain(ObjectGraph(found)) == plain(decode_plainly(data, "ck"))


@pytest.mark.parametrize(
    "data", [b"", b"\x0a\x00", b"\x0a\x04\x0a\x02\x08\x07", b"\x0a\x02\x2a\x00"]
)
def test_small_graphs(data):
    assert outcome(decode_graph, data) == outcome(decode_plainly, data)
