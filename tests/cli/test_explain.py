"""`checkpointable explain`."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest

import checkpointable as cp
from tests.cli.helpers import call, process, write

MODULE = """
import numpy as np
import checkpointable as cp

print("the module prints")


class Part(cp.Checkpointable):
    def __init__(self, **parts):
        for name, part in parts.items():
            setattr(self, name, part)


def layer(inputs, outputs):
    return Part(kernel=cp.Variable(np.ones((inputs, outputs))), bias=cp.Variable(np.ones(outputs)))


def old():
    return Part(encoder=Part(blocks=[layer(2, 2), layer(2, 2)]), head=layer(2, 1))


def new():
    print("the factory prints")
    return Part(encoder=Part(layers=[layer(2, 2), layer(2, 2)]), head=layer(2, 1))


class Old(Part):
    def __init__(self):
        super().__init__(**{n: c for n, c in old()._checkpoint_dependencies})


class Holder:
    model = old()
    saver = cp.CheckpointableSaver(model)
    checkpoint = cp.Checkpoint(root=old())

    @property
    def broken(self):
        raise RuntimeError("of a property")


holder = Holder()
manager = cp.CheckpointManager(cp.Checkpoint(root=old()), "unused", max_to_keep=1)
number = 3


def counted():
    return cp.Checkpoint(**{n: c for n, c in old()._checkpoint_dependencies})


def needs(x, *, y):
    return old()


def nothing():
    pass


def fails():
    return layer("two", 2)


def misuses():
    return Part(kernel=cp.Variable(np.ones(2), dtype="nonsense"))


def leaves():
    raise SystemExit(3)


class Hooked(cp.Checkpointable):
    def _gather_saveables_for_checkpoint(self):
        raise ZeroDivisionError("in a hook")


class Refuses(cp.NotCheckpointable):
    pass
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(directory of modules, prefix)."""
    directory = tmp_path_factory.mktemp("explain")
    (directory / "users_program.py").write_text(MODULE)
    (directory / "broken_syntax.py").write_text("def f(:\n    pass\n")
    (directory / "broken_import.py").write_text("import a_module_that_is_not_there\n")
    (directory / "broken_run.py").write_text("def f():\n    return 1 / 0\n\nf()\n")
    (directory / "ending.py").write_text("raise SystemExit('usage: …')\n")
    (directory / "package").mkdir()
    (directory / "package" / "__init__.py").write_text("")
    (directory / "package" / "inner.py").write_text("from users_program import old\n")
    before = list(sys.path)
    sys.path.insert(0, os.fspath(directory))
    try:
        import users_program
    finally:
        sys.path[:] = before
    path = cp.CheckpointableSaver(users_program.old()).save(directory / "runs" / "old")
    yield directory, path
    for name in ("users_program", "package.inner", "package"):
        sys.modules.pop(name, None)


@pytest.fixture
def explain(saved, monkeypatch):
    directory, path = saved
    monkeypatch.chdir(directory)

    def run(target, *arguments, **environment):
        before = list(sys.path)
        result = call("explain", path, f"users_program:{target}", *arguments, **environment)
        assert sys.path == before
        return result

    return run


@pytest.mark.parametrize(
    "target",
    ["old", "Old", "holder.model", "Holder.model", "holder.saver", "holder.checkpoint", "manager"],
)
def test_what_would_be_restored(explain, target):
    result = explain(target)
    incomplete = target in {"holder.checkpoint", "manager"}  # they count saves
    assert result.exit_code == incomplete
    lines = result.stdout.splitlines()
    assert ("6 restored" in lines[0]) or incomplete
    assert lines[1].split() == ["path", "outcome", "checkpoint", "program"]
    assert sum("restored  " in line for line in lines) == 6


def test_a_checkpoint_demands_its_counter(explain):
    result = explain("counted")
    assert result.exit_code == 1
    assert "save_counter" in result.stdout


def test_what_would_not(explain):
    result = explain("new")
    assert result.exit_code == 1
    assert "encoder/layers/0/kernel  missing in checkpoint" in result.stdout
    assert result.stdout.splitlines()[-2:] == [
        "likely renamed: renames={'encoder/blocks': 'encoder/layers'}",
        "with these renames: 6 restored",
    ]
    # What the user's code prints is none of the result.
    assert "prints" not in result.stdout
    assert "the factory prints" in result.stderr


def test_only_the_problems(explain):
    lines = explain("new", "--problems").stdout.splitlines()
    assert not [line for line in lines if line.startswith("head")]
    assert "not shown: 2 restored" in lines
    assert sum("encoder/" in line for line in lines[2:10]) == 8


def test_renames_to_try(explain):
    result = explain("new", "--rename", "encoder/blocks=encoder/layers")
    assert result.exit_code == 0
    assert "6 restored" in result.stdout
    result = explain("new", "--rename", "encoder/blocks=encoder/bolcks")
    assert result.exit_code == 1
    # What is suggested takes in what was given.
    assert result.stdout.splitlines()[-2:] == [
        "likely renamed: renames={'encoder/blocks': 'encoder/layers'}",
        "with these renames: 6 restored",
    ]
    result = explain("new", "--rename", "head=tail", "--rename", "encoder=enc")
    assert "renames={'encoder/blocks': 'encoder/layers'}" in result.stdout
    assert "with these renames: 6 restored" in result.stdout


@pytest.mark.parametrize(
    ("rename", "code", "message"),
    [
        ("nothing=x", 1, "error: rename 'nothing' matches nothing"),
        ("encoder=head", 1, "head is taken by another object"),
        ("encoder", 2, "not of the form old=new"),
    ],
)
def test_renames_that_cannot_be(explain, rename, code, message):
    result = explain("new", "--rename", rename)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_json(explain):
    result = explain("new", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["complete"] is False
    assert document["counts"]["restored"] == 2
    assert document["renames"] == {"encoder/blocks": "encoder/layers"}
    assert document["counts_with_renames"] == {"restored": 6}
    assert {entry["path"] for entry in document["entries"]} > {"head/kernel"}
    document = json.loads(explain("old", "--json").stdout)
    assert document["complete"] is True
    assert document["counts_with_renames"] is None
    few = json.loads(explain("new", "--json", "--problems").stdout)
    assert few["counts"]["restored"] == 2
    assert "head/kernel" not in {entry["path"] for entry in few["entries"]}


def test_a_tree_on_a_terminal(explain):
    result = explain("new", FORCE_COLOR="1", NO_COLOR="1", COLUMNS="100")
    lines = result.stdout.splitlines()
    assert "├── head" in lines
    assert "│   ├── kernel  restored  float64[2, 1]" in lines
    assert any(line.startswith("│   │   │   ├── kernel  missing in checkpoint") for line in lines)
    assert "\x1b[3" in explain("new", FORCE_COLOR="1", TERM="xterm").stdout


# -- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("olds", "users_program has no 'olds'; similar ones: old"),
        ("holder.modle", "users_program.holder has no 'modle'; similar ones: model"),
        ("needs", "users_program:needs needs arguments (missing a required argument: 'x')"),
        ("nothing", "the result of users_program:nothing() is None: neither a Checkpoint nor"),
        ("number", "users_program:number is of type int: neither a Checkpoint nor"),
        ("leaves", "users_program:leaves() failed: it exited (SystemExit: 3)"),
    ],
)
def test_what_is_not_there_or_of_no_use_is_a_line(explain, target, message):
    result = explain(target)
    assert (result.exit_code, result.stdout) == (1, "")
    lines = [line for line in result.stderr.splitlines() if "prints" not in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("target", "error", "place", "message"),
    [
        ("fails", "TypeError", "np.ones((inputs, outputs))", "users_program:fails() failed"),
        ("misuses", "TypeError", 'dtype="nonsense"', "users_program:misuses() failed"),
        ("holder.broken", "RuntimeError", "of a property", "users_program.holder.broken failed"),
        ("Hooked", "ZeroDivisionError", "in a hook", "the objects of users_program:Hooked failed"),
    ],
)
def test_errors_of_the_users_code_come_with_their_traceback(explain, target, error, place, message):
    result = explain(target)
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    start = lines.index("Traceback (most recent call last):")
    assert "users_program.py" in lines[start + 1]  # from the user's first line on
    assert place in result.stderr
    assert lines[-1] == f"error: {message}: {error}"


@pytest.mark.parametrize(
    ("module", "lines"),
    [
        ("missing_module", ["error: there is no module 'missing_module' in {cwd} or elsewhere"]),
        ("package.missing", ["error: there is no module 'package.missing' in"]),
        ("users_program.py", ["error: 'users_program.py' is a file: pass the name of the module"]),
        ("./users_program", ["error: './users_program' is a file"]),
        ("ending", ["error: importing ending failed: it exited (SystemExit: usage"]),
        (
            "broken_syntax",
            ["broken_syntax.py", "def f(:", "SyntaxError", "error: importing broken_s"],
        ),
        ("broken_import", ["Traceback", "No module named 'a_module_that_is", "ModuleNotFound"]),
        ("broken_run", ["Traceback", "return 1 / 0", "ZeroDivisionError", "error: importing"]),
    ],
)
def test_modules_that_cannot_be_imported(saved, monkeypatch, module, lines):
    directory, path = saved
    monkeypatch.chdir(directory)
    result = call("explain", path, f"{module}:old")
    assert (result.exit_code, result.stdout) == (1, "")
    for line in lines:
        assert line.format(cwd=directory) in result.stderr
    assert ("Traceback" in result.stderr) == (lines[0] == "Traceback")
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "importlib" not in result.stderr


@pytest.mark.parametrize("target", ["users_program", "users_program:", ":old", "a:b..c", "a:.b"])
def test_wrong_usage(saved, monkeypatch, target):
    directory, path = saved
    monkeypatch.chdir(directory)
    result = call("explain", path, target)
    assert result.exit_code == 2
    assert "not of the form module:function" in " ".join(result.stderr.split())


def test_the_checkpoint_is_looked_for_first(saved, monkeypatch, tmp_path):
    directory, _ = saved
    monkeypatch.chdir(directory)
    result = call("explain", tmp_path / "none", "broken_run:f")
    assert result.exit_code == 1
    assert "there is no checkpoint of this name" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_name_based_checkpoint(explain, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(saved[0])
    write(tmp_path / "names", {"a": np.ones(2)})
    result = call("explain", tmp_path / "names", "users_program:old")
    assert result.exit_code == 1
    assert "name-based checkpoint" in result.stderr.splitlines()[-1]


def test_names_that_could_command_a_terminal(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(saved[0])

    class Part(cp.Checkpointable):
        pass

    root = Part()
    root._track_checkpointable(cp.Variable(np.ones(2)), "x\n\x1b[2J")
    path = cp.CheckpointableSaver(root).save(tmp_path / "ck")
    for environment in ({}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}):
        text = call("explain", path, "users_program:old", **environment).stdout
        assert r"x\n\x1b[2J" in text
        assert "\x1b[2J" not in text


def test_in_a_process_of_its_own(saved):
    """The working directory is where modules are found, however the program was started."""
    directory, path = saved
    done = process("explain", path, "package.inner:old", cwd=directory)
    assert (done.returncode, done.stderr) == (0, "the module prints\n")
    assert "6 restored" in done.stdout


def test_interrupted_in_the_users_code(explain, monkeypatch):
    import users_program

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(users_program, "new", interrupt)
    assert explain("new").exit_code == 130
