"""Two checkpoints, value by value."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import checkpointable as cp
from checkpointable.bundle import (
    BundleReader,
    DataType,
    Header,
    ValueToWrite,
    write_bundle,
    write_index,
)
from checkpointable.comparison import Verdict, compare_checkpoints, elements
from checkpointable.comparison.elements import difference
from checkpointable.graph.dtypes import as_string_array
from checkpointable.graph.encoding import encode_graph
from checkpointable.graph.object_graph import Attribute, Child, Node, ObjectGraph
from checkpointable.graph.paths import GRAPH_KEY, VARIABLE_VALUE
from checkpointable.maintenance.reencode import reencode_checkpoint
from tests.bundle.helpers import save


class Part(cp.Checkpointable):
    def __init__(self, **parts: Any) -> None:
        for name, part in parts.items():
            setattr(self, name, part)


@pytest.fixture
def compared(tmp_path):
    """The comparison of two programs, or of mappings of names to arrays."""

    def compare(first, second, **options):
        for name, values in (("a", first), ("b", second)):
            if isinstance(values, dict):
                save(tmp_path / name, values)
            else:
                cp.Checkpoint(root=values).write(tmp_path / name, durability="flush")
        return compare_checkpoints(tmp_path / "a", tmp_path / "b", **options)

    return compare


def verdicts(result):
    return {entry.path: entry.verdict.value for entry in result}


def test_every_verdict(compared):
    result = compared(
        {"same": np.ones(3), "new": np.ones(3), "other": np.ones(3), "gone": np.ones(7)},
        {
            "same": np.ones(3),
            "new": np.array([1.0, 1.5, 3.0]),
            "other": np.ones(4),
            "come": np.arange(2),
        },
    )
    assert verdicts(result) == {
        "come": "only in the second",
        "gone": "only in the first",
        "new": "changed",
        "other": "mismatch",
        "same": "equal",
    }
    assert not result.equal
    assert result.counts == dict.fromkeys(map(str, Verdict), 1)
    changed = next(entry for entry in result if entry.path == "new")
    assert (changed.count, changed.elements, changed.largest) == (2, 3, 2.0)
    mismatch = next(entry for entry in result if entry.path == "other")
    assert (str(mismatch.first), str(mismatch.second)) == ("float64[3]", "float64[4]")
    assert compared({"a": np.ones(2)}, {"a": np.ones(2)}).equal


@pytest.mark.parametrize(
    ("a", "b", "count", "largest"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0, None),
        ([0.0, np.nan], [-0.0, np.nan], 0, None),
        ([1.0, np.nan, 3.0], [1.5, 2.0, 3.0], 2, np.nan),
        ([np.nan, 1.0], [1.0, 5.0], 2, np.nan),
        ([np.inf, np.inf], [np.inf, -np.inf], 1, np.inf),
        ([1e308], [-1e308], 1, np.inf),
        ([1 + 2j, 1j], [1 + 2j, 3 + 5j], 1, 5.0),
        ([True, False], [False, False], 1, None),
        (np.array([0, 2**53], np.int64), np.array([0, 2**53 + 1], np.int64), 1, 1),
        (np.array([-(2**63)]), np.array([2**63 - 1]), 1, 2**64 - 1),
        (np.array([0, 9], np.uint64), np.array([2**64 - 1, 9], np.uint64), 1, 2**64 - 1),
        (np.array([-8, 1], ml_dtypes.int4), np.array([7, 1], ml_dtypes.int4), 1, 15),
        (np.array([1, 2], ml_dtypes.bfloat16), np.array([1, 2.5], ml_dtypes.bfloat16), 1, 0.5),
        (np.array([b"a", b"b"], object), np.array([b"a", b"c"], object), 1, None),
        (np.zeros((0, 3)), np.zeros((0, 3)), 0, None),
        (np.float32(1), np.float32(2), 1, 1.0),
    ],
)
@pytest.mark.parametrize("chunk", [1 << 20, 1])
def test_differences_of_every_kind(a, b, count, largest, chunk, monkeypatch):
    monkeypatch.setattr(elements, "_CHUNK_ELEMENTS", chunk)
    for one, other in ((a, b), (b, a)):
        found, most = difference(np.asarray(one), np.asarray(other))
        assert found == count
        assert most == largest or np.isnan([most, largest]).all()


@given(
    st.sampled_from([np.float32, np.float64, np.int8, np.uint64, np.complex64]).flatmap(
        lambda dtype: st.tuples(arrays.arrays(dtype, 5), arrays.arrays(dtype, 5))
    )
)
def test_a_difference_is_symmetric_and_counts(pair):
    a, b = pair
    count, _ = difference(a, b)
    assert difference(b, a)[0] == count
    assert count == sum(
        not (x == y or (np.isnan(x) and np.isnan(y))) for x, y in zip(a, b, strict=True)
    )
    assert difference(a, a) == (0, None)


def test_a_tolerance(compared):
    one, other = {"x": np.array([1.0, 2.0, 3.0])}, {"x": np.array([1.0, 2.1, 3.5])}
    (entry,) = compared(one, other, tolerance=0.25)
    assert (entry.verdict, entry.count, entry.largest) == ("changed", 1, 0.5)
    assert compared(one, other, tolerance=0.5).equal
    assert not compared({"x": np.array([np.nan])}, {"x": np.array([1.0])}, tolerance=9).equal
    assert compared({"x": np.array([5])}, {"x": np.array([6])}, tolerance=1).equal
    with pytest.raises(ValueError, match="negative"):
        compare_checkpoints("a", "b", tolerance=-1)


def test_one_element_is_shown(compared):
    result = compared(
        {"x": np.float32(1), "s": np.array(b"a", object), "v": np.ones(2)},
        {"x": np.float32(2), "s": np.array(b"b", object), "v": np.zeros(2)},
    )
    contents = {entry.path: entry.contents for entry in result}
    assert contents == {"x": (1.0, 2.0), "s": (b"a", b"b"), "v": None}


def test_large_values_are_compared_where_they_lie(compared, monkeypatch):
    monkeypatch.setattr(BundleReader, "get_tensor", None)
    x = np.zeros(3_000_000, np.float32)
    y = x.copy()
    y[2_500_000] = 2
    (entry,) = compared({"x": x}, {"x": y})
    assert (entry.count, entry.largest) == (1, 2.0)


def test_progress_counts_bytes(compared):
    seen = []
    compared(
        {"a": np.ones(4), "b": np.ones(2), "c": np.ones(9)},
        {"a": np.ones(4), "b": np.ones(2), "d": np.ones(8)},
        progress=lambda *step: seen.append(step),
    )
    assert seen == [(32, 48, "a"), (48, 48, "b")]


def test_damage_is_an_error(compared, tmp_path):
    compared({"x": np.ones(4)}, {"x": np.ones(4)})
    path = tmp_path / "b.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    with pytest.raises(cp.CheckpointCorruptError, match="checksum"):
        compare_checkpoints(tmp_path / "a", tmp_path / "b")


# -- objects ----------------------------------------------------------------------------------


class Momentum(cp.Optimizer):
    def __init__(self, variable, value):
        super().__init__()
        self.add_slot(variable, "m", np.full(variable.shape, value))


def test_slots_and_python_state(compared):
    def program(value):
        kernel = cp.Variable(np.ones(2))
        return Part(
            kernel=kernel, optimizer=Momentum(kernel, float(value)), state=cp.JSONState(n=value)
        )

    assert compared(program(1), program(1)).equal
    result = compared(program(1), program(3))
    assert verdicts(result) == {
        "kernel": "equal",
        "kernel/.OPTIMIZER_SLOT/optimizer/m": "changed",
        "state": "changed",
    }


def test_objects_are_matched_by_the_graph_not_by_the_path_that_names_them(compared):
    def program(*names):
        shared = cp.Variable(np.ones(2))
        root = Part()
        for name in names:
            root._track_checkpointable(shared, name)
        return root

    assert verdicts(compared(program("a", "b"), program("b", "a"))) == {"a": "equal"}
    assert verdicts(compared(program("a", "b"), program("b"))) == {"a": "equal"}


def test_an_object_that_became_two(compared):
    shared = cp.Variable(np.ones(2))
    tied = Part(a=shared, b=shared)
    apart = Part(a=cp.Variable(np.ones(2)), b=cp.Variable(np.zeros(2)))
    assert verdicts(compared(tied, apart)) == {"a": "equal", "b": "changed"}
    assert verdicts(compared(apart, tied)) == {"a": "equal", "b": "changed"}


def test_likely_renames(compared):
    def program(name, shift=0):
        layers = [Part(k=cp.Variable(np.ones(3 + i)), b=cp.Variable(i)) for i in range(2)]
        kernel = layers[0].k
        return Part(
            **{name: Part(layers=layers)},
            optimizer=Momentum(kernel, 0.0),
            head=cp.Variable(np.ones(shift)),
        )

    result = compared(program("old"), program("new"))
    assert result.renames == {"old": "new"}
    candidates = {entry.path: entry.candidate for entry in result}
    assert candidates["new/layers/0/k"] == "old/layers/0/k"
    assert candidates["old/layers/0/k/.OPTIMIZER_SLOT/optimizer/m"] == (
        "new/layers/0/k/.OPTIMIZER_SLOT/optimizer/m"
    )
    assert compared(program("a"), program("a")).renames == {}
    shifted = compared(
        Part(l=[cp.Variable(np.ones(i)) for i in (2, 3, 4)]),
        Part(l=[cp.Variable(np.ones(i)) for i in (2, 9, 3, 4)]),
    )
    assert shifted.renames == {"l/1": "l/2", "l/2": "l/3"}


def test_renames_come_true(compared, tmp_path):
    result = compared(
        Part(e=Part(k=cp.Variable(np.ones(3))), h=cp.Variable(1)),
        Part(m=Part(e=Part(k=cp.Variable(np.ones(3)))), h=cp.Variable(1)),
    )
    cp.rename_checkpoint(tmp_path / "a", tmp_path / "c", result.renames)
    assert compare_checkpoints(tmp_path / "c", tmp_path / "b").equal


def test_names_beside_objects(tmp_path):
    values = {"a/w": np.ones(2), "a/w/Adam": np.zeros(2), "b.c": np.arange(3)}
    save(tmp_path / "names", values)
    reencode_checkpoint(tmp_path / "names", tmp_path / "objects")
    for one, other in (("names", "objects"), ("objects", "names")):
        result = compare_checkpoints(tmp_path / one, tmp_path / other)
        assert result.equal
        assert list(verdicts(result)) == ["a/w", "a/w/Adam", "b..c"]
    assert "b.c" in verdicts(compare_checkpoints(tmp_path / "names", tmp_path / "names"))


def test_values_of_no_object(tmp_path):
    """As TensorFlow's registered savers make them."""
    graph = encode_graph(
        ObjectGraph([Node([Child(1, "a")]), Node([], [Attribute(VARIABLE_VALUE, "", "x")])])
    )
    for name, own in (("a", 1), ("b", 2)):
        values_to_write = [
            ValueToWrite("x", DataType.DT_INT64, (), lambda: np.array(0)),
            ValueToWrite("custom/1", DataType.DT_INT64, (), lambda own=own: np.array(own)),
            ValueToWrite(f"custom/only-{name}", DataType.DT_INT8, (), lambda: np.array(0, np.int8)),
            ValueToWrite(GRAPH_KEY, DataType.DT_STRING, (), lambda: as_string_array(graph)),
        ]
        write_bundle(tmp_path / name, values_to_write, durability="flush")
    assert verdicts(compare_checkpoints(tmp_path / "a", tmp_path / "b")) == {
        "a": "equal",
        "custom/1": "changed",
        "custom/only-a": "only in the first",
        "custom/only-b": "only in the second",
    }


def test_what_numpy_cannot_read_is_compared_as_bytes(tmp_path):
    for name, value in (("a", 1), ("b", 1), ("c", 2)):
        save(tmp_path / name, {"v": np.full(3, value, np.uint8)})
        with BundleReader(tmp_path / name) as reader:
            entry = reader.entry("v")
        unknown = type(entry)(DataType(99), (3,), entry.shard, entry.offset, entry.size, entry.crc)
        write_index(tmp_path / f"{name}.index", Header(), [("v", unknown)], durability="flush")
    assert compare_checkpoints(tmp_path / "a", tmp_path / "b").equal
    (entry,) = compare_checkpoints(tmp_path / "a", tmp_path / "c")
    assert (entry.verdict, entry.count) == (Verdict.CHANGED, None)


def test_a_comparison_with_tensorflows_file(tmp_path):
    import tensorflow as tf

    variable = tf.Variable([1.0, 2.0])
    path = tf.train.Checkpoint(kernel=variable).write(str(tmp_path / "tf"))
    ours = Part(kernel=cp.Variable(np.array([1, 2], np.float32)))
    cp.Checkpoint(root=ours).write(tmp_path / "ours")
    assert compare_checkpoints(path, tmp_path / "ours").equal
