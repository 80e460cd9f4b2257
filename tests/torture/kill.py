"""A training that is killed again and again, at random instants, and goes on each time."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import checkpointable as cp
from checkpointable.directory.latest import list_checkpoints

PROGRAM = Path(__file__).with_name("training.py")
MOST_SAVES = 6  # before it is killed, …
LONGEST = 0.02  # … and seconds after the last of them


class Survived(NamedTuple):
    """What a training has been through.

    Attributes:
      kills: how often it was killed.
      resumed: how often it went on from a checkpoint.
      unfinished: after how many kills temporary files or data without an index lay there.
      asynchronous: how many of those killed saved asynchronously.
    """

    kills: int
    resumed: int
    unfinished: int
    digest: str
    asynchronous: int = 0


def start(directory, steps, seed, durability, how="blocking"):
    return subprocess.Popen(
        [
            sys.executable,
            "-W",
            "error",
            str(PROGRAM),
            str(directory),
            str(steps),
            str(seed),
            durability,
            how,
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def undisturbed(directory, steps, seed):
    """The digest of a training that nobody killed."""
    process = start(directory, steps, seed, "flush")
    output, _ = process.communicate()
    assert process.returncode == 0
    return re.search(r"digest (\w+)", output)[1]


def disturbed(directory, steps, seed, kills, *, after_each=lambda: None):
    """Kills a training so many times, then lets it come to its end."""
    chance = random.Random(seed)
    done = resumed = unfinished = asynchronous = 0
    while True:
        how = chance.choice(["blocking", "asynchronous"])
        process = start(directory, steps, seed, chance.choice(["fsync", "flush"]), how)
        with process:
            line = process.stdout.readline()
            assert line.startswith("from "), line
            resumed += line != "from 0\n"
            if done < kills:
                for _ in range(chance.randrange(MOST_SAVES)):
                    process.stdout.readline()
                time.sleep(chance.random() * LONGEST)
                process.send_signal(signal.SIGKILL)
            rest = process.stdout.read()
        if process.returncode == 0:
            digest = re.search(r"digest (\w+)", rest)[1]
            return Survived(done, resumed, unfinished, digest, asynchronous)
        assert process.returncode == -signal.SIGKILL
        done += 1
        asynchronous += how == "asynchronous"
        unfinished += bool(left_over(directory))
        check(directory)
        after_each()


def check(directory):
    """Every checkpoint is whole, and the latest is one of them (promise 2)."""
    found = list_checkpoints(directory)
    for path in found:
        with cp.load_checkpoint(path) as reader:
            assert reader.verify() == []
    latest = cp.latest_checkpoint(directory)
    assert (latest is None) == (not found)
    assert latest is None or latest in found


def left_over(directory):
    """Files that belong to no checkpoint."""
    if not os.path.isdir(directory):
        return []
    prefixes = [os.path.basename(path) for path in list_checkpoints(directory)]
    return [
        name
        for name in os.listdir(directory)
        if name not in {"checkpoint", "checkpoint.history.json"}
        and not any(re.fullmatch(re.escape(p) + r"\.(index|data-.*)", name) for p in prefixes)
    ]
