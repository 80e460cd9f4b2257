from __future__ import annotations

import json
import math

import ml_dtypes
import numpy as np
import pytest

from checkpointable.bundle import DataType
from checkpointable.cli.value_details import statistics
from tests.cli.helpers import call, document, output, string, write


def fields(*arguments):
    """The lines of `show PATH KEY` by the name of the field."""
    return {line[:10].strip(): line[12:] for line in output("show", *arguments).splitlines()}


def test_a_value_by_path_and_by_key(program):
    shown = fields(program, "model/kernel")
    where = shown.pop("stored in")
    assert shown == {
        "key": "model/kernel/.ATTRIBUTES/VARIABLE_VALUE",
        "dtype": "float32",
        "shape": "(2, 3), 6 elements",
        "size": "24 bytes",
        "range": "0 … 5",
        "mean": "2.5",
        "std": "1.70783",
        "not finite": "0 NaN, 0 infinite",
        "elements": "0.0 1.0 2.0 3.0 4.0 5.0",
    }
    assert where.startswith("ckpt-1.data-00000-of-00001, offset ")
    assert where.endswith(", verified")
    assert fields(program, shown["key"]) == shown | {"stored in": where}


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("model/layers/0", "model/first"),  # another path to it
        ("model/kernel/.OPTIMIZER_SLOT/optimizer/momentum",) * 2,
        ("save_counter",) * 2,
    ],
)
def test_an_object_means_its_value(program, path, key):
    assert fields(program, path)["key"] == f"{key}/.ATTRIBUTES/VARIABLE_VALUE"


def test_python_state_is_printed_as_json(program):
    shown = output("show", program, "position")
    assert shown.splitlines()[-8:] == [
        "contents    {",
        '              "line": 12,',
        '              "file": "träin.txt",',
        '              "seen": [',
        "                1,",
        "                2",
        "              ]",
        "            }",
    ]


def test_the_object_graph_itself(program):
    assert "the object graph" in fields(program, "_CHECKPOINTABLE_OBJECT_GRAPH")["contents"]


def test_json_of_a_value(program):
    shown = document("show", program, "model/kernel", "--first", "2")
    assert shown["checkpoint"] == str(program)
    (value,) = shown["values"]
    (place,) = value.pop("stored")
    assert value == {
        "key": "model/kernel/.ATTRIBUTES/VARIABLE_VALUE",
        "dtype": "float32",
        "shape": [2, 3],
        "bytes": 24,
        "elements": 6,
        "verified": True,
        "statistics": {
            "min": 0.0,
            "max": 5.0,
            "mean": 2.5,
            "std": pytest.approx(np.std(np.arange(6))),
            "nan": 0,
            "inf": 0,
        },
        "first": [0.0, 1.0],
        "note": "",
    }
    assert set(place) == {"file", "offset", "bytes", "masked_crc32c", "extents"}
    assert place["file"] == f"{program}.data-00000-of-00001"


SMALL = [0, 1, -2, 3.5, -0.25]
VALUES = {
    **{name: np.array(SMALL, name) for name in ("float16", "float32", "float64")},
    **{
        name: np.array(SMALL).astype(getattr(ml_dtypes, name))
        for name in ("bfloat16", "float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz")
    },
    **{name: np.array([0, 100, 7], name) for name in ("uint8", "uint16", "uint32", "uint64")},
    **{name: np.array([-5, 100, 7], name) for name in ("int8", "int16", "int32", "int64")},
    "int4": np.array([-8, 7, 0]).astype(ml_dtypes.int4),
    "uint4": np.array([15, 7, 0]).astype(ml_dtypes.uint4),
    "int2": np.array([-2, 1]).astype(ml_dtypes.int2),
    "bool": np.array([True, False, True]),
    "complex64": np.array([1 + 2j, -3j], np.complex64),
    "complex128": np.array([3 + 4j]),
    "string": np.array([b"ab", b"", b"\xff"], object),
    "qint8": (np.array([-3, 4], np.int8), DataType.DT_QINT8),
    "quint16": (np.array([3, 4], np.uint16), DataType.DT_QUINT16),
}


@pytest.fixture(scope="module")
def all_types(tmp_path_factory):
    return write(tmp_path_factory.mktemp("types") / "all", VALUES)


@pytest.mark.parametrize("dtype", VALUES)
def test_every_dtype_is_shown(all_types, dtype):
    value = VALUES[dtype]
    array = value[0] if isinstance(value, tuple) else value
    shown = fields(all_types, dtype)
    assert shown["dtype"] == dtype
    (about,) = document("show", all_types, dtype)["values"]
    numbers = about["statistics"]
    if dtype == "string":
        assert about["first"] == ["ab", "", {"base64": "/w=="}]
        assert numbers == {"shortest": 0, "longest": 2, "total": 3}
    elif dtype == "bool":
        assert about["first"] == array.tolist()
        assert numbers == {"true": 2, "false": 1}
        assert (shown["true"], shown["false"]) == ("2", "1")
    elif "complex" in dtype:
        assert [complex(*pair) for pair in about["first"]] == array.tolist()
        assert numbers["abs_max"] == np.abs(array).max()
        assert complex(*numbers["mean"]) == array.mean()
        assert numbers["std"] == pytest.approx(array.std())
    else:
        wide = array.astype(np.float64)
        assert about["first"] == wide.tolist()
        assert (numbers["min"], numbers["max"]) == (wide.min(), wide.max())
        assert numbers["mean"] == pytest.approx(wide.mean())
        assert numbers["std"] == pytest.approx(wide.std())


def test_strings_are_readable(tmp_path):
    write(
        tmp_path / "s",
        {
            "json": string('{"b": [1], "a": "ü"}'),
            "text": string("first\nsecond\n"),
            "bytes": string(b"\xff\x00\x1b"),
            "control": string("a\x1b[31mb"),
            "empty": string(""),
            "many": np.array([[f"s{i}{j}" for j in range(4)] for i in range(4)], object),
            "deep": string("[" * 100_000),
            "long": string("x" * 5000),
            "markup": string("[bold]x[/bold] :smile:"),
        },
    )

    def contents(key, *options):
        lines = output("show", tmp_path / "s", key, *options).splitlines()
        return [line[12:] for line in lines[5:]]

    assert contents("json") == ["{", '  "b": [', "    1", "  ],", '  "a": "ü"', "}"]
    assert contents("text") == ["first", "second"]
    assert contents("bytes") == [r"b'\xff\x00\x1b'"]
    assert contents("control") == [r"a\x1b[31mb"]
    assert contents("empty") == ['""']
    assert contents("markup") == ["[bold]x[/bold] :smile:"]
    assert len(contents("deep")[0]) < 2100
    assert contents("long") == ["x" * 2000 + " … 3,000 more characters (--all shows them)"]
    assert contents("long", "--all") == ["x" * 5000]
    lines = output("show", tmp_path / "s", "many", "--first", "2").splitlines()
    assert lines[-4:] == [
        "lengths     3 … 3 bytes",
        "[0, 0]      s00",
        "[0, 1]      s01",
        "            … 14 more strings",
    ]


def test_numbers_that_are_not_finite(tmp_path):
    values = np.array([math.nan, 1, math.inf, -math.inf, 3], np.float32)
    write(tmp_path / "x", {"some": values, "all": np.array([math.nan, math.inf])})
    shown = fields(tmp_path / "x", "some")
    assert shown["range"] == "1 … 3"
    assert shown["mean"] == "2"
    assert shown["not finite"] == "1 NaN, 2 infinite"
    assert shown["elements"] == "nan 1.0 inf -inf 3.0"
    assert "range" not in fields(tmp_path / "x", "all")
    (about,) = document("show", tmp_path / "x", "some")["values"]
    assert about["first"] == ["NaN", 1.0, "Infinity", "-Infinity", 3.0]


def test_elements_as_many_as_asked_for(tmp_path):
    write(tmp_path / "x", {"v": np.arange(100, dtype=np.int16)})
    assert fields(tmp_path / "x", "v")["elements"] == "0 1 2 3 4 5 6 7 8 9 …"
    assert "elements" not in fields(tmp_path / "x", "v", "--first", "0")
    assert fields(tmp_path / "x", "v", "--all")["elements"] == " ".join(map(str, range(100)))
    assert len(document("show", tmp_path / "x", "v", "--all")["values"][0]["first"]) == 100


def test_values_without_elements(tmp_path):
    write(tmp_path / "x", {"f": np.zeros((0, 3), np.float32), "s": np.zeros((0,), object)})
    assert fields(tmp_path / "x", "f")["shape"] == "(0, 3), 0 elements"
    assert document("show", tmp_path / "x", "s")["values"][0]["statistics"] == {}


def test_several_values_of_one_object(tmp_path):
    one = np.int8(1)
    write(tmp_path / "x", {"a/.ATTRIBUTES/x": one, "a/.ATTRIBUTES/y": one, "ab/.ATTRIBUTES/x": one})
    keys = [value["key"] for value in document("show", tmp_path / "x", "a")["values"]]
    assert keys == ["a/.ATTRIBUTES/x", "a/.ATTRIBUTES/y"]
    assert output("show", tmp_path / "x", "a").count("key ") == 2


def test_a_partitioned_value_lies_in_several_places(tmp_path):
    import tensorflow as tf

    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "parts"),
        tensor_names=["p", "p"],
        shape_and_slices=["4 3 0,2:-", "4 3 2,2:-"],
        tensors=[tf.ones((2, 3)), tf.zeros((2, 3))],
    )
    lines = output("show", tmp_path / "parts", "p").splitlines()
    places = [line for line in lines if line.startswith("stored in")]
    assert ["part [0:2, 0:]" in places[0], "part [2:4, 0:]" in places[1]] == [True, True]
    assert lines[-1].split(maxsplit=1)[1] == "1.0 1.0 1.0 1.0 1.0 1.0 0.0 0.0 0.0 0.0 …"
    (about,) = document("show", tmp_path / "parts", "p")["values"]
    assert [place["extents"] for place in about["stored"]] == [[[0, 2], [0, -1]], [[2, 2], [0, -1]]]


def test_a_dtype_that_cannot_be_read_is_shown_as_far_as_it_goes(tmp_path):
    from checkpointable.bundle import BundleReader, Header, write_index

    write(tmp_path / "x", {"v": np.zeros(3, np.uint8)})
    with BundleReader(tmp_path / "x") as reader:
        entry = reader.entry("v")
    unknown = type(entry)(DataType(99), (3,), entry.shard, entry.offset, entry.size, entry.crc)
    write_index(tmp_path / "x.index", Header(), [("v", unknown)])
    shown = fields(tmp_path / "x", "v")
    assert shown["dtype"] == "DT_99"
    assert "does not know" in shown["contents"]
    assert shown["stored in"].endswith("verified")
    assert "DT_99" in output("ls", tmp_path / "x")
    assert document("show", tmp_path / "x", "v")["values"][0]["first"] == []


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("model/kernle", "model/kernel"),
        ("modle", "model"),
        ("kernel", "model/kernel"),
        ("model/layers/7", "model/layers/1"),
        ("save_count", "save_counter"),
    ],
)
def test_a_key_that_is_not_there_is_answered_with_near_ones(program, asked, near):
    result = call("show", program, asked)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {program}, key '{asked}': there is no value and no object")
    assert near in line.partition("similar ones: ")[2].split(", ")


def test_nothing_near(program):
    assert "`checkpointable ls` lists them" in call("show", program, "zzzzzzzzzzz").stderr


def test_near_ones_among_100_000(many_values):
    assert "layer7/712" in call("show", many_values, "layer7/712x").stderr


def test_damage_is_an_error(tmp_path):
    write(tmp_path / "x", {"v": np.arange(9)})
    data = tmp_path / "x.data-00000-of-00001"
    data.write_bytes(b"\1" + data.read_bytes()[1:])
    result = call("show", tmp_path / "x", "v")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"error: {data}, key 'v', offset 0: the value has the checksum" in result.stderr


@pytest.mark.parametrize("scale", [1e-300, 1e-5, 1, 1e200])
def test_statistics_equal_numpys(scale):
    rng = np.random.default_rng(1)
    array = rng.normal(3, 2, 300_000)
    numbers = statistics((array * scale).reshape(3, -1), "float64")
    assert numbers["mean"] == pytest.approx(array.mean() * scale)
    assert numbers["std"] == pytest.approx(array.std() * scale)
    assert numbers["min"] == (array * scale).min()


@pytest.mark.parametrize("value", [0.1, 0.0, -7.25, 5e-324, 1.7e308])
def test_equal_elements_have_no_spread(value):
    numbers = statistics(np.full(1000, value), "float64")
    assert (numbers["mean"], numbers["std"]) == (value, 0)


def test_large_integers_are_exact():
    array = np.array([2**64 - 1, 2**64 - 2], np.uint64)
    assert statistics(array, "uint64")["max"] == 2**64 - 1
    assert json.dumps(statistics(array, "uint64")).startswith('{"min": 18446744073709551614')
