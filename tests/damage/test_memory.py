"""Object graphs made to exhaust their reader: within 32 times the files' size and 64 MB."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from checkpointable.bundle import DataType, ValueToWrite, write_bundle

GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
KEY = b"a"
RATIO, SLACK = 32, 64 * 2**20

# Everything that reads a checkpoint, and the words of what fails; the peak as it goes.
PROGRAM = """
import resource
import sys

import numpy as np
import checkpointable as cp

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

whole, prefix = sys.argv[1:3]
root = cp.Checkpointable()
cp.CheckpointableSaver(root).restore(whole).assert_consumed()
str(cp.CheckpointableSaver(root).plan(whole)), cp.compare_checkpoints(whole, whole)
before = peak()  # all is imported now

def attempt(call):
    try:
        return call()
    except (cp.CheckpointError, AssertionError) as error:
        assert len(str(error)) < 10_000_000, len(str(error))

if sys.argv[3] == "listing":
    attempt(lambda: cp.list_variables(prefix))
    attempt(lambda: str(cp.CheckpointableSaver(root).plan(prefix)))
    attempt(lambda: cp.compare_checkpoints(whole, prefix).counts)
    print(peak() - before)
    sys.exit()
attempt(lambda: cp.object_metadata(prefix))
status = attempt(lambda: cp.CheckpointableSaver(root).restore(prefix))
if status is not None:
    status.expect_partial()
    for check in (status.assert_consumed, status.assert_existing_objects_matched,
                  status.assert_nontrivial_match):
        attempt(check)
    attempt(lambda: setattr(root, "n", cp.Checkpointable()))
    attempt(lambda: setattr(root, "opt", cp.Optimizer()))
del status
print(peak() - before)
"""


def varint(number):
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number, contents):
    return varint(number << 3 | 2) + varint(len(contents)) + contents


def integer(number, value):
    return varint(number << 3) + varint(value)


def name(i):
    """Short, and another for every i."""
    return i.to_bytes(3, "big").hex().encode()[-5:]


def child(node_id, local_name):
    return field(1, integer(1, node_id) + field(2, local_name))


def value(attribute=b"VARIABLE_VALUE", key=KEY):
    return field(2, field(1, attribute) + field(3, key))


def node(*parts):
    return field(1, b"".join(parts))


def chain(length, *parts):
    """node 0 -> 1 -> 2 …, each with these parts."""
    nodes = [node(child(i + 1, b"n"), *parts) for i in range(length - 1)]
    return b"".join([*nodes, node(*parts)])


FILES = {
    "as many empty nodes as bytes": lambda: node() * 200_000 + field(15, bytes(4 * 200_000)),
    "one node with many children": lambda: node(*(child(0, name(i)) for i in range(150_000))),
    "children with the shortest names": lambda: b"".join(
        node(*(field(1, field(2, bytes([i]))) for i in range(127))) for _ in range(1500)
    ),
    "nodes of one child": lambda: chain(100_000),
    "many values of one key": lambda: node(*(value(name(i)) for i in range(60_000))),
    "values without a name": lambda: node() + b"".join(node(field(2, b"")) for _ in range(100_000)),
    "many slots": lambda: (
        node(*(field(3, field(2, name(i))) for i in range(120_000)), child(1, b"opt")) + node()
    ),
    "slots with numbers alone": lambda: (
        node(child(1, b"opt"))
        + node() * 1000
        + node(
            *(
                field(3, integer(1, i) + field(2, bytes([j])))
                for i in range(1000)
                for j in range(100)
            )
        )
    ),
    "a deep chain of 20,000 values": lambda: chain(20_000, value()),
    "a deep chain of long names": lambda: (
        b"".join(node(child(i + 1, b"x" * 400), value()) for i in range(3_000)) + node(value())
    ),
    "a node with many unknown fields": lambda: node(*(field(9, b"x") for _ in range(300_000))),
    "one long name": lambda: node(child(1, b"x" * 1_000_000)) + node(value()),
    "one long key": lambda: node(value(key=b"x" * 1_000_000)),
}


def write(prefix, graph):
    array = np.array(graph, dtype=object)
    values_to_write = [
        ValueToWrite(GRAPH_KEY, DataType.DT_STRING, (), lambda: array),
        ValueToWrite(KEY.decode(), DataType.DT_INT8, (3,), lambda: np.zeros(3, np.int8)),
    ]
    write_bundle(prefix, values_to_write, durability="flush")
    return prefix


@pytest.mark.parametrize("what", ["restoring", "listing"])
@pytest.mark.parametrize("kind", FILES)
def test_memory_is_bounded_by_the_files_size(tmp_path, kind, what):
    whole = write(str(tmp_path / "whole"), node())
    prefix = write(str(tmp_path / "hostile"), FILES[kind]())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, whole, prefix, what],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    size = sum(os.path.getsize(prefix + e) for e in (".index", ".data-00000-of-00001"))
    assert int(done.stdout) <= RATIO * size + SLACK, f"{int(done.stdout)} bytes for {size}"
