"""Inputs made of good ones by mutations: read, or refused by an error of ours; never worse."""

from __future__ import annotations

import hashlib
import json
import os
import random
import warnings

from checkpointable.bundle.checksum import crc32c, mask
from checkpointable.graph.paths import GRAPH_KEY
from checkpointable.storage import LocalStorage, use_storage
from tests.torture.good_files import DATA, DIRECTORY, HEADER, PREFIX
from tests.torture.measure import Measured, bound
from tests.torture.mutate import (
    message,
    mutate_bytes,
    mutate_json,
    mutate_message,
    name,
    number,
    varint,
)
from tests.torture.readers import Readers
from tests.torture.tables import build_table, table_of_block, v1_messages
from tests.torture.torch_files import good, mutated

LENGTHS_MAX = 3


class Fuzz(Readers):
    """Good files, and what is made of them.

    Each method that begins with `of_` takes a source of chance, changes the files on `disk`, and
    gives what reads them.
    """

    def __init__(self):
        super().__init__()
        self.torch_files = []
        self.peak = 0
        self.size = 0

    def of_index_bytes(self, chance):
        """The index, its checksums as they come."""
        path = f"{PREFIX}.index"
        self.disk.put(path, mutate_bytes(chance, self.good.contents()[path]))
        return self.read_bundle

    def of_entries(self, chance):
        """Header and entries, in an index whose checksums hold."""
        pairs = [HEADER]
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
                pairs[at] = (key, _any_entry(chance))
        self.put_index(pairs, chance)
        return self.read_bundle

    def of_blocks(self, chance):
        """The blocks of an index: shared prefixes, restart points, compression; sums hold."""
        import cramjam

        entries = [HEADER]
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
        self.disk.put(f"{PREFIX}.index", table_of_block(block, kind, chance))
        return self.read_bundle

    def of_graph(self, chance):
        """The object graph, its value's checksum right."""
        graph = self.graph
        for _ in range(chance.randrange(1, 4)):
            graph = mutate_message(chance, graph)
        if chance.random() < 0.1:
            graph = mutate_bytes(chance, graph)
        self.put_string(GRAPH_KEY, graph)
        return self.read_bundle

    def of_python_state(self, chance):
        """The JSON of a state, and that of a random number generator."""
        key = f"{chance.choice(['position', 'random'])}/.ATTRIBUTES/py_state"
        length = self.entries[key][1]
        self.put_string(key, mutate_json(chance, length[length.index(b"{") :]))
        return self.read_bundle

    def of_strings(self, chance):
        """The bytes of string values: lengths, their checksum, contents."""
        key = chance.choice([k for k in self.entries if "names" in k or k == GRAPH_KEY])
        if chance.random() < 0.5:
            self.put_value(key, mutate_bytes(chance, self.entries[key][1]))
            return self.read_bundle
        # The sums hold, whatever the lengths say.
        lengths = [chance.choice([0, 1, 2, 5, number(chance)]) for _ in range(chance.randrange(4))]
        sums = b"".join(
            n.to_bytes(4 if n < 2**32 else 8, "little") for n in (n % 2**64 for n in lengths)
        )
        stored = mask(crc32c(sums)).to_bytes(4, "little")
        contents = bytes(sum(lengths) if sum(lengths) < 100 else 8)
        payload = b"".join(map(varint, lengths)) + stored + contents
        self.put_value(key, payload, mask(crc32c(contents, crc32c(stored, crc32c(sums)))))
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
        meta, parts = v1_messages()
        for _ in range(chance.randrange(1, 4)):
            if chance.random() < 0.5:
                meta = mutate_message(chance, meta)
            else:
                at = chance.randrange(len(parts))
                key, value = parts[at]
                parts[at] = (key, mutate_message(chance, value))
                if chance.random() < 0.2:
                    parts[at] = (mutate_bytes(chance, key), value)
        table = build_table([(b"", meta), *parts])
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


def _any_entry(chance):
    """An entry of any shape and size, at any place."""
    shape = message([(2, 2, message([(1, 0, number(chance))])) for _ in range(chance.randrange(4))])
    found = [(1, 0, chance.choice([1, 2, 7, 9, 10, 21, number(chance)])), (2, 2, shape)]
    found += [(f, 0, number(chance)) for f in (3, 4, 5) if chance.random() < 0.6]
    found.append((6, 5, chance.randbytes(4)))
    if chance.random() < 0.3:
        extent = message([(1, 0, number(chance)), (2, 0, number(chance))])
        found.append((7, 2, message([(1, 2, extent)] * chance.randrange(3))))
    return message(found)
