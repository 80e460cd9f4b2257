"""The classic ways to harm a reader, each by name, for each kind of file: refused, or harmless."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

import checkpointable as cp
from checkpointable.storage import LocalStorage, use_storage
from tests.torture.fuzz import Fuzz
from tests.torture.good_files import DATA, PREFIX
from tests.torture.makers import (
    HUGE,
    MINUS_ONE,
    RATE,
    WHOLE,
    child,
    compressed,
    deep,
    dims,
    doubled,
    entries,
    entry,
    extent,
    first,
    graph,
    history,
    item,
    itself,
    minus_one_as_size,
    nested,
    python_state,
    renamed,
    safetensors,
    shape,
    slot,
    state,
    string,
    tensor,
    torch_file,
    twice,
    v1,
    v1_tensor,
)
from tests.torture.measure import Measured, bound
from tests.torture.mutate import message

BUNDLES = {
    "index: the same key twice": (entries(twice), True),
    "index: keys in no order": (entries(lambda pairs: sorted(pairs.items())[::-1]), True),
    "index: a name with ..": (renamed(b"../../etc/passwd"), True),
    "index: a name with NUL": (renamed(b"a\0b"), True),
    "index: a name that is no UTF-8": (renamed(b"\xff\xfe"), True),
    "index: a name of 1 MB": (renamed(b"x" * 2**20), True),
    "entry: two values in the same bytes": (entry(RATE, offset=0), True),
    "entry: a negative size": (entry(RATE, size=MINUS_ONE), True),
    "entry: a negative offset": (entry(RATE, offset=MINUS_ONE), True),
    "entry: an offset near the end of numbers": (entry(RATE, offset=2**63 - 2), True),
    "entry: a size of exabytes": (entry(RATE, shape=shape(HUGE), size=HUGE), True),
    "entry: a negative dimension": (entry(RATE, shape=shape(MINUS_ONE)), True),
    "entry: a product that wraps around": (entry(RATE, shape=shape(2**32, 2**32)), True),
    "entry: no elements of absurd dimensions": (
        entry(RATE, shape=shape(0, HUGE, HUGE), size=0),
        True,
    ),
    "entry: a rank of 1,000": (entry(RATE, shape=shape(*[1] * 1000)), True),
    "entry: a dtype that nobody has": (entry(RATE, dtype=99), True),
    "entry: a data file of another number": (entry(RATE, shard=7), True),
    "entry: a negative data file": (entry(RATE, shard=MINUS_ONE), True),
    "string: a length of exabytes": (string(b"\xff" * 8 + b"\x7f" + b"\x01" + bytes(6)), True),
    "string: lengths that wrap around": (string((b"\xff" * 9 + b"\x01") * 2 + bytes(4)), True),
    "string: a number without an end": (string(b"\xff" * 40), True),
    "graph: a node within itself": (first(child(0, b"again")), False),
    "graph: a ring of two": (first(child(1, b"ring") + child(0, b"ring2")), False),
    "graph: a node that is not there": (first(child(2**31 - 1)), True),
    "graph: a negative node": (first(child(MINUS_ONE)), True),
    "graph: the same name twice": (first(child(1, b"x") + child(2, b"x")), True),
    "graph: a name with ..": (first(child(1, b"../../x")), False),
    "graph: a name with NUL": (first(child(1, b"a\0b")), False),
    "graph: a name that is no UTF-8": (first(child(1, b"\xff")), True),
    "graph: 200,000 nodes": (graph(lambda nodes: [*nodes, *[b""] * 200_000]), True),
    "graph: nested 5,000 deep": (deep(5_000), False),
    "graph: a slot of a slot of itself": (first(slot(0, b"m", 0)), False),
    "graph: a slot of a node that is not there": (first(slot(2**31 - 1, b"m", 5)), True),
    "graph: a value whose key is a path": (
        first(message([(2, 2, message([(1, 2, b"V"), (3, 2, b"../../etc/passwd")]))])),
        True,
    ),
    "state: NaN": (python_state(b"NaN"), True),
    "state: 100,000 lists deep": (python_state(b"[" * 100_000), True),
    "state: no UTF-8": (python_state(b'{"at": "\xff"}'), True),
    "state: a number of 5,000 digits": (python_state(b'{"at": [' + b"9" * 5000 + b"]}"), True),
}


DIRECTORIES = {
    "state file: a name with ..": state(b'model_checkpoint_path: "../../../etc/passwd"\n'),
    "state file: a name with NUL": state(b'model_checkpoint_path: "a\\000b"\n'),
    "state file: no UTF-8": state(b'model_checkpoint_path: "\xff\xfe"\n'),
    "state file: the latest twice": state(b'model_checkpoint_path: "a"\n' * 2),
    "state file: 5,000 times the same": state(
        b'model_checkpoint_path: "ckpt-1"\n' + b'all_model_checkpoint_paths: "ckpt-1"\n' * 5_000
    ),
    "state file: nested 10,000 deep": state(b"x {" * 10_000),
    "state file: NaN, infinity and absurd times": state(
        b'model_checkpoint_path: "ckpt-1"\nall_model_checkpoint_paths: "ckpt-1"\n'
        b"all_model_checkpoint_timestamps: nan\nlast_preserved_timestamp: -inf\n"
    ),
    "history: NaN": history(item(time="NaN")),
    "history: infinity": history(item(time="1e999")),
    "history: a negative time": history(item(time="-1e300")),
    "history: a number of 5,000 digits": history(item(time="9" * 5000)),
    "history: the same twice": history(item()),
    "history: the same key twice": history(b'{"version": 2, "version": 1, "checkpoints": 1}'),
    "history: a name with ..": history(item('"../../ckpt-1"')),
    "history: a name with NUL": history(item('"ckpt\\u0000-1"')),
    "history: half a surrogate": history(item('"\\ud800-1"')),
    "history: no UTF-8": history(b'{"version": 1, "\xff": 1}'),
    "history: 100,000 lists deep": history(b'{"version": ' + b"[" * 100_000),
}


V1 = {
    "V1: a negative dimension": v1_tensor((1, 2, b"v"), dims(MINUS_ONE), (3, 0, 1), WHOLE),
    "V1: a shape of exabytes": v1_tensor((1, 2, b"v"), dims(HUGE, HUGE), (3, 0, 1), WHOLE),
    "V1: parts that overlap": v1_tensor(
        (1, 2, b"p"), dims(4), (3, 0, 1), extent((0, 3)), extent((2, 2))
    ),
    "V1: a part of negative size": v1_tensor(
        (1, 2, b"p"), dims(4), (3, 0, 1), extent((2, MINUS_ONE))
    ),
    "V1: a name that is no UTF-8": v1_tensor((1, 2, b"\xff"), dims(3), (3, 0, 1), WHOLE),
    "V1: the same name twice": v1(lambda meta, parts: (meta.replace(b"\x01p", b"\x01v"), parts)),
    "V1: nested 5,000 deep": v1(
        lambda meta, parts: (b"".join([b"\x4a\x80\x80\x01"] * 5_000), parts)
    ),
    "V1: 20,000 parts of one value": v1_tensor(
        (1, 2, b"p"), dims(4), (3, 0, 1), *[extent((0, 1))] * 20_000
    ),
}


SAFETENSORS = {
    "safetensors: a key twice": safetensors("{" + tensor() + "," + tensor() + "}"),
    "safetensors: a field twice": safetensors(
        '{"a": {"dtype": "I8", "dtype": "U8", "shape": [24], "data_offsets": [0, 24]}}'
    ),
    "safetensors: overlapping ranges": safetensors(
        "{" + tensor(end="16", sizes="[16]") + "," + tensor('"b"', begin="8", sizes="[16]") + "}"
    ),
    "safetensors: a gap": safetensors("{" + tensor(begin="8", sizes="[16]") + "}"),
    "safetensors: a negative size": safetensors("{" + tensor(begin="-8") + "}"),
    "safetensors: a negative dimension": safetensors("{" + tensor(sizes="[-24]") + "}"),
    "safetensors: an absurd shape": safetensors("{" + tensor(sizes=f"[{HUGE}, {HUGE}]") + "}"),
    "safetensors: no elements of an absurd shape": safetensors(
        "{" + tensor(sizes=f"[0, {HUGE}]", end="0", kind='"F64"') + "}", 0
    ),
    "safetensors: a rank of 1,000": safetensors("{" + tensor(sizes=str([1] * 1000)) + "}", 24),
    "safetensors: NaN": safetensors("{" + tensor(sizes="[NaN]") + "}"),
    "safetensors: a number of 5,000 digits": safetensors("{" + tensor(end="9" * 5000) + "}"),
    "safetensors: true": safetensors("{" + tensor(sizes="[true]", end="true") + "}", 1),
    "safetensors: no UTF-8": safetensors(b'{"\xff": 1}'),
    "safetensors: UTF-16": safetensors(("{" + tensor() + "}").encode("utf-16")),
    "safetensors: half a surrogate": safetensors("{" + tensor('"\\ud800"') + "}"),
    "safetensors: 100,000 lists deep": safetensors('{"a": ' + "[" * 100_000),
    "safetensors: a header of exabytes": safetensors("{}", length=2**63),
    "safetensors: a list": safetensors("[]", 0),
}


TORCH = {
    "torch: a dict within itself": torch_file(itself),
    "torch: a dict within itself, the old form": torch_file(itself, legacy=True),
    "torch: 16 million names in 2 KB": torch_file(doubled),
    "torch: nested 150 deep": torch_file(nested),
    "torch: a billion elements that are one": torch_file(
        lambda torch: {"a": torch.zeros(1).expand(2**30)}
    ),
    "torch: the same in the old form": torch_file(
        lambda torch: {"a": torch.zeros(1).expand(2**30)}, legacy=True
    ),
    "torch: compressed": torch_file(
        lambda torch: {"a": torch.zeros(10_000_000)}, change=compressed
    ),
    "torch: a name twice": torch_file(
        lambda torch: {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1)}
    ),
    "torch: no contents": torch_file(lambda torch: {"a": torch.zeros(3, device="meta")}),
    "torch: a negative size": torch_file(
        lambda torch: {"a": torch.zeros(7)}, change=minus_one_as_size
    ),
    "torch: cut short": torch_file(
        lambda torch: {"a": torch.zeros(7)}, change=lambda contents: contents[:-30]
    ),
}


@pytest.fixture(scope="module")
def fuzz():
    return Fuzz()


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL)


def read(fuzz, put, reader):
    """How often it is refused; more memory than is promised fails."""
    fuzz.disk = fuzz.good.copy()
    put(fuzz)
    size = sum(map(len, fuzz.disk.contents().values()))
    with use_storage(fuzz.disk), Measured() as measured:
        refusals = reader()
    assert measured.added <= bound(size), f"{measured.added} bytes of memory for {size}"
    return refusals


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle(fuzz, name):
    put, refused = BUNDLES[name]
    assert bool(read(fuzz, put, fuzz.read_bundle)) == refused


@pytest.mark.parametrize("name", DIRECTORIES)
def test_a_directory(fuzz, name):
    """The checkpoint that is there is found, kept and gone on from, whatever these files say."""
    read(fuzz, DIRECTORIES[name], fuzz.read_directory)


@pytest.mark.parametrize("name", V1)
def test_a_v1_file(fuzz, name):
    assert read(fuzz, V1[name], fuzz.read_v1)


@pytest.mark.parametrize("name", SAFETENSORS)
def test_a_safetensors_file(fuzz, name):
    assert read(fuzz, SAFETENSORS[name], fuzz.read_safetensors)


@pytest.mark.parametrize("name", TORCH)
def test_a_torch_file(fuzz, name):
    def local():
        with use_storage(LocalStorage()):
            return fuzz.read_torch(f"{fuzz.directory}/x.pt")

    assert read(fuzz, TORCH[name], local)


def test_names_of_tensors_are_no_paths(tmp_path):
    """With `..` and NUL in them they are read and written as what they are: names."""
    header = "{" + tensor('"../../a\\u0000b"') + "}"
    text = header.encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(24))
    reader = cp.load_checkpoint(path)
    assert reader.keys() == ["../../a\0b"]
    assert not reader.get_tensor("../../a\0b").any()
    index = tmp_path / "m.safetensors.index.json"
    for name in ("../x.safetensors", "a\0.safetensors", "..", "", "/etc/passwd", 3, None, ["x"]):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(cp.CheckpointError):
            cp.load_checkpoint(index)


def test_no_value_changes_where_a_bundle_is_refused(fuzz):
    """The kernel is whole, the rate is not: neither is assigned (S25)."""
    fuzz.disk = fuzz.good.copy()
    contents = bytearray(fuzz.disk.contents()[DATA])
    contents[fuzz.offset_of(fuzz.entries[RATE][0])] ^= 1
    fuzz.disk.put(DATA, bytes(contents))
    program = fuzz.program()
    with use_storage(fuzz.disk), pytest.raises(cp.CheckpointCorruptError):
        program.restore(PREFIX)
    assert np.array_equal(program.net.kernel.numpy(), np.zeros((3, 2), np.float32))
