"""Programs in processes of their own: what limits or ends a process, or mounts a disk for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np

import checkpointable as cp

VALUE = "v/.ATTRIBUTES/VARIABLE_VALUE"

HEAD = """
import errno, os, sys
import numpy as np
import checkpointable as cp
from tests.torture.children import program, value_of
"""


def program(value=0, size=1000):
    return cp.Checkpoint(v=cp.Variable(np.full(size, value, np.int32)))


def value_of(path):
    with cp.load_checkpoint(path) as reader:
        assert reader.verify() == []
        return int(reader.get_tensor(VALUE)[0])


def run_child(source, *arguments, mount=""):
    """Runs a program that begins with HEAD.

    Args:
      mount: shell commands before it, in a namespace of its own: what they mount is gone with
        the process.
    """
    command = [sys.executable, "-c", HEAD + source, *map(str, arguments)]
    if mount:
        command = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", *command]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
    )


def child(source, *arguments, mount=""):
    """The words that such a program prints; it has to end well."""
    done = run_child(source, *arguments, mount=mount)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def may_mount(mount):
    """Whether these commands can be run in a namespace of their own."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-m", "sh", "-c", mount]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
