from __future__ import annotations

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.cli.formatting.words import human_size
from checkpointable.graph.paths import GRAPH_KEY
from tests.cli.helpers import call, document, output, write


@pytest.fixture
def names(tmp_path):
    """Four values, name-based."""
    return write(
        tmp_path / "names",
        {
            "b/kernel": np.zeros((3, 4), np.float32),
            "b/bias": np.zeros(4, np.int8),
            "a": np.float64(1),
            "c": np.array([b"x", b"yz"], object),
        },
    )


def test_a_line_a_value_with_tabs_and_nothing_else(names):
    result = call("ls", names)
    assert result.exit_code == 0
    assert [line.split("\t") for line in result.stdout.splitlines()] == [
        ["a", "float64", "()", "8"],
        ["b/bias", "int8", "(4,)", "4"],
        ["b/kernel", "float32", "(3, 4)", "48"],
        ["c", "string", "(2,)", "9"],
    ]
    assert (
        result.stderr
        == "4 values, 69 bytes: 1 float32 48 B, 1 string 9 B, 1 float64 8 B, 1 int8 4 B\n"
    )


def test_every_key_is_listed_as_tensorflow_reads_it(program):
    import tensorflow as tf

    listed = [line.split("\t") for line in output("ls", program).splitlines()]
    expected = dict(tf.train.list_variables(str(program)))
    assert {key: shape for key, _, shape, _ in listed} == {
        key: str(tuple(shape)) for key, shape in expected.items()
    }
    reader = tf.train.load_checkpoint(str(program))
    types = reader.get_variable_to_dtype_map()
    assert {key: dtype for key, dtype, _, _ in listed} == {
        key: dtype.name for key, dtype in types.items()
    }


def test_what_tensorflow_wrote_is_listed(tmp_path):
    import tensorflow as tf

    root = tf.train.Checkpoint(v=tf.Variable(tf.ones((2, 5), tf.bfloat16)), w=tf.Variable("text"))
    prefix = root.write(str(tmp_path / "tf"))
    lines = output("ls", prefix).splitlines()
    assert "v/.ATTRIBUTES/VARIABLE_VALUE\tbfloat16\t(2, 5)\t20" in lines
    assert any(line.startswith("w/.ATTRIBUTES/VARIABLE_VALUE\tstring\t()\t") for line in lines)


@pytest.mark.parametrize(
    ("options", "order"),
    [
        (["--sort", "key"], ["a", "b/bias", "b/kernel", "c"]),
        (["--reverse"], ["c", "b/kernel", "b/bias", "a"]),
        (["--sort", "size"], ["b/kernel", "c", "a", "b/bias"]),
        (["--sort", "size", "--reverse"], ["b/bias", "a", "c", "b/kernel"]),
        (["--sort", "dtype"], ["b/kernel", "a", "b/bias", "c"]),
        (["--sort", "shape"], ["a", "c", "b/bias", "b/kernel"]),
    ],
)
def test_sorted(names, options, order):
    assert [line.split("\t")[0] for line in output("ls", names, *options).splitlines()] == order


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["b/*"], ["b/bias", "b/kernel"]),
        (["**/kernel"], ["b/kernel"]),
        (["a", "c"], ["a", "c"]),
        (["nothing"], []),
    ],
)
def test_filtered(names, patterns, expected):
    options = [f"--filter={pattern}" for pattern in patterns]
    result = call("ls", names, *options)
    assert result.exit_code == 0
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == expected
    assert result.stderr.startswith(f"{len(expected)} value")


def test_a_filter_takes_object_paths(program):
    lines = output("ls", program, "--filter", "model/kernel").splitlines()
    assert lines == ["model/kernel/.ATTRIBUTES/VARIABLE_VALUE\tfloat32\t(2, 3)\t24"]


def test_json(names):
    listed = document("ls", names, "--filter", "b/**")
    assert listed == {
        "checkpoint": str(names),
        "values": [
            {"key": "b/bias", "dtype": "int8", "shape": [4], "bytes": 4},
            {"key": "b/kernel", "dtype": "float32", "shape": [3, 4], "bytes": 48},
        ],
        "totals": {
            "values": 2,
            "bytes": 52,
            "by_dtype": {
                "float32": {"values": 1, "bytes": 48},
                "int8": {"values": 1, "bytes": 4},
            },
        },
    }
    assert document("ls", names, "--filter", "nothing")["values"] == []


@pytest.mark.parametrize("of", ["prefix", "index", "directory"])
def test_a_path_is_a_prefix_an_index_or_a_directory(program, of):
    path = {"prefix": program, "index": f"{program}.index", "directory": program.parent}[of]
    assert GRAPH_KEY in output("ls", path)
    assert document("ls", path)["checkpoint"] == str(program)


ODD = {  # as it is -> as it is printed
    "[bold]x[/bold]": "[bold]x[/bold]",
    "[/]": "[/]",
    "a b": "a b",
    "tab\there": r"tab\there",
    "line\nbreak": r"line\nbreak",
    "\x1b[31mred": r"\x1b[31mred",
    "日本/語": "日本/語",
    "\u202eevil": r"\u202eevil",
}


def test_odd_keys_are_printed_literally_and_harmlessly(tmp_path):
    write(tmp_path / "odd", dict.fromkeys(ODD, np.int8(1)))
    printed = [line.split("\t")[0] for line in output("ls", tmp_path / "odd").splitlines()]
    assert printed == [ODD[key] for key in sorted(ODD)]
    assert [value["key"] for value in document("ls", tmp_path / "odd")["values"]] == sorted(ODD)
    table = output("ls", tmp_path / "odd", FORCE_COLOR="1", NO_COLOR="1")
    assert [line.split("  ")[0] for line in table.splitlines()[1:-2]] == printed


def test_the_table_of_a_terminal_has_header_and_totals(names):
    assert output("ls", names, FORCE_COLOR="1", NO_COLOR="1", COLUMNS="80").splitlines() == [
        "key       dtype    shape   bytes",
        "a         float64  ()          8   8 B",
        "b/bias    int8     (4,)        4   4 B",
        "b/kernel  float32  (3, 4)     48  48 B",
        "c         string   (2,)        9   9 B",
        "",
        "4 values, 69 bytes: 1 float32 48 B, 1 string 9 B, 1 float64 8 B, 1 int8 4 B",
    ]


def test_a_key_that_is_too_long_goes_on_in_the_next_line(tmp_path):
    key = "/".join(["日本", "k" * 100, "[bold]"])
    write(tmp_path / "long", {key: np.float32(1)})
    lines = output(
        "ls", tmp_path / "long", FORCE_COLOR="1", NO_COLOR="1", COLUMNS="60"
    ).splitlines()
    table = lines[1 : lines.index("")]
    assert "float32" in table[0]
    assert "".join(line.split("  ")[0] for line in table) == key


@pytest.mark.parametrize("columns", ["0", "1", "-5", "x", "", "999999"])
def test_a_width_that_cannot_be_is_no_error(names, columns):
    assert "b/kernel" in output("ls", names, FORCE_COLOR="1", COLUMNS=columns)
    assert "kernel" in output("show", names, FORCE_COLOR="1", COLUMNS=columns)


def test_colours_are_for_terminals_that_want_them(names):
    assert "\x1b[" in output("ls", names, FORCE_COLOR="1", TERM="xterm")
    for environment in (
        {},
        {"NO_COLOR": "1", "FORCE_COLOR": "1"},
        {"TERM": "dumb", "FORCE_COLOR": "1"},
    ):
        assert "\x1b" not in output("ls", names, **environment)


def test_100_000_values(many_values):
    result = call("ls", many_values, "--sort", "size", FORCE_COLOR="1")
    assert len(result.stdout.splitlines()) == 100_003
    assert "100,000 values, 400,000 bytes (390.6 KiB)" in result.stdout


def test_a_partitioned_value_is_listed_once_with_all_its_bytes(tmp_path):
    import tensorflow as tf

    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "parts"),
        tensor_names=["p", "p"],
        shape_and_slices=["4 3 0,2:-", "4 3 2,2:-"],
        tensors=[tf.ones((2, 3)), tf.zeros((2, 3))],
    )
    assert output("ls", tmp_path / "parts") == "p\tfloat32\t(4, 3)\t48\n"


def test_an_empty_program_has_its_graph_alone(tmp_path):
    path = cp.CheckpointableSaver(cp.Checkpointable()).save(tmp_path / "empty")
    assert [value["key"] for value in document("ls", path)["values"]] == [GRAPH_KEY]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1000 * 1024, "1.0 MiB"),
        (440 * 2**20, "440.0 MiB"),
        (2**80, "1073741824.0 PiB"),
    ],
)
def test_sizes_for_people(size, text):
    assert human_size(size) == text
