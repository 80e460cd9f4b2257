"""Inputs made of good ones by mutations: read, or refused by an error of ours; never worse."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable

import numpy as np

import checkpointable as cp
from checkpointable.bundle import BundleReader
from checkpointable.bundle.checksum import crc32c, mask
from checkpointable.bundle.table_writer import TableBuilder
from checkpointable.foreign.opening import open_foreign
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.history import History
from checkpointable.storage import LocalStorage, use_storage
from checkpointable.testing import MemoryStorage
from tests.torture.measure import Measured, bound
from tests.torture.mutate import message, mutate_bytes, mutate_message, name, number, varint
from tests.torture.torch_files import good, mutated

DIRECTORY = "/runs/a"
PREFIX = f"{DIRECTORY}/ckpt-1"
DATA = f"{PREFIX}.data-00000-of-00001"
LENGTHS_MAX = 3
KEY = bytes(range(32))


class Fuzz:
    """Good files, and what is made of them.

    Each method that begins with `of_` takes a source of chance, changes the files on `disk`, and
    gives what reads them.
    """

    def __init__(self):
        self.good = MemoryStorage()
        with use_storage(self.good):
            manager = cp.CheckpointManager(
                self.program(1), DIRECTORY, 3, best=("loss", "min", 1), manifest=KEY
            )
            manager.save(metrics={"loss": 1.5})
            with BundleReader(PREFIX) as reader:
                self.entries = {
                    key: (bytes(_entry_bytes(reader, key)), bytes(reader._view(reader._row(key))))
                    for key in reader.keys()
                }
                self.graph = reader.get_tensor(GRAPH_KEY)
        self.state = self.good.contents()[f"{DIRECTORY}/checkpoint"]
        self.history = self.good.contents()[f"{DIRECTORY}/checkpoint.history.json"]
        (self.manifest,) = (path for path in self.good.contents() if ".manifest-" in path)
        self.disk = self.good.copy()
        self.directory = tempfile.mkdtemp()  # for what PyTorch reads itself
        weakref.finalize(self, shutil.rmtree, self.directory)
        self.torch_files = []
        self.peak = 0
        self.size = 0

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

    # -- what is made ----------------------------------------------------------------------

    def of_index_bytes(self, chance):
        """The index, its checksums as they come."""
        path = f"{PREFIX}.index"
        self.disk.put(path, mutate_bytes(chance, self.good.contents()[path]))
        return self.read_bundle

    def of_entries(self, chance):
        """Header and entries, in an index whose checksums hold."""
        pairs = [(b"", bytes.fromhex("08011a020801"))]
        pairs += [(key.encode(), entry) for key, (entry, _) in self.entries.items()]
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(pairs))
            key, entry = pairs[at]
            action = chance.randrange(6)
            if action < 3:
                pairs[at] = (key, mutate_message(chance, entry))
            elif action == 3:
                pairs[at] = (name(chance), entry)
            elif action == 4:
                pairs.append((name(chance), entry))
            else:
                pairs[at] = (key, self._any_entry(chance))
        self._put_index(pairs, chance)
        return self.read_bundle

    def of_blocks(self, chance):
        """The blocks of an index: shared prefixes, restart points, compression; sums hold."""
        import cramjam

        entries = [(b"", bytes.fromhex("08011a020801"))]
        entries += [(key.encode(), entry) for key, (entry, _) in self.entries.items()]
        body = bytearray()
        last = b""
        for key, value in sorted(entries):
            shared = 0
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
            numbers = [shared, len(key) - shared, len(value)]
            if chance.random() < 0.1:
                numbers[chance.randrange(3)] = number(chance)
            body += b"".join(map(varint, numbers)) + key[shared:] + value
            last = key
        restarts = [
            0,
            *(
                chance.choice([0, len(body), number(chance) & 0xFFFFFFFF])
                for _ in range(chance.randrange(LENGTHS_MAX))
            ),
        ]
        count = len(restarts) if chance.random() < 0.8 else number(chance) & 0xFFFFFFFF
        block = bytes(body) + b"".join(n.to_bytes(4, "little") for n in (*restarts, count))
        if chance.random() < 0.3:
            block = mutate_bytes(chance, block)
        kind = chance.choice([0, 0, 0, 1, 2, 255])
        if kind == 1:
            block = bytes(cramjam.snappy.compress_raw(block))
            if chance.random() < 0.5:
                block = mutate_bytes(chance, block)
        self.disk.put(f"{PREFIX}.index", _table(block, kind, chance))
        return self.read_bundle

    def of_graph(self, chance):
        """The object graph, its value's checksum right."""
        graph = self.graph
        for _ in range(chance.randrange(1, 4)):
            graph = mutate_message(chance, graph)
        if chance.random() < 0.1:
            graph = mutate_bytes(chance, graph)
        self._put_string(GRAPH_KEY, graph)
        return self.read_bundle

    def of_python_state(self, chance):
        """The JSON of a state, and that of a random number generator."""
        key = f"{chance.choice(['position', 'random'])}/.ATTRIBUTES/py_state"
        length = self.entries[key][1]
        self._put_string(key, mutate_json(chance, length[length.index(b"{") :]))
        return self.read_bundle

    def of_strings(self, chance):
        """The bytes of string values: lengths, their checksum, contents."""
        key = chance.choice([k for k in self.entries if "names" in k or k == GRAPH_KEY])
        if chance.random() < 0.5:
            self._put_value(key, mutate_bytes(chance, self.entries[key][1]))
            return self.read_bundle
        # The sums hold, whatever the lengths say.
        lengths = [chance.choice([0, 1, 2, 5, number(chance)]) for _ in range(chance.randrange(4))]
        sums = b"".join(
            n.to_bytes(4 if n < 2**32 else 8, "little") for n in (n % 2**64 for n in lengths)
        )
        stored = mask(crc32c(sums)).to_bytes(4, "little")
        contents = bytes(sum(lengths) if sum(lengths) < 100 else 8)
        payload = b"".join(map(varint, lengths)) + stored + contents
        self._put_value(key, payload, mask(crc32c(contents, crc32c(stored, crc32c(sums)))))
        return self.read_bundle

    def of_data_bytes(self, chance):
        """The data file."""
        self.disk.put(DATA, mutate_bytes(chance, self.good.contents()[DATA]))
        return self.read_bundle

    def of_state_file(self, chance):
        """The state file, with its checksum and without."""
        text = self.state if chance.random() < 0.3 else self.state[: self.state.index(b"#")]
        text = text.replace(b"ckpt-1", name(chance)) if chance.random() < 0.3 else text
        text = mutate_bytes(chance, text) if chance.random() < 0.8 else text
        if chance.random() < 0.2:
            text += b"x {" * chance.choice([3, 500, 3000])
        self.disk.put(f"{DIRECTORY}/checkpoint", text)
        return self.read_directory

    def of_history(self, chance):
        """A manager's history."""
        contents = self.history
        if chance.random() < 0.7:
            document = json.loads(contents)
            document.pop("crc32c")
            contents = mutate_json(chance, json.dumps(document).encode())
        else:
            contents = mutate_bytes(chance, contents)
        self.disk.put(f"{DIRECTORY}/checkpoint.history.json", contents)
        return self.read_directory

    def of_manifest(self, chance):
        """A manifest, often with the checksum of itself and the form made right."""
        good = contents = self.good.contents()[self.manifest]
        while contents == good:
            contents = mutate_json(chance, good)
            if chance.random() < 0.5:
                try:
                    document = json.loads(contents)
                    document.pop("sha256", None)
                    digest = hashlib.sha256(json.dumps(document, indent=1).encode()).hexdigest()
                    contents = json.dumps({**document, "sha256": digest}, indent=1).encode() + b"\n"
                except (ValueError, TypeError, AttributeError, RecursionError):
                    pass  # not JSON any more, or no object
        self.disk.put(self.manifest, contents)
        return self.read_manifest

    def of_v1(self, chance):
        """A file of TensorFlow before 0.12: its list of values, and the parts."""
        meta, parts = _v1_messages()
        for _ in range(chance.randrange(1, 4)):
            if chance.random() < 0.5:
                meta = mutate_message(chance, meta)
            else:
                at = chance.randrange(len(parts))
                key, value = parts[at]
                parts[at] = (key, mutate_message(chance, value))
                if chance.random() < 0.2:
                    parts[at] = (mutate_bytes(chance, key), value)
        table = _build([(b"", meta), *parts])
        if chance.random() < 0.1:
            table = mutate_bytes(chance, table)
        self.disk.put(f"{DIRECTORY}/old.ckpt", table)
        return self.read_v1

    def of_safetensors(self, chance):
        """A file of tensors of others."""
        header = json.dumps(
            {
                "__metadata__": {"format": "pt"},
                "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
                "b": {"dtype": "I64", "shape": [], "data_offsets": [16, 24]},
            }
        ).encode()
        header = mutate_json(chance, header)
        length = number(chance) if chance.random() < 0.1 else len(header)
        contents = (length & (2**64 - 1)).to_bytes(8, "little") + header + bytes(24)
        self.disk.put(f"{DIRECTORY}/x.safetensors", contents)
        return self.read_safetensors

    def of_torch(self, chance):
        """A file of `torch.save`, of either form."""
        if not self.torch_files:
            self.torch_files += [good(), good(legacy=True)]
        contents = mutated(chance, chance.choice(self.torch_files))
        path = os.path.join(self.directory, "x.pt")
        with open(path, "wb") as file:
            file.write(contents)
        self.disk.put(f"{DIRECTORY}/x.pt", contents)  # its size counts

        def read():
            with use_storage(LocalStorage()):
                return self.read_torch(path)

        return read

    # -- parts of the above ----------------------------------------------------------------

    def _any_entry(self, chance):
        shape = message(
            [(2, 2, message([(1, 0, number(chance))])) for _ in range(chance.randrange(4))]
        )
        found = [(1, 0, chance.choice([1, 2, 7, 9, 10, 21, number(chance)])), (2, 2, shape)]
        found += [(f, 0, number(chance)) for f in (3, 4, 5) if chance.random() < 0.6]
        found.append((6, 5, chance.randbytes(4)))
        if chance.random() < 0.3:
            extent = message([(1, 0, number(chance)), (2, 0, number(chance))])
            found.append((7, 2, message([(1, 2, extent)] * chance.randrange(3))))
        return message(found)

    def _put_index(self, pairs, chance=None):
        if chance is not None and chance.random() < 0.1:
            self.disk.put(f"{PREFIX}.index", _build(pairs))  # in any order, and twice
        else:
            self.disk.put(f"{PREFIX}.index", _build(sorted(dict(pairs).items())))

    def _put_string(self, key, contents):
        lengths = varint(len(contents))
        length = len(contents).to_bytes(4, "little")
        sums = mask(crc32c(length)).to_bytes(4, "little")
        crc = crc32c(contents, crc32c(sums, crc32c(length)))
        self._put_value(key, lengths + sums + contents, mask(crc))

    def _put_value(self, key, payload, crc=None):
        """Puts other bytes for a value, behind all the others."""
        data = self.good.contents()[DATA]
        entry, _ = self.entries[key]
        crc = mask(crc32c(payload)) if crc is None else crc
        found = [f for f in _known(entry) if f[0] not in {4, 5, 6}]
        found += [(4, 0, len(data)), (5, 0, len(payload)), (6, 5, crc.to_bytes(4, "little"))]
        pairs = [(b"", bytes.fromhex("08011a020801"))]
        pairs += [
            (k.encode(), message(found) if k == key else e) for k, (e, _) in self.entries.items()
        ]
        start = self._offset(entry)
        old = len(self.entries[key][1])
        self.disk.put(DATA, data[:start] + bytes(old) + data[start + old :] + payload)
        self._put_index(pairs)

    @staticmethod
    def _offset(entry):
        return next((value for field, _, value in _known(entry) if field == 4), 0)

    # -- what reads it ---------------------------------------------------------------------

    def read_bundle(self):
        """Opens, verifies, reads, plans, restores: each succeeds, or refuses with our error."""
        refusals = 0
        try:
            with BundleReader(PREFIX, damaged=True) as reader:
                reader.verify()
                for key in reader.keys():
                    refusals += _refused(lambda key=key: reader.get_tensor(key))
        except cp.CheckpointError:
            refusals += 1
        refusals += _refused(lambda: cp.object_metadata(PREFIX))
        refusals += _refused(lambda: self.program().plan(PREFIX).to_dict())
        program = self.program()
        before = _state(program)
        if _refused(lambda: program.restore(PREFIX).expect_partial()):
            assert _state(program) == before, "it was refused, and yet something changed"
            refusals += 1
        return refusals

    def read_directory(self):
        """Whatever these two files say, the checkpoint that is there is found and kept."""
        with _quiet():
            latest = cp.latest_checkpoint(DIRECTORY)
            assert latest is not None
            refusals = _refused(lambda: cp.get_checkpoint_state(DIRECTORY))
            History(DIRECTORY, "ckpt", 4e9)
            program = self.program()
            manager = cp.CheckpointManager(program, DIRECTORY, 1)
            manager.restore_latest_valid().expect_partial()
            assert float(program.optimizer.rate) == 1.0
            manager.save(durability="flush")
            assert cp.latest_checkpoint(DIRECTORY) == f"{DIRECTORY}/ckpt-2"
        return refusals

    def read_manifest(self):
        program = self.program()
        assert _refused(lambda: program.read(PREFIX, key=KEY)), "nobody signed this"
        assert float(program.optimizer.rate) == 0.0
        assert _refused(lambda: cp.verify_manifest(PREFIX, KEY))
        assert not _refused(lambda: program.read(PREFIX)), "the checkpoint is whole"
        return 1 + _refused(lambda: cp.verify_manifest(PREFIX))

    def read_v1(self):
        path = f"{DIRECTORY}/old.ckpt"
        refusals = 0
        try:
            with cp.load_checkpoint(path) as reader:
                reader.verify()
                for key in reader.keys():
                    refusals += _refused(lambda key=key: reader.get_tensor(key))
        except cp.CheckpointError:
            refusals += 1
        variable = cp.Variable(np.zeros(3, np.float32), name="v")
        if _refused(lambda: cp.Saver([variable]).restore(path)):
            assert not variable.numpy().any()
            refusals += 1
        return refusals

    def read_safetensors(self):
        def read():
            reader = open_foreign(f"{DIRECTORY}/x.safetensors")
            for key in reader.keys():
                _refused(lambda key=key: reader.get_tensor(key))

        return _refused(read)

    @staticmethod
    def read_torch(path):
        refusals = 0

        def read():
            nonlocal refusals
            reader = open_foreign(path)
            for key in [] if reader is None else reader.keys():
                refusals += _refused(lambda key=key: reader.get_tensor(key))

        failed = _refused(read)
        return refusals + failed

    # -- all of it -------------------------------------------------------------------------

    def once(self, target, seed):
        """One input; how often a reader refused it."""
        self.disk = self.good.copy()
        chance = random.Random(f"{target} {seed}")
        read = getattr(self, target)(chance)
        try:
            self.size = sum(map(len, self.disk.contents().values()))
            with use_storage(self.disk), warnings.catch_warnings(), Measured() as measured:
                warnings.simplefilter("ignore", RuntimeWarning)  # NaN made an int, in a report
                if target == "of_torch":
                    warnings.simplefilter("ignore")  # PyTorch's, of what it finds in a pickle
                refusals = read()
            assert measured.added <= bound(self.size), f"{measured.added} bytes for {self.size}"
            self.peak = max(self.peak, measured.added)
            if target in {"of_index_bytes", "of_data_bytes"}:
                changed = self.disk.contents() != self.good.contents()
                assert bool(refusals) == changed, "it changed, and nobody said so"
            return refusals
        except BaseException as error:
            raise AssertionError(f"{target}, seed {seed}: {error!r}") from error


TARGETS = [name for name in vars(Fuzz) if name.startswith("of_")]


def mutate_json(chance, text):
    """Other JSON, or something like it."""
    if chance.random() < 0.4:
        return mutate_bytes(chance, text)
    document = json.loads(text)
    odd: list[Callable[[], object]] = [
        lambda: number(chance),
        lambda: -number(chance),
        lambda: float("nan"),
        lambda: float("-inf"),
        lambda: None,
        lambda: True,
        lambda: name(chance).decode(errors="surrogateescape"),
        list,
        dict,
        lambda: 10 ** chance.choice([20, 400, 4000]),
        lambda: 1e308,
    ]

    def change(value, depth=0):
        if isinstance(value, dict) and value and chance.random() < 0.9:
            key = chance.choice(list(value))
            if chance.random() < 0.15:
                value[chance.choice(["x", "", "path", "dtype"])] = value.pop(key)
            else:
                value[key] = change(value[key], depth + 1)
            return value
        if isinstance(value, list) and value and chance.random() < 0.8:
            at = chance.randrange(len(value))
            value[at] = change(value[at], depth + 1)
            return value * chance.choice([1, 1, 1, 2, 200])
        return chance.choice(odd)()

    document = change(document)
    text = json.dumps(document, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.1:
        text = text.replace("1", "[" * chance.choice([5, 2000, 50_000]), 1)
    if chance.random() < 0.1:  # the same key twice
        text = text.replace("{", '{"a": 1, "a": 2, ', 1)
    return text.encode("utf-8", "surrogatepass")


def _refused(action):
    try:
        action()
    except cp.CheckpointError:
        return 1
    return 0


def _state(program):
    return repr(
        (
            program.net.kernel.numpy().tolist(),
            program.net.names.numpy().tolist(),
            float(program.optimizer.rate),
            dict(program.position),
            program.random.generator.bit_generator.state,
            int(program.save_counter),
        )
    )


class _quiet:
    def __enter__(self):
        import logging

        self._logger = logging.getLogger("checkpointable")
        self._level = self._logger.level
        self._logger.setLevel(logging.CRITICAL)

    def __exit__(self, *_):
        self._logger.setLevel(self._level)


def _known(entry):
    from tests.torture.mutate import fields

    found = fields(entry)
    assert found is not None
    return found


def _entry_bytes(reader, key):
    columns = reader._index.columns
    row = reader._row(key)
    return reader._index._buffer[int(columns.start[row]) : int(columns.end[row])]


def _build(pairs):
    table = TableBuilder()
    for key, value in pairs:
        table.add(key, value)
    return table.finish()


def _table(block, kind, chance):
    """A table of one data block, its checksums right."""
    out = b""

    def put(contents, kind):
        nonlocal out
        handle = varint(len(out)) + varint(len(contents))
        stored = contents + bytes((kind,))
        out += stored + mask(crc32c(stored)).to_bytes(4, "little")
        return handle

    data = put(block, kind)
    empty = (0).to_bytes(4, "little") + (1).to_bytes(4, "little")
    metaindex = put(empty, 0)
    key = b"\xff" * chance.randrange(1, 3)
    entry = bytes((0, len(key), len(data))) + key + data
    index = put(entry + empty, 0)
    return out + (metaindex + index).ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def _v1_messages():
    """List of values, and parts: v = [1, 2, 3] whole, p = [1, 2, 3, 4] in two parts."""

    def dims(*sizes):
        return message([(2, 2, message([(1, 0, size)])) for size in sizes])

    def slice_of(*extents):
        return message([(1, 2, message([(i + 1, 0, n) for i, n in enumerate(e)])) for e in extents])

    def saved_meta(label, dtype, shape, *slices):
        return message([(1, 2, label), (2, 2, shape), (3, 0, dtype), *((4, 2, s) for s in slices)])

    whole = slice_of(())
    import struct

    from checkpointable.bundle.slices import slice_key

    metas = [
        saved_meta(b"p", 1, dims(4), slice_of((0, 2)), slice_of((2, 2))),
        saved_meta(b"v", 1, dims(3), whole),
    ]
    versions = message([(1, 0, 1)])
    meta = message([(1, 2, message([*((1, 2, m) for m in metas), (2, 2, versions)]))])

    def part(label, extents, wire, numbers):
        return (
            slice_key(label.decode(), extents),
            message([(2, 2, message([(1, 2, label), (2, 2, wire), (3, 2, numbers)]))]),
        )

    def floats(*numbers):
        return message([(5, 2, struct.pack(f"<{len(numbers)}f", *numbers))])

    parts = [
        part(b"p", ((0, 2),), slice_of((0, 2)), floats(1, 2)),
        part(b"p", ((2, 2),), slice_of((2, 2)), floats(3, 4)),
        part(b"v", ((0, -1),), whole, floats(1, 2, 3)),
    ]
    return meta, sorted(parts)
