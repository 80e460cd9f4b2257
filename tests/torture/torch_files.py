"""Files of `torch.save`, mutated: the archive, the pickle's numbers and texts, the bytes."""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile

from tests.torture.mutate import mutate_bytes, name, number

NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1"}
TEXTS = {"BINUNICODE", "SHORT_BINUNICODE"}


def good(*, legacy=False):
    import torch

    contents = {
        "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "b": {"c": torch.zeros(4, dtype=torch.bfloat16), "n": 3, "t": "text"},
        "v": torch.ones(4)[::2],
    }
    file = io.BytesIO()
    torch.save(contents, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def mutated(chance, contents):
    """Another file, of either form; its sums right where it has any."""
    if not contents.startswith(b"PK"):
        return (
            mutate_bytes(chance, contents) if chance.random() < 0.3 else pickled(chance, contents)
        )
    if chance.random() < 0.2:
        return mutate_bytes(chance, contents)
    out = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if chance.random() < 0.1 else zipfile.ZIP_STORED
    with (
        zipfile.ZipFile(io.BytesIO(contents)) as old,
        zipfile.ZipFile(out, "w", kind) as new,
    ):
        for member in old.infolist():
            data = old.read(member)
            label = member.filename
            if label.endswith("data.pkl"):
                data = pickled(chance, data)
            elif chance.random() < 0.1:
                data = mutate_bytes(chance, data)
            if chance.random() < 0.03:
                continue
            if chance.random() < 0.03:
                label = name(chance).decode(errors="replace").replace("\0", "?") or "x"
            if label not in new.NameToInfo:
                new.writestr(label, data)
    return out.getvalue()


def pickled(chance, data):
    """A pickle with other numbers, texts, or a memo used elsewhere."""
    for _ in range(chance.randrange(1, 4)):
        try:
            found = [(code.name, argument, at) for code, argument, at in pickletools.genops(data)]
        except Exception:  # noqa: BLE001 - several pickles in a row, or none any more
            return mutate_bytes(chance, data)
        ends = [at for _, _, at in found[1:]] + [len(data)]
        choices = [
            (code, argument, at, end)
            for (code, argument, at), end in zip(found, ends, strict=True)
            if code in NUMBERS | TEXTS or code in {"BINGET", "TUPLE2", "TUPLE3", "SETITEMS"}
        ]
        if not choices:
            return data
        code, _, at, end = chance.choice(choices)
        if code in NUMBERS:
            value = number(chance)
            new = b"\x8a\x09" + struct.pack("<QB", value, 0)
        elif code in TEXTS:
            text = name(chance)
            new = b"X" + struct.pack("<I", len(text)) + text
        elif code == "BINGET":
            new = b"h" + bytes((chance.randrange(40),))
        else:
            new = data[at:end] * chance.choice([0, 2])
        data = data[:at] + new + data[end:]
    return data
