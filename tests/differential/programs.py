"""Random programs as plain data: objects, and what is done to them in which order.

A program is built twice from the same description, once of our objects and once of
TensorFlow's (`sides.py`). Object 0 is the root. Nothing here knows either library.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

Kind = Literal["module", "optimizer", "variable", "state"]

One = namedtuple("One", ["only"])
Two = namedtuple("Two", ["b", "a"])
Three = namedtuple("Three", ["x", "y", "x1"])
NAMED_TUPLES = {1: One, 2: Two, 3: Three}


# -- what may stand on the right of an assignment -------------------------------------------


@dataclass(frozen=True)
class Ref:
    """An object, by its number."""

    index: int


@dataclass(frozen=True)
class Leaf:
    """Something that is not tracked."""

    value: Any


@dataclass(frozen=True)
class Untracked:
    """Something assigned with NoDependency."""

    value: Any


@dataclass(frozen=True)
class Sequential:
    """A list, a tuple or a named tuple."""

    kind: Literal["list", "tuple", "named"]
    items: tuple[Any, ...]


@dataclass(frozen=True)
class Keyed:
    """A dict or an OrderedDict."""

    ordered: bool
    items: tuple[tuple[Any, Any], ...]


@dataclass(frozen=True)
class Same:
    """The container that an earlier assignment put there, in its tracked form."""

    owner: int
    name: str


# -- what is done --------------------------------------------------------------------------


@dataclass(frozen=True)
class Assign:
    """`objects[owner].name = value`"""

    owner: int
    name: str
    value: Any


@dataclass(frozen=True)
class Append:
    """`objects[owner].name.append(value)`"""

    owner: int
    name: str
    value: Any


@dataclass(frozen=True)
class SetItem:
    """`objects[owner].name[key] = value`"""

    owner: int
    name: str
    key: Any
    value: Any


@dataclass(frozen=True)
class Delete:
    """`del objects[owner].name`"""

    owner: int
    name: str


@dataclass(frozen=True)
class AddSlot:
    """The slot of a variable, with the contents number `contents`."""

    optimizer: int
    variable: int
    name: str
    contents: int


@dataclass
class Program:
    """Objects, what is done with them, and what is in them.

    `contents`: of variables and states by object number, of slots by higher numbers.
    """

    kinds: list[Kind]
    steps: list[Any] = field(default_factory=list)
    contents: dict[int, Any] = field(default_factory=dict)

    @property
    def slots(self) -> list[AddSlot]:
        return [step for step in self.steps if isinstance(step, AddSlot)]


# -- contents ------------------------------------------------------------------------------

DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "bfloat16", "complex64", "complex128", "string"),
    *("float8_e5m2", "float8_e4m3fn"),
    *(n for n in ("int4", "uint4", "int2", "uint2", "float4_e2m1fn") if hasattr(ml_dtypes, n)),
]
_NARROW = {"bool": 1, "int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "float4_e2m1fn": 4}
SHAPES = [(), (1,), (3,), (0,), (2, 0), (2, 3), (0, 2), (1, 1, 2)]
STRINGS = [b"", b"a", b"\0", b"\xff\xfe", "ü".encode(), b"x" * 200]


def numpy_dtype(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


def make_contents(dtype: str, shape: tuple[int, ...], seed: int) -> np.ndarray[Any, Any]:
    """Any bit patterns that the dtype has; strings of any bytes."""
    random = np.random.default_rng(seed)
    if dtype == "string":
        picked = [STRINGS[i] for i in random.integers(len(STRINGS), size=int(np.prod(shape)))]
        array = np.empty(len(picked), dtype=object)
        array[:] = picked
        return array.reshape(shape)
    kind = numpy_dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    raw = random.integers(2 ** _NARROW.get(dtype, 8), size=size, dtype=np.uint8)
    if dtype in {"int4", "int2"}:
        bits = _NARROW[dtype]
        signed = raw.astype(np.int8)
        return (signed - ((signed >> (bits - 1)) << bits)).astype(kind).reshape(shape)
    return raw.view(kind).reshape(shape)


def blank(contents: Any) -> Any:
    """Other contents of the same dtype and shape: where a program starts before a restore."""
    if isinstance(contents, bytes):
        return b"blank"
    if contents.dtype == object:
        return np.full(contents.shape, b"blank", dtype=object)
    return np.ones(contents.shape, np.int8).astype(contents.dtype)


@st.composite
def arrays(draw: Any, dtypes: Sequence[str] = DTYPES) -> Any:
    shape = draw(st.sampled_from(SHAPES))
    return make_contents(draw(st.sampled_from(dtypes)), shape, draw(st.integers(0, 2**32 - 1)))


# -- names ---------------------------------------------------------------------------------

ODD_NAMES = [
    *("/", ".", "..", "...", ".S", "..S", "/.", "./", "//", "a/b/c", "a.b", "d/.S", ".Sx"),
    *("0", "00", "1", "-1", "٣", "²", " ", "\t", "\n", "\x7f", "ünï", "日本", "\U0001f600", "é"),
    *(".OPTIMIZER_SLOT", ".ATTRIBUTES/x", "ATTRIBUTES", "VARIABLE_VALUE", "x/", "/x", "class"),
    *("-non_string_key", "_x", "__y", "self", "root", "x" * 300, "\0", "\0\x01", "%s", "'\"\\"),
    "",
]
PLAIN_NAMES = ["a", "b", "c", "kernel", "bias", "layer_1", "x9"]

# Attributes that the objects of one of the sides have of themselves.
TAKEN = {
    *("name", "name_scope", "variables", "trainable_variables", "non_trainable_variables"),
    *("submodules", "with_name_scope", "add_slot", "get_slot", "get_slot_names"),
}


def usable(name: str) -> bool:
    """Whether both sides can have it: TensorFlow cannot restore what `.ATTRIBUTES` ends."""
    return (
        name not in TAKEN
        and not name.endswith(".ATTRIBUTES")
        and not name.startswith(("__", "_self_", "_tf", "_TF", "_checkpoint"))
    )


def names(*, odd: bool) -> st.SearchStrategy[str]:
    if not odd:
        return st.sampled_from(PLAIN_NAMES)
    letters = st.characters(exclude_categories=["Cs"])
    text = st.text(letters, max_size=6) | st.text("/.S0a", max_size=5)
    return (st.sampled_from(ODD_NAMES + PLAIN_NAMES) | text).filter(usable)


LEAVES = st.sampled_from([0, 1.5, None, "text", True, b"bytes"]).map(Leaf)


# -- programs ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Taste:
    """What kind of programs to make.

    `changes`: attributes are re-assigned and deleted too. `piecewise`: containers start
    with what they are assigned with, and get more later. `odd_slots`: slots of objects that
    are no variables too.
    """

    odd_names: bool = False
    containers: bool = True
    max_slots: int = 2
    max_modules: int = 4
    max_variables: int = 4
    max_edges: int = 5
    changes: bool = True
    piecewise: bool = True
    odd_slots: bool = False
    dtypes: Sequence[str] = tuple(DTYPES)


class _Maker:
    def __init__(self, draw: Any, taste: Taste) -> None:
        self.draw = draw
        self.taste = taste
        self.name = names(odd=taste.odd_names)
        counts = {
            "module": draw(st.integers(1, taste.max_modules)),
            "optimizer": draw(st.integers(0, min(2, taste.max_slots))),
            "variable": draw(st.integers(0, taste.max_variables)),
            "state": draw(st.integers(0, 1)),
        }
        kinds: list[Any] = [kind for kind, count in counts.items() for _ in range(count)]
        self.program = Program(kinds)
        self.refs = st.integers(0, len(kinds) - 1).map(Ref)
        self.owners = [i for i, k in enumerate(kinds) if k in {"module", "optimizer"}]
        # Where containers stand: (owner, name) -> "list" or "dict".
        self.containers: dict[tuple[int, str], str] = {}
        # What attributes hold: True if both libraries track it.
        self.tracked: dict[tuple[int, str], bool] = {}

    def make(self) -> Program:
        draw, program = self.draw, self.program
        for index, kind in enumerate(program.kinds):
            if kind == "variable":
                program.contents[index] = draw(arrays(self.taste.dtypes))
            elif kind == "state":
                program.contents[index] = draw(st.sampled_from(STRINGS))
        for owner in self.owners:
            for _ in range(draw(st.integers(0, self.taste.max_edges))):
                self.step(owner)
        self.add_slots()
        return program

    def step(self, owner: int) -> None:
        draw = self.draw
        mine = [(o, n) for o, n in self.containers if self.taste.piecewise]
        if mine and draw(st.integers(0, 3)) == 0:
            self.extend(*draw(st.sampled_from(mine)))
            return
        name = draw(self.name)
        place = (owner, name)
        if place in self.tracked:
            # TensorFlow keeps the dependency when an attribute gets something untracked.
            if not self.taste.changes or not self.tracked[place] or place in self.containers:
                return
            if draw(st.booleans()):
                self.program.steps.append(Delete(owner, name))
                del self.tracked[place]
            else:
                self.program.steps.append(Assign(owner, name, draw(self.refs)))
            return
        value = self.value(2 if self.taste.containers else 0)
        if isinstance(value, Same) and (value.owner, value.name) == place:
            return
        self.program.steps.append(Assign(owner, name, value))
        self.tracked[place] = not isinstance(value, Leaf | Untracked)
        if isinstance(value, Sequential) and value.kind == "list":
            self.containers[place] = "list"
        elif isinstance(value, Keyed):
            self.containers[place] = "dict"

    def extend(self, owner: int, name: str) -> None:
        """One item more in a container that is there."""
        value = self.value(1)
        if self.containers[owner, name] == "list":
            self.program.steps.append(Append(owner, name, value))
            return
        key = self.draw(self.name)
        if any(key in self.keys_of(step, owner, name) for step in self.program.steps):
            return
        self.program.steps.append(SetItem(owner, name, key, value))

    @staticmethod
    def keys_of(step: Any, owner: int, name: str) -> list[Any]:
        if getattr(step, "owner", None) != owner or step.name != name:
            return []
        if isinstance(step, SetItem):
            return [step.key]
        if isinstance(step, Assign) and isinstance(step.value, Keyed):
            return [key for key, _ in step.value.items]
        return []

    def value(self, depth: int) -> Any:
        """Something to assign. Drawn step by step: nested strategies are slow to make."""
        draw = self.draw
        shapes = ["list", "tuple", "named", "dict", "ordered"] if depth else []
        # Not within containers: TensorFlow cannot save one that contains itself.
        same = ["same"] if depth == 2 and self.containers else []
        kind = draw(st.sampled_from(["ref", "ref", "ref", "leaf", "untracked", *same, *shapes]))
        if kind == "leaf":
            return draw(LEAVES)
        if kind == "ref":
            return draw(self.refs)
        if kind == "untracked":
            return Untracked(draw(self.refs))
        if kind == "same":
            return Same(*draw(st.sampled_from(list(self.containers))))
        count = draw(st.integers(1 if kind == "named" else 0, 3))
        items = [self.value(depth - 1) for _ in range(count)]
        if kind in {"list", "tuple", "named"}:
            return Sequential(kind, tuple(items))
        pairs = {draw(self.name): item for item in items}
        if draw(st.integers(0, 4)) == 0:
            pairs[3] = draw(LEAVES)
        return Keyed(kind == "ordered", tuple(pairs.items()))

    def add_slots(self) -> None:
        draw, program = self.draw, self.program
        optimizers = [i for i, kind in enumerate(program.kinds) if kind == "optimizer"]
        taken = set()
        for _ in range(draw(st.integers(0, self.taste.max_slots)) if optimizers else 0):
            optimizer = draw(st.sampled_from(optimizers))
            variables = [i for i, kind in enumerate(program.kinds) if kind == "variable"]
            # Rarely of something else that is tracked: both libraries go by identity.
            others = self.owners if self.taste.odd_slots else []
            if not (variables or others):
                continue
            variable = draw(st.sampled_from(variables * 4 + others))
            name = draw(self.name)
            if (optimizer, variable, name) in taken:
                continue
            taken.add((optimizer, variable, name))
            number = len(program.kinds) + len(taken)
            program.contents[number] = draw(arrays(self.taste.dtypes))
            program.steps.append(AddSlot(optimizer, variable, name, number))


@st.composite
def programs(draw: Any, taste: Taste) -> Program:
    return _Maker(draw, taste).make()
