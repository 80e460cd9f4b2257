from __future__ import annotations

import re

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.graph.object_graph import Attribute, ObjectGraph
from tests.cli.helpers import call, document, node, output, variable, write


def drawn(text):
    """The lines of a tree without what stands right of the names, and without the totals."""
    name = re.compile(r"((?:[│ ]   )*(?:[├└]── )?)(.*?)(?:  .*)?")
    lines = text.split("\n\n")[0].splitlines()
    return ["".join(name.fullmatch(line).groups()) for line in lines]


def test_a_program_as_a_tree(program):
    # S9, S11: each object once under its own path, slots under their variable
    assert drawn(output("show", program)) == [
        "ckpt-1",
        "├── model",
        "│   ├── kernel",
        "│   │   └── momentum (slot of optimizer)",
        "│   ├── layers",
        "│   │   ├── 0",
        "│   │   └── 1",
        "│   ├── first",
        "│   │   └── momentum (slot of optimizer)",
        "│   └── owner",
        "├── optimizer",
        "│   └── rate",
        "├── position",
        "└── save_counter",
    ]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ckpt-1", "8 values"),
        ("│   ├── kernel ", "float32 (2, 3)"),
        ("│   ├── kernel ", "24 B  2 values, 48 B"),
        ("│   │   └── 1 ", "int64 (4,)"),
        ("│   ├── first ", "float64 (3,)"),
        ("│   │   ├── 0 ", "→ model/first"),
        ("├── position ", "py_state: string ()"),
        ("│   └── owner ", "→ model"),
        ("├── optimizer ", "1 value, 4 B; slots momentum: under 2 variables"),
        ("├── model ", "5 values, 128 B"),
    ],
)
def test_a_line_says_value_bytes_totals_and_references(program, name, says):
    (line,) = [line for line in output("show", program).splitlines() if line.startswith(name)]
    assert says in line


def test_the_last_line_has_the_totals(program):
    listed = document("ls", program)
    graph_size = listed["values"][0]["bytes"]
    size = listed["totals"]["bytes"] - graph_size
    assert output("show", program).splitlines()[-1] == f"12 objects, 8 values, {size} bytes"


def test_depth(program):
    shown = output("show", program, "--depth", "1")
    assert [line.split()[1] for line in shown.splitlines()[1:5]] == [
        *("model", "optimizer", "position", "save_counter")
    ]
    assert "5 values, 128 B; …" in shown
    assert len(output("show", program, "--depth", "0").splitlines()) == 3


def test_the_tree_below_an_object_without_a_value(program):
    lines = output("show", program, "model/layers").splitlines()
    assert lines[0].split() == ["model/layers", "1", "value,", "32", "B"]
    assert len(lines) == 3
    # by another path than the one that names it
    assert output("show", program, "model/owner/layers") == output("show", program, "model/layers")
    assert len(output("show", program, "model", "--depth", "1").splitlines()) == 5


def test_json_is_a_list_of_objects(program):
    shown = document("show", program)
    assert shown["kind"] == "objects"
    assert shown["checkpoint"] == str(program)
    objects = {o["path"]: o for o in shown["objects"]}
    assert len(objects) == shown["totals"]["objects"] == 12
    assert set(objects) >= {"", "model/first", "model/kernel/.OPTIMIZER_SLOT/optimizer/momentum"}
    kernel, optimizer = objects["model/kernel"], objects["optimizer"]
    slot = objects["model/kernel/.OPTIMIZER_SLOT/optimizer/momentum"]
    assert kernel["parent"] == objects["model"]["id"]
    assert kernel["total"] == {"values": 2, "bytes": 48}
    assert kernel["values"] == [
        {
            "key": "model/kernel/.ATTRIBUTES/VARIABLE_VALUE",
            "dtype": "float32",
            "shape": [2, 3],
            "bytes": 24,
            "attribute": "VARIABLE_VALUE",
            "full_name": kernel["values"][0]["full_name"],
            "is_missing": False,
        }
    ]
    assert {"name": "momentum", "variable": kernel["id"], "id": slot["id"]} in optimizer["slots"]
    assert slot["parent"] == kernel["id"]
    assert objects["model/layers"]["children"][0] == {
        "name": "0",
        "id": objects["model/first"]["id"],
    }
    # the same objects as the library's own reading
    graph = cp.object_metadata(program)
    for o in shown["objects"]:
        edges = [(child["name"], child["id"]) for child in o["children"]]
        assert edges == [(c.local_name, c.node_id) for c in graph.nodes[o["id"]].children]


def test_json_of_a_part(program):
    shown = document("show", program, "model", "--depth", "1")
    assert [o["path"] for o in shown["objects"]] == [
        "model",
        "model/kernel",
        "model/layers",
        "model/first",
    ]
    assert shown["totals"] == {"objects": 4, "values": 5, "bytes": 128}


def test_what_tensorflow_wrote(tmp_path):
    import tensorflow as tf

    class Layer(tf.Module):
        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(tf.zeros((2, 2)), name="w")
            self.parts = [tf.Variable(1.0), {"a/b": tf.Variable(2)}]

    layer = Layer()
    prefix = tf.train.Checkpoint(layer=layer, again=layer).write(str(tmp_path / "tf"))
    lines = output("show", prefix).splitlines()
    assert any(re.match(r"│   ├── kernel +float32 \(2, 2\)  16 B", line) for line in lines)
    assert any("→ again" in line for line in lines)
    assert any("── a.Sb " in line for line in lines)
    by_path = {o["path"]: o for o in document("show", prefix)["objects"]}
    assert by_path["again/kernel"]["values"][0]["full_name"] == "w"
    assert "again/parts/1/a.Sb" in by_path


def test_the_real_keras_checkpoint(basic_pitch_prefix):
    lines = output("show", basic_pitch_prefix, "--with-values").splitlines()
    assert lines[-1].endswith("73 values, 201,768 bytes (197.0 KiB)")
    slots = [s for n in cp.object_metadata(basic_pitch_prefix).nodes for s in n.slot_variables]
    assert sum("(slot of optimizer)" in line for line in lines) == len(slots) == 36
    assert all(
        "value" in line or " B" in line or "KiB" in line or "→" in line for line in lines if line
    )
    whole = output("show", basic_pitch_prefix).splitlines()
    assert len(whole) > len(lines)


def test_a_name_based_checkpoint_is_the_tree_of_its_names(chiron_prefix):
    lines = output("show", chiron_prefix).splitlines()
    assert lines[-1] == (
        "167 values, 21,887,048 bytes (20.9 MiB); a name-based checkpoint, without objects"
    )
    shown = document("show", chiron_prefix)
    assert shown["kind"] == "names"
    assert sum(len(o["values"]) for o in shown["objects"]) == 167
    part = output("show", chiron_prefix, "rnn_fnn_layer").splitlines()
    assert part[0].split() == ["rnn_fnn_layer", "12", "values,", "9.4", "KiB"]


def test_names_that_are_also_folders_and_empty_segments(tmp_path):
    one = np.int8(1)
    write(tmp_path / "names", {"a": one, "a/b": one, "/x": one, "y//z": one, "dot.S": one})
    assert drawn(output("show", tmp_path / "names"))[1:] == [
        *('├── ""', "│   └── x", "├── a", "│   └── b", "├── dot.S", "└── y", '    └── ""'),
        "        └── z",
    ]
    paths = [o["path"] for o in document("show", tmp_path / "names")["objects"]]
    assert paths == ["", "", "/x", "a", "a/b", "dot.S", "y", "y/", "y//z"]


def test_a_graph_that_is_10_000_objects_deep(tmp_path):
    depth = 10_000
    nodes = [node({"n": i + 1, "root": 0}) for i in range(depth)]
    write(tmp_path / "deep", {"k": np.float32(1)}, ObjectGraph([*nodes, node({}, variable("k"))]))
    lines = output("show", tmp_path / "deep").splitlines()
    assert len(lines) == 2 * depth + 3
    (last,) = [line for line in lines if f"[{depth}]" in line and "→" not in line]
    assert last.split("]")[1].split() == ["n", "float32", "()", "4", "B"]
    assert max(map(len, lines)) < 300
    assert "n/n" in output("show", tmp_path / "deep", "/".join("n" * 9_999), "--depth", "1")
    assert "not" not in output("show", tmp_path / "deep", "/".join("n" * depth)).split("\n")[0]
    assert len(document("show", tmp_path / "deep", "--depth", "3")["objects"]) == 4


def test_odd_local_names_are_printed_literally(tmp_path):
    names = ["[bold]", "a/b", "\x1b[2J", "", "line\nbreak"]
    graph = ObjectGraph(
        [node({name: i for i, name in enumerate(names, 1)}), *(node() for _ in names)]
    )
    write(tmp_path / "odd", {}, graph)
    lines = output("show", tmp_path / "odd", FORCE_COLOR="1", NO_COLOR="1").splitlines()
    assert [line[4:].rstrip() for line in lines[1:6]] == [
        *("[bold]", "a.Sb", r"\x1b[2J", '""', r"line\nbreak")
    ]


def test_what_does_not_fit_together_is_shown_as_it_is(tmp_path):
    graph = ObjectGraph(
        [
            node({"a": 1, "twice": 1}),
            node({}, variable("gone"), Attribute("py_state", "", "a/state")),
            node({}, variable("lost/.ATTRIBUTES/VARIABLE_VALUE")),  # nothing leads to it
        ]
    )
    write(
        tmp_path / "x",
        {"a/state": np.int8(1), "lost/.ATTRIBUTES/VARIABLE_VALUE": np.int16(2), "more": np.int8(3)},
        graph,
    )
    text = output("show", tmp_path / "x")
    assert "├── .ATTRIBUTES/VARIABLE_VALUE  missing in the index" in text
    assert "└── twice" in text
    assert "→ a" in text
    assert "3 objects, 2 values, 3 bytes\n" in text
    assert "1 unreachable object: lost" in text
    assert "1 value of no object: more" in text
    shown = document("show", tmp_path / "x")
    assert shown["values_of_no_object"] == ["more"]
    assert shown["objects"][1]["values"][0]["is_missing"]
    assert shown["objects"][2]["parent"] is None


def test_slots_of_slots_of_two_optimizers_and_of_the_root(tmp_path):
    graph = ObjectGraph(
        [
            node({"v": 1, "o": 2}, slots=((1, "m", 3), (1, "shared", 5))),
            node({}, variable("v")),
            node({}, slots=((1, "m", 4), (3, "m", 6), (1, "shared", 5))),
            *(node({}, variable(f"s{i}")) for i in range(4)),
        ]
    )
    values = {key: np.float32(0) for key in ("v", "s0", "s1", "s2", "s3")}
    write(tmp_path / "slots", values, graph)
    assert drawn(output("show", tmp_path / "slots"))[1:] == [
        "├── v",
        "│   ├── m (slot of the root)",
        "│   │   └── m (slot of o)",
        "│   ├── shared (slot of the root)",
        "│   ├── m (slot of o)",
        "│   └── shared (slot of o)",
        "└── o",
    ]
    assert call("show", tmp_path / "slots", "--json").exit_code == 0


def test_a_terminal_that_knows_ascii_alone(program):
    from tests.cli.helpers import process

    done = process("show", program, environment={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert "|   |   `-- momentum (slot of optimizer)" in done.stdout
    assert "-> model/first" in done.stdout


def test_a_chain_of_thousands_is_no_document_of_its_square(tmp_path):
    root = last = cp.Checkpointable()
    for _ in range(6000):
        last.next = cp.Checkpointable()
        last = last.next
    last.v = cp.Variable(1)
    path = cp.CheckpointableSaver(root).save(tmp_path / "deep")
    objects = document("show", path)["objects"]
    characters = sum(len(entry["path"]) for entry in objects)
    assert characters < 15_000_000  # of 90,000,000
    assert objects[3]["path"] == "next/next/next"
    assert objects[-1]["path"].startswith("…/next/next/")
    assert len({entry["path"] for entry in objects}) == len(objects) == 6002
