"""`checkpointable diff`."""

from __future__ import annotations

import json

import numpy as np
import pytest

import checkpointable as cp
from tests.cli.helpers import call, output, save_program, string, write


@pytest.fixture
def pair(tmp_path):
    first = {
        "a/same": np.ones(3),
        "a/x": np.arange(4.0),
        "b": np.float32(1),
        "c": np.arange(3),
        "d/gone": np.ones((2, 7)),
        "text": string("one two three four five six seven"),
    }
    second = {
        "a/same": np.ones(3),
        "a/x": np.array([0, 1, 2.5, 5]),
        "b": np.float32(2),
        "c": np.arange(3.0),
        "e/gone": np.ones((2, 7)),
        "text": string("one two three four FIVE six seven"),
    }
    return write(tmp_path / "first", first), write(tmp_path / "second", second)


ROWS = [
    ("a/x", "changed", "float64[4]", "float64[4]", "2 of 4 elements, by 2 at most"),
    ("b", "changed", "float32[]", "float32[]", "1.0 → 2.0"),
    ("c", "mismatch", "int64[3]", "float64[3]", ""),
    ("d/gone", "only in the first", "float64[2, 7]", "-", "likely e/gone"),
    ("e/gone", "only in the second", "-", "float64[2, 7]", "likely d/gone"),
    (
        "text",
        "changed",
        "string[]",
        "string[]",
        "…'hree four five six seven' → …'hree four FIVE six seven'",
    ),
]


def test_a_line_a_value_elsewhere_than_on_a_terminal(pair):
    result = call("diff", *pair)
    assert result.exit_code == 1
    assert [tuple(line.split("\t")) for line in result.stdout.splitlines()] == ROWS
    counts = "1 equal, 3 changed, 1 mismatch, 1 only in the first, 1 only in the second"
    assert result.stderr.splitlines() == [
        f"{pair[0]} and {pair[1]}: {counts}",
        "likely renamed: renames={'d': 'e'}",
    ]


def test_all(pair):
    lines = call("diff", *pair, "--all").stdout.splitlines()
    assert lines[0].split("\t") == ["a/same", "equal", "float64[3]", "float64[3]", ""]
    assert len(lines) == len(ROWS) + 1


def test_on_a_terminal(pair):
    result = call("diff", *pair, FORCE_COLOR="1", NO_COLOR="1", COLUMNS="120")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["path", "first", "second"]
    assert lines[1].split("  ")[0] == "a/x"
    assert lines[2].index("changed") == lines[3].index("mismatch")
    assert lines[-1] == "likely renamed: renames={'d': 'e'}"
    assert result.stderr == ""
    coloured = call("diff", *pair, FORCE_COLOR="1", TERM="xterm").stdout
    assert "\x1b[33m" in coloured


def test_equal(program):
    result = call("diff", program, program)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith(": 8 equal\n")
    document = json.loads(output("diff", program, program, "--json"))
    assert (document["equal"], document["differences"]) == (True, [])


def test_json(pair):
    result = call("diff", *pair, "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["equal"] is False
    assert document["counts"]["changed"] == 3
    assert document["renames"] == {"d": "e"}
    by_path = {entry["path"]: entry for entry in document["differences"]}
    assert by_path["a/x"] == {
        "path": "a/x",
        "attribute": "VARIABLE_VALUE",
        "verdict": "changed",
        "first": {"key": "a/x", "dtype": "float64", "shape": [4]},
        "second": {"key": "a/x", "dtype": "float64", "shape": [4]},
        "elements": 4,
        "count": 2,
        "largest": 2.0,
        "contents": None,
        "candidate": None,
    }
    assert by_path["b"]["contents"] == [1.0, 2.0]
    assert by_path["text"]["contents"][0].startswith("one")
    assert by_path["e/gone"]["first"] is None
    assert "a/same" not in by_path
    everything = json.loads(call("diff", *pair, "--json", "--all").stdout)
    assert len(everything["differences"]) == len(by_path) + 1


@pytest.mark.parametrize(
    ("before", "after", "remark"),
    [
        (string('{"line": 12, "f": "x"}'), string('{"line": 13, "f": "x"}'), "line: 12 → 13"),
        (string('{"a": 1}'), string('{"a": 1.0, "b": [2]}'), "a: 1 → 1.0, b: absent → [2]"),
        (
            string(json.dumps(dict.fromkeys("abcde", 1))),
            string(json.dumps(dict.fromkeys("abcde", 2))),
            "a: 1 → 2, b: 1 → 2, c: 1 → 2 and 2 more",
        ),
        (
            string(json.dumps({"a": "x" * 99})),
            string(json.dumps({"a": "y"})),
            f'a: "{"x" * 39}… → "y"',
        ),
        (string('{"a": 1}'), string('{"a":1}'), """…'{"a": 1}' → …'{"a":1}'"""),
        (string(b"\xff\x00"), string(b"\xff\x01"), r"b'\xff\x00' → b'\xff\x01'"),
        (string("a\nb"), string("a\tb"), r"'a\nb' → 'a\tb'"),
        (string(""), string("x"), "'' → 'x'"),
        (np.array(True), np.array(False), "True → False"),
        (np.int64(-1), np.int64(2**62), f"-1 → {2**62}"),
        (np.array([np.nan]), np.array([1.0]), "nan → 1.0"),
        (np.array([np.nan, 1]), np.array([1.0, 1]), "1 of 2 elements, by nan at most"),
        (np.array([0, 5]), np.array([10_000, 5]), "1 of 2 elements, by 10,000 at most"),
        (np.array([b"a", b"b"], object), np.array([b"a", b"c"], object), "1 of 2 elements"),
        (np.array([True, False]), np.array([False, True]), "2 of 2 elements"),
    ],
)
def test_what_changed_is_shown(tmp_path, before, after, remark):
    write(tmp_path / "a", {"x": before})
    write(tmp_path / "b", {"x": after})
    (line,) = call("diff", tmp_path / "a", tmp_path / "b").stdout.splitlines()
    expected = remark.replace("…'{", "'{")
    assert line.split("\t")[-1] == expected


def test_slots_and_state_by_their_paths(program, tmp_path):
    from tests.cli.helpers import Momentum, Net

    net = Net()
    net.kernel.assign_add(np.ones((2, 3)))
    optimizer = Momentum(net.kernel, net.layers[0])
    optimizer.get_slot(net.kernel, "momentum").assign(np.ones((2, 3)))
    other = cp.Checkpoint(model=net, optimizer=optimizer).save(tmp_path / "ckpt")
    rows = [line.split("\t") for line in call("diff", program, other).stdout.splitlines()]
    assert [row[:2] for row in rows] == [
        ["model/kernel", "changed"],
        ["model/kernel/.OPTIMIZER_SLOT/optimizer/momentum", "changed"],
        ["position", "only in the first"],
    ]


def test_a_tolerance(pair):
    result = call("diff", *pair, "--tolerance", "1.5")
    assert "1 of 4 elements, by 2 at most" in result.stdout
    assert "b\t" not in result.stdout
    assert call("diff", *pair, "--tolerance", "-1").exit_code == 2


def test_errors_are_a_line(program, tmp_path):
    for arguments in ((program, tmp_path), (tmp_path / "x", program)):
        result = call("diff", *arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1
    assert call("diff", program).exit_code == 2


def test_names_that_could_command_a_terminal(tmp_path):
    write(tmp_path / "a", {"x\n\x1b[2J": np.float32(1)})
    write(tmp_path / "b", {"x\n\x1b[2J": np.float32(2)})
    (line,) = call("diff", tmp_path / "a", tmp_path / "b").stdout.splitlines()
    assert line.startswith(r"x\n\x1b[2J	changed")


def test_directories_stand_for_their_latest(tmp_path):
    save_program(tmp_path / "a")
    save_program(tmp_path / "b")
    assert call("diff", tmp_path / "a", tmp_path / "b").exit_code == 0
