"""Mutations: of bytes, numbers, texts, JSON, and the messages that a format consists of."""

from __future__ import annotations

import json

NUMBERS = [
    *(0, 1, 2, 3, 7, 127, 128, 255, 256, 1000, 65_535, 2**20, 2**31 - 1, 2**31, 2**32 - 1),
    *(2**32, 2**40, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
]
NAMES = [
    *("", "a", "v", "..", "../x", "/", "/etc/passwd", "a\0b", "\0", ".ATTRIBUTES", "a/b", "a.Sb"),
    *("_CHECKPOINTABLE_OBJECT_GRAPH", "v/.ATTRIBUTES/VARIABLE_VALUE", "é" * 20, "x" * 5000, "💥"),
    *("C:\\x", "-1", "\n", "\x1b[31m", "save_counter", "ckpt-1"),
]


def varint(number):
    number &= 2**64 - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def number(chance):
    """An interesting number, negative ones as protobuf writes them."""
    found = chance.choice(NUMBERS)
    return (found + chance.randrange(-2, 3)) & (2**64 - 1) if chance.random() < 0.5 else found


def name(chance):
    """An interesting name as bytes, some of them no UTF-8."""
    if chance.random() < 0.15:
        return bytes(chance.randrange(256) for _ in range(chance.randrange(6)))
    return chance.choice(NAMES).encode()


def mutate_bytes(chance, data):
    """One to four changes of a run of bytes."""
    data = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(data) + 1)
        size = chance.randrange(1, 9)
        kind = chance.randrange(7)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at:at] = bytes(chance.randrange(256) for _ in range(size))
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size * 8] * chance.randrange(1, 4)
        elif kind == 4:
            data[at : at + size] = varint(number(chance))
        elif kind == 5:
            del data[at:]
        else:
            other = chance.randrange(len(data) + 1)
            data[at : at + size] = data[other : other + size]
    return bytes(data)


def fields(data):
    """(field, wire type, value) of a message; None where it is none."""
    found = []
    at = 0
    while at < len(data):
        tag, at = _varint_at(data, at)
        if tag is None:
            return None
        kind = tag & 7
        if kind == 0:
            value, at = _varint_at(data, at)
            if value is None:
                return None
        elif kind == 2:
            size, at = _varint_at(data, at)
            if size is None or at + size > len(data):
                return None
            value, at = data[at : at + size], at + size
        elif kind in {1, 5}:
            size = 8 if kind == 1 else 4
            if at + size > len(data):
                return None
            value, at = data[at : at + size], at + size
        else:
            return None
        found.append((tag >> 3, kind, value))
    return found


def _varint_at(data, at):
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at
    return None, at


def message(found):
    """The bytes of fields."""
    out = bytearray()
    for field, kind, value in found:
        out += varint(field << 3 | kind)
        if kind == 0:
            out += varint(value)
        elif kind == 2:
            out += varint(len(value)) + value
        else:
            out += value
    return bytes(out)


def mutate_message(chance, data, depth=0):
    """One change somewhere in a message, in the terms of its structure."""
    found = fields(data)
    if found is None or (not found and depth):
        return chance.choice([name, lambda c: mutate_bytes(c, data)])(chance)
    if not found:
        return message([(chance.randrange(1, 9), 0, number(chance))])
    at = chance.randrange(len(found))
    field, kind, value = found[at]
    action = chance.randrange(10)
    if action < 6:  # within a field
        if kind == 0:
            value = number(chance)
        elif kind == 2 and fields(value) and chance.random() < 0.8:
            value = mutate_message(chance, value, depth + 1)
        elif kind == 2:
            value = name(chance) if chance.random() < 0.7 else mutate_bytes(chance, value)
        else:
            value = bytes(chance.randrange(256) for _ in value)
        found[at] = (field, kind, value)
    elif action == 6:
        del found[at]
    elif action == 7:
        found[at:at] = [found[at]] * chance.choice([1, 2, 50])
    elif action == 8:
        chance.shuffle(found)
    else:  # deep nesting, of groups or of messages
        deep = b""
        for _ in range(chance.choice([3, 40, 200])):
            deep = message([(field, 2, deep)])
        found.append((field, 2, deep) if chance.random() < 0.7 else (field, 0, number(chance)))
    return message(found)


def mutate_json(chance, text):
    """Other JSON, or something like it."""
    if chance.random() < 0.4:
        return mutate_bytes(chance, text)
    document = json.loads(text)
    odd = [
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
