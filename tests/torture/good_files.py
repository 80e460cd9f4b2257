"""Good files of every kind, on a disk of memory, and other bytes in the place of parts of them."""

from __future__ import annotations

import shutil
import tempfile
import weakref

import numpy as np

import checkpointable as cp
from checkpointable.bundle import BundleReader
from checkpointable.bundle.checksum import crc32c, mask
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.storage import use_storage
from checkpointable.testing import MemoryStorage
from tests.torture.mutate import message, varint
from tests.torture.tables import build_table, known_fields

DIRECTORY = "/runs/a"
PREFIX = f"{DIRECTORY}/ckpt-1"
DATA = f"{PREFIX}.data-00000-of-00001"
KEY = bytes(range(32))
# What an index begins with: one data file.
HEADER = (b"", bytes.fromhex("08011a020801"))


class GoodFiles:
    """A directory with a checkpoint, its state file, a history and a manifest.

    Attributes:
      good: the disk that has them.
      disk: a copy of it, which may be changed.
      entries: key -> (entry in the index, bytes in the data file).
    """

    def __init__(self):
        self.good = MemoryStorage()
        with use_storage(self.good):
            manager = cp.CheckpointManager(
                self.program(1), DIRECTORY, 3, best=("loss", "min", 1), sign_with=KEY
            )
            manager.save(metrics={"loss": 1.5})
            with BundleReader(PREFIX) as reader:
                self.entries = {
                    key: (
                        bytes(_entry_bytes(reader, key)),
                        _value_bytes(reader, key),
                    )
                    for key in reader.keys()
                }
                self.graph = reader.get_tensor(GRAPH_KEY)
        self.state = self.good.contents()[f"{DIRECTORY}/checkpoint"]
        self.history = self.good.contents()[f"{DIRECTORY}/checkpoint.history.json"]
        (self.manifest,) = (path for path in self.good.contents() if ".manifest-" in path)
        self.disk = self.good.copy()
        self.directory = tempfile.mkdtemp()  # for what PyTorch reads itself
        weakref.finalize(self, shutil.rmtree, self.directory)

    @staticmethod
    def program(value=0):
        net = cp.Checkpointable()
        net.kernel = cp.Variable(np.full((3, 2), value, np.float32))
        net.names = cp.Variable(np.array([b"x" * value, b"y"], object), dtype="string")
        optimizer = cp.Optimizer()
        optimizer.rate = cp.Variable(np.float64(value))
        optimizer.add_slot(net.kernel, "m", lambda: np.full((3, 2), value, np.float32))
        program = cp.Checkpoint(
            net=net,
            loop=[net, optimizer],
            optimizer=optimizer,
            position=cp.JSONState({"at": [value]}),
            random=cp.NumpyRandomState(np.random.default_rng(value)),
        )
        net.owner = program  # a cycle
        assert int(program.save_counter) == 0
        return program

    def put_index(self, pairs, chance=None):
        if chance is not None and chance.random() < 0.1:
            self.disk.put(f"{PREFIX}.index", build_table(pairs))  # in any order, and twice
        else:
            self.disk.put(f"{PREFIX}.index", build_table(sorted(dict(pairs).items())))

    def put_string(self, key, contents):
        lengths = varint(len(contents))
        length = len(contents).to_bytes(4, "little")
        sums = mask(crc32c(length)).to_bytes(4, "little")
        crc = crc32c(contents, crc32c(sums, crc32c(length)))
        self.put_value(key, lengths + sums + contents, mask(crc))

    def put_value(self, key, payload, crc=None):
        """Puts other bytes for a value, behind all the others."""
        data = self.good.contents()[DATA]
        entry, _ = self.entries[key]
        crc = mask(crc32c(payload)) if crc is None else crc
        found = [f for f in known_fields(entry) if f[0] not in {4, 5, 6}]
        found += [(4, 0, len(data)), (5, 0, len(payload)), (6, 5, crc.to_bytes(4, "little"))]
        pairs = [HEADER]
        pairs += [
            (k.encode(), message(found) if k == key else e) for k, (e, _) in self.entries.items()
        ]
        start = self.offset_of(entry)
        old = len(self.entries[key][1])
        self.disk.put(DATA, data[:start] + bytes(old) + data[start + old :] + payload)
        self.put_index(pairs)

    @staticmethod
    def offset_of(entry):
        return next((value for field, _, value in known_fields(entry) if field == 4), 0)


def _value_bytes(reader, key):
    entry = reader.entry(key)
    return bytes(reader.files.view(entry.shard, entry.offset, entry.size))


def _entry_bytes(reader, key):
    columns = reader.files.index.columns
    row = reader._contents.row(key)
    return reader.files.index._buffer[int(columns.start[row]) : int(columns.end[row])]
