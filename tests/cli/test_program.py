"""The program as a whole: help, errors, exit codes, pipes, terminals."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys

import pytest

import checkpointable as cp
from tests.cli.helpers import ENVIRONMENT, call, output, process, save_program

COMMANDS = ("ls", "show", "verify")
ALL_COMMANDS = (*COMMANDS, "diff", "explain", "rename", "reencode")


def test_version():
    assert output("--version") == f"checkpointable {cp.__version__}\n"


@pytest.mark.parametrize("arguments", [[], *([command] for command in ALL_COMMANDS)])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_has_examples(arguments, option):
    text = output(*arguments, option)
    assert text.startswith("Usage: ")
    name = " ".join(["checkpointable", *arguments])
    assert f"\n    {name} " in text  # as it was written: not wrapped


def test_help_loads_no_more_than_it_must():
    program = (
        "import sys, checkpointable.cli as c\n"
        "sys.argv = ['checkpointable', '--help']\n"
        "try: c.main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    slow = {"rich", "google.protobuf", "crc32c", "ml_dtypes", "cramjam", "tensorflow", "torch"}
    assert not slow & loaded


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls"],
        ["ls", "x", "--sort", "colour"],
        ["show", "x", "--depth", "-1"],
        ["show", "x", "y", "--first", "z"],
        ["verify", "x", "--unknown"],
        ["unknown"],
        [],
    ],
)
def test_wrong_usage(arguments):
    result = call(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_no_checkpoint_of_this_name(command, program):
    result = call(command, f"{program}0")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {program}0: there is no checkpoint of this name")
    assert "'ckpt-1'" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_directory_without_checkpoints(command, tmp_path):
    result = call(command, tmp_path)
    assert result.exit_code == 1
    assert result.stderr == f"error: {tmp_path}: the directory contains no checkpoint\n"


@pytest.mark.parametrize("command", ["ls", "show"])
def test_a_damaged_index(command, tmp_path):
    path = save_program(tmp_path)
    os.truncate(f"{path}.index", 40)
    result = call(command, path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"error: {path}.index")


def test_no_permission(monkeypatch, program):
    def refuse(_):  # by hand, since root may read everything
        error = PermissionError(errno.EACCES, "Permission denied")
        raise cp.CheckpointIOError.from_os_error(error, "open the index", path="p.index")

    monkeypatch.setattr("checkpointable.cli.commands.ls.load_checkpoint", refuse)
    result = call("ls", program)
    assert result.exit_code == 1
    assert result.stderr == ("error: p.index: cannot open the index: Permission denied (EACCES)\n")


def test_an_error_is_one_line_whatever_the_name(tmp_path):
    result = call("ls", tmp_path / "line\nbreak [bold]\x1b[2J")
    assert len(result.stderr.splitlines()) == 1
    assert r"line\nbreak [bold]\x1b[2J" in result.stderr


def test_a_warning_of_the_library_is_a_line_too(tmp_path):
    save_program(tmp_path)
    (tmp_path / "checkpoint").unlink()
    result = call("ls", tmp_path)
    assert result.exit_code == 0
    assert result.stderr.startswith(f"warning: {tmp_path}: no state file")
    assert not logging.getLogger("checkpointable").handlers


def test_interrupted(monkeypatch, program):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("checkpointable.cli.commands.ls.load_checkpoint", interrupt)
    result = call("ls", program)
    assert (result.exit_code, result.output) == (130, "")


def test_no_memory(monkeypatch, program):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("checkpointable.cli.value_details.statistics", fail)
    result = call("show", program, "model/kernel")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: there is not enough memory for this value\n",
    )


def test_as_a_process(program):
    done = process("verify", program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("OK: 9 values")
    done = process("show", program, "nothing")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes of another kind")
@pytest.mark.parametrize("command", ["ls", "show"])
def test_a_reader_that_leaves_early(command, program):
    read, write = os.pipe()
    os.close(read)
    try:
        done = process(command, program, stdout=write, stderr=subprocess.PIPE)
    finally:
        os.close(write)
    assert done.returncode == 141
    assert "rror" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has such a file")
def test_standard_output_on_a_full_disk(program):
    with open("/dev/full", "w") as full:
        done = process("ls", program, "--json", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "No space left" in line


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_encoding_that_lacks_characters(tmp_path, encoding):
    import numpy as np

    from tests.cli.helpers import write

    write(tmp_path / "x", {"日本": np.float32(1)})
    for command in ("ls", "show"):
        done = process(command, tmp_path / "x", environment={"PYTHONIOENCODING": encoding})
        assert done.returncode == 0
        assert ("日本" if encoding == "utf-8" else r"\u65e5\u672c") in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")
@pytest.mark.parametrize("colour", [True, False])
def test_on_a_terminal(program, colour):
    import pty

    environment = {k: v for k, v in os.environ.items() if k not in ENVIRONMENT}
    environment |= {"TERM": "xterm", "COLUMNS": "70"} | ({} if colour else {"NO_COLOR": "1"})
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "checkpointable.cli", "ls", program],
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as child:
        os.close(terminal)
        data = b""
        while True:
            try:
                more = os.read(controller, 65536)
            except OSError:  # how Linux reports the end
                break
            if not more:
                break
            data += more
    os.close(controller)
    text = data.decode()
    assert child.returncode == 0
    assert ("\x1b[" in text) == colour
    assert "key" in text.splitlines()[0]
    assert "9 values, " in text.splitlines()[-1]
