"""Makers of harmful files: each makes a function that takes a Fuzz and puts a file."""

from __future__ import annotations

import io
import zipfile

from checkpointable.graph.paths import GRAPH_KEY
from tests.torture.good_files import DIRECTORY, HEADER, PREFIX
from tests.torture.mutate import fields, message
from tests.torture.tables import build_table, known_fields, v1_messages

HUGE = 2**62
MINUS_ONE = 2**64 - 1
KERNEL = "net/kernel/.ATTRIBUTES/VARIABLE_VALUE"
RATE = "optimizer/rate/.ATTRIBUTES/VARIABLE_VALUE"
NAMES = "net/names/.ATTRIBUTES/VARIABLE_VALUE"
POSITION = "position/.ATTRIBUTES/py_state"


def entries(change):
    """The index, with the entries that `change` makes of (key -> entry) pairs."""

    def put(fuzz):
        pairs = {key.encode(): entry for key, (entry, _) in fuzz.entries.items()}
        made = change(pairs)
        made = sorted(pairs.items()) if made is None else made
        fuzz.disk.put(f"{PREFIX}.index", build_table([HEADER, *made]))

    return put


def entry(key, **values):
    """One entry, with other fields: dtype=1, shape=2, shard=3, offset=4, size=5."""
    numbers = {"dtype": 1, "shape": 2, "shard": 3, "offset": 4, "size": 5}

    def change(pairs):
        found = [
            f for f in known_fields(pairs[key.encode()]) if f[0] not in map(numbers.get, values)
        ]
        for name, value in values.items():
            found.append((numbers[name], 2 if name == "shape" else 0, value))
        pairs[key.encode()] = message(found)

    return entries(change)


def shape(*sizes):
    return message([(2, 2, message([(1, 0, size)])) for size in sizes])


def renamed(new):
    def change(pairs):
        pairs[new] = pairs.pop(RATE.encode())

    return entries(change)


def twice(pairs):
    made = sorted(pairs.items())
    return [*made[:3], made[2], *made[3:]]


def graph(change):
    """The object graph, with other nodes: `change` takes the list of their messages."""

    def put(fuzz):
        nodes = [value for _, _, value in fields(fuzz.graph)]
        made = change(nodes)
        nodes = nodes if made is None else made
        fuzz.put_string(GRAPH_KEY, message([(1, 2, node) for node in nodes]))

    return put


def child(node_id, name=b"x"):
    return message([(1, 2, message([(1, 0, node_id), (2, 2, name)]))])


def slot(original, name, variable):
    return message([(3, 2, message([(1, 0, original), (2, 2, name), (3, 0, variable)]))])


def first(more):
    """The root, with something added."""

    def change(nodes):
        nodes[0] += more

    return graph(change)


def deep(levels):
    def put(fuzz):
        nested = b""
        for _ in range(levels):
            nested = message([(9, 2, nested)])
        fuzz.put_string(GRAPH_KEY, fuzz.graph + nested)

    return put


def string(payload):
    return lambda fuzz: fuzz.put_value(NAMES, payload)


def python_state(text):
    return lambda fuzz: fuzz.put_string(POSITION, text)


def state(text):
    return lambda fuzz: fuzz.disk.put(f"{DIRECTORY}/checkpoint", text)


def history(text):
    return lambda fuzz: fuzz.disk.put(f"{DIRECTORY}/checkpoint.history.json", text)


def item(path='"ckpt-1"', time="1.0"):
    listed = f'{{"path": {path}, "timestamp": {time}, "fate": "kept", "metrics": {{"loss": NaN}}}}'
    return f'{{"version": 1, "checkpoints": [{listed}, {listed}]}}'.encode()


def v1(change):
    def put(fuzz):
        meta, parts = v1_messages()
        meta, parts = change(meta, parts)
        fuzz.disk.put(f"{DIRECTORY}/old.ckpt", build_table([(b"", meta), *parts]))

    return put


def v1_tensor(*tensor):
    """Only one value, as its list names it."""
    tensors = message([(1, 2, message([*tensor])), (2, 2, message([(1, 0, 1)]))])
    return v1(lambda meta, parts: (message([(1, 2, tensors)]), parts))


def dims(*sizes):
    return (2, 2, shape(*sizes))


def extent(*pairs):
    return (4, 2, message([(1, 2, message([(1, 0, a), (2, 0, b)])) for a, b in pairs]))


WHOLE = (4, 2, message([(1, 2, b"")]))


def safetensors(header, size=24, length=None):
    def put(fuzz):
        text = header if isinstance(header, bytes) else header.encode()
        count = len(text) if length is None else length
        contents = count.to_bytes(8, "little") + text + bytes(size)
        fuzz.disk.put(f"{DIRECTORY}/x.safetensors", contents)

    return put


def tensor(name='"a"', kind='"U8"', sizes="[24]", begin="0", end="24"):
    return f'{name}: {{"dtype": {kind}, "shape": {sizes}, "data_offsets": [{begin}, {end}]}}'


def torch_file(make, *, legacy=False, change=None):
    def put(fuzz):
        import torch

        file = io.BytesIO()
        torch.save(make(torch), file, _use_new_zipfile_serialization=not legacy)
        contents = file.getvalue() if change is None else change(file.getvalue())
        fuzz.disk.put(f"{DIRECTORY}/x.pt", contents)
        with open(f"{fuzz.directory}/x.pt", "wb") as out:
            out.write(contents)

    return put


def itself(torch):
    contents = {"a": torch.zeros(3)}
    contents["itself"] = contents
    return contents


def doubled(torch):
    contents = {"a": torch.zeros(1)}
    for _ in range(24):
        contents = {"l": contents, "r": contents}
    return contents


def nested(torch):
    contents = {"a": torch.zeros(1)}
    for _ in range(150):
        contents = {"x": contents}
    return contents


def compressed(contents):
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(contents)) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return out.getvalue()


def minus_one_as_size(contents):
    """The tensor's size (7,) becomes (-1,): both are one byte longer in a pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(contents)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name).replace(b"K\x07\x85", b"J\xff\xff\xff\xff\x85")
            new.writestr(name, data)
    return out.getvalue()
