"""Random programs and random renames: while reading or in the files, it comes to the same."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import checkpointable as cp
from checkpointable.bundle import BundleReader
from checkpointable.graph.object_graph import NodePaths, ObjectGraph
from checkpointable.graph.paths import escape
from checkpointable.maintenance.rename import rename_checkpoint

NAMES = st.sampled_from(["a", "b", "ab", "0", "1", "x.y", "x/y"])
SEGMENTS = st.one_of(NAMES.map(escape), st.sampled_from(["c", "d"]))
SLOT_NAMES = ["m", "v"]


class Part(cp.Checkpointable):
    pass


@dataclass
class Program:
    """Objects by number; 0 is the root."""

    objects: list = field(default_factory=list)

    def variables(self):
        return [o for o in self.objects if isinstance(o, cp.Variable)]

    def slots(self):
        """(optimizer, variable, slot) of all slots that there are, by number."""
        return {
            (i, j, name): slot
            for i, o in enumerate(self.objects)
            if isinstance(o, cp.Optimizer)
            for j, variable in enumerate(self.variables())
            for name in SLOT_NAMES
            if (slot := o.get_slot(variable, name)) is not None
        }


@st.composite
def programs(draw):
    kinds = draw(st.lists(st.sampled_from("ppvvo"), min_size=1, max_size=7))
    program = Program([Part()])
    for number, kind in enumerate(kinds):
        made = {"p": Part, "o": cp.Optimizer}.get(kind, lambda number=number: cp.Variable(number))
        program.objects.append(made())
    inner = [o for o in program.objects if not isinstance(o, cp.Variable)]
    for obj in program.objects[1:]:
        # From one that was made before it, so that all are reached; then any others.
        before = inner[: max(1, inner.index(obj) if obj in inner else len(inner))]
        connect(draw(st.sampled_from(before)), draw(NAMES), obj)
    for _ in range(draw(st.integers(0, 4))):
        connect(draw(st.sampled_from(inner)), draw(NAMES), draw(st.sampled_from(program.objects)))
    for optimizer in program.objects:
        if isinstance(optimizer, cp.Optimizer):
            for number, variable in enumerate(program.variables()):
                if draw(st.booleans()):
                    optimizer.add_slot(variable, draw(st.sampled_from(SLOT_NAMES)), 100 + number)
    return program


def connect(parent, name, child):
    if parent._lookup_dependency(name) is None:
        parent._track_checkpointable(child, name)


def walk_names(draw, graph):
    """A path of the graph, perhaps not the one that names its end."""
    node_id, segments = 0, []
    for _ in range(draw(st.integers(1, 3))):
        children = graph.nodes[node_id].children
        if not children:
            break
        node_id, name = draw(st.sampled_from(list(children)))
        segments.append(escape(name))
    return segments


@st.composite
def renames_of(draw, graph):
    renames = {}
    for _ in range(draw(st.integers(1, 3))):
        source = walk_names(draw, graph)
        if not source:
            continue
        target = draw(st.lists(SEGMENTS, min_size=1, max_size=3))
        if draw(st.integers(0, 3)) == 0:  # a pattern
            source[draw(st.integers(0, len(source) - 1))] = "*"
            target[-1] = draw(st.sampled_from(["*", "c*", "c"]))
        renames["/".join(source)] = "/".join(target)
    return renames


@st.composite
def copies_of(draw, graph):
    """Two equal programs with the graph's objects, but perhaps not all edges."""
    kept = [[draw(st.integers(0, 9)) > 0 for _ in node.children] for node in graph.nodes]
    slots = {s.slot_variable_node_id for node in graph.nodes for s in node.slot_variables}
    both = []
    for _ in range(2):
        made = []
        for node_id, node in enumerate(graph.nodes):
            kind = cp.Optimizer if node.slot_variables else Part
            is_variable = bool(node.attributes) and node_id not in slots
            made.append(cp.Variable(-1) if is_variable else kind())
        for parent, node, keep in zip(made, graph.nodes, kept, strict=True):
            for child, wanted in zip(node.children, keep, strict=True):
                if wanted:
                    connect(parent, child.local_name, made[child.node_id])
        both.append(Program([o for i, o in enumerate(made) if i not in slots]))
    return both


def outcome(program, report):
    """All that a restore did, but for where it read from."""
    entries = report.to_dict()
    for entry in entries["entries"]:
        del entry["key"]
    del entries["checkpoint"]
    values = [int(variable) for variable in program.variables()]
    return values, {place: int(slot) for place, slot in program.slots().items()}, entries


@settings(max_examples=100)
@given(st.data())
def test_in_the_files_or_while_reading(data):
    program = data.draw(programs())
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory) / "a", Path(directory) / "b"
        cp.Checkpoint(root=program.objects[0]).write(source, durability="flush")
        graph = cp.object_metadata(source)
        renames = data.draw(renames_of(graph))
        try:
            rename_checkpoint(source, target, renames, durability="flush")
        except ValueError as error:
            event("refused")
            assert not target.with_suffix(".index").exists()
            with pytest.raises(ValueError, match=f"^{re.escape(str(error))}$"):
                cp.CheckpointableSaver(Part()).restore(source, renames=renames)
            return
        renamed = cp.object_metadata(target)
        check_keys(target, renamed)
        one, other = data.draw(copies_of(renamed))
        read = cp.CheckpointableSaver(one.objects[0]).restore(source, renames=renames)
        written = cp.CheckpointableSaver(other.objects[0]).restore(target)
        assert outcome(one, read.report()) == outcome(other, written.report())
        read.expect_partial()
        written.expect_partial()


def check_keys(prefix, graph: ObjectGraph):
    """Every value is there, under the key that its object's path says, and whole."""
    paths = NodePaths(graph)
    with BundleReader(prefix) as reader:
        assert reader.verify() == []
        keys = {a.checkpoint_key for node in graph.nodes for a in node.attributes}
        assert keys | {"_CHECKPOINTABLE_OBJECT_GRAPH"} == set(reader.keys())
        for node_id, node in enumerate(graph.nodes):
            for attribute in node.attributes:
                assert attribute.checkpoint_key == f"{paths[node_id]}/.ATTRIBUTES/{attribute.name}"
                assert np.shape(reader.get_tensor(attribute.checkpoint_key)) == ()
