"""What two checkpoints have in common and where they differ, value by value."""

from __future__ import annotations

import enum
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from checkpointable.bundle import BundleReader
from checkpointable.errors import CheckpointUnsupportedError
from checkpointable.graph.encoding import decode_graph
from checkpointable.graph.object_graph import NodePaths, ObjectGraph
from checkpointable.graph.paths import GRAPH_KEY, VARIABLE_VALUE, escape
from checkpointable.graph.value import STRING
from checkpointable.loading import read_graph
from checkpointable.reading import load_checkpoint
from checkpointable.report.counterparts import (
    SLOT_MARK,
    find_counterparts,
    suggest_renames,
    unmatched,
)
from checkpointable.report.report import ValueInfo
from checkpointable.restore.match import dtype_name

if TYPE_CHECKING:
    import numpy.typing as npt

    from checkpointable.saving import Path, Progress

__all__ = ["Comparison", "Difference", "Verdict", "compare_checkpoints"]

_CHUNK_ELEMENTS = 1 << 20
_BATCH_SIZE = 1 << 26  # bytes that are verified together


class Verdict(str, enum.Enum):
    """What the comparison of a value came to."""

    EQUAL = "equal"
    CHANGED = "changed"
    MISMATCH = "mismatch"  # another shape or dtype
    ONLY_IN_FIRST = "only in the first"
    ONLY_IN_SECOND = "only in the second"

    def __str__(self) -> str:
        return self.value


@dataclass
class Difference:
    """One value of either checkpoint, or of both.

    Attributes:
      path: the object's path; the name, where a checkpoint has no object graph.
      attribute: the attribute, as "VARIABLE_VALUE"; "" for a value of no object.
      verdict: what the comparison came to.
      first, second: dtype and shape on either side, None where it is not there.
      first_key, second_key: its key on either side, None where it is not there.
      elements: how many there are, where both sides have the same shape.
      count: how many of them differ; None where a value can be compared only as a whole.
      largest: the largest absolute difference of two elements; None unless numbers changed,
        NaN where one side alone is not a number.
      contents: of a value of one element that changed, both sides: a number or `bytes`.
      candidate: the path of the likely counterpart of a value that is only on one side, or
        that is another one under this path.
    """

    path: str
    attribute: str
    verdict: Verdict
    first: ValueInfo | None = None
    second: ValueInfo | None = None
    first_key: str | None = None
    second_key: str | None = None
    elements: int = 0
    count: int | None = 0
    largest: float | None = None
    contents: tuple[Any, Any] | None = None
    candidate: str | None = None


@dataclass
class Comparison:
    """What `compare_checkpoints` found, in the order of the paths.

    Attributes:
      first, second: the checkpoints' prefixes.
      differences: one a value, equal ones too.
      renames: first's path -> second's, where a rename is likely: what
        `restore(first, renames=…)` would need in a program that fits the second.
    """

    first: str
    second: str
    differences: list[Difference] = field(default_factory=list)
    renames: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.differences)

    @property
    def equal(self) -> bool:
        """Whether all values are on both sides, and equal."""
        return all(entry.verdict is Verdict.EQUAL for entry in self.differences)

    @property
    def counts(self) -> dict[str, int]:
        """How many values have which verdict; verdicts that none has are left out."""
        counted = {
            verdict.value: sum(entry.verdict is verdict for entry in self.differences)
            for verdict in Verdict
        }
        return {verdict: number for verdict, number in counted.items() if number}


def compare_checkpoints(
    first: Path, second: Path, *, tolerance: float = 0.0, progress: Progress | None = None
) -> Comparison:
    """Compares the values of two checkpoints, by object path or, without graphs, by name.

    Objects are matched as a restore matches them: from the root along edges of equal local
    name, slots by their optimizer and their variable. The names of a name-based checkpoint
    count as paths beside one with objects.

    Elements are equal if their numbers are, and also where both are not a number. Every value
    that is compared is verified; large ones are compared in chunks where they lie.

    Args:
      first, second: a prefix, an `.index` file, or a directory (its latest checkpoint).
      tolerance: elements that differ by no more than this are equal.
      progress: called with (bytes done, bytes in all, key), bytes of the first.

    Raises:
      CheckpointNotFoundError, CheckpointCorruptError: as `load_checkpoint`; also for a value
        whose checksum does not hold.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}; it must not be negative")
    with load_checkpoint(first) as one, load_checkpoint(second) as other:
        result = Comparison(one.prefix, other.prefix)
        places = _places(one, other)
        sizes = [_size(one, place) for place in places]
        total, done = sum(sizes), 0
        for start, stop in _batches(sizes):
            batch = places[start:stop]
            one.check(p.first for p in batch if p.first and p.second)
            other.check(p.second for p in batch if p.first and p.second)
            for place, size in zip(batch, sizes[start:stop], strict=True):
                result.differences.append(_compare(one, other, place, tolerance))
                if progress is not None and place.first and place.second:
                    done += size
                    progress(done, total, place.first)
    _add_candidates(result)
    return result


# -- which value stands against which --------------------------------------------------------


class _Place(NamedTuple):
    path: str
    attribute: str
    first: str | None  # the keys
    second: str | None


def _places(one: BundleReader, other: BundleReader) -> list[_Place]:
    graphs = [
        decode_graph(read_graph(reader), reader.prefix) if GRAPH_KEY in reader else None
        for reader in (one, other)
    ]
    if graphs[0] is not None and graphs[1] is not None:
        found = _places_of_graphs(graphs[0], graphs[1])
        found += _of_no_object(one, graphs[0], other, graphs[1])
    else:
        is_named = graphs[0] is graphs[1]  # both None
        ours, theirs = (
            _by_path(reader, graph, escaped=not is_named)
            for reader, graph in zip((one, other), graphs, strict=True)
        )
        found = [_Place(*place, ours.get(place), theirs.get(place)) for place in {**ours, **theirs}]
    return sorted(
        place
        for place in found
        if (place.first is None or place.first in one)
        and (place.second is None or place.second in other)
    )


def _by_path(
    reader: BundleReader, graph: ObjectGraph | None, *, escaped: bool
) -> dict[tuple[str, str], str]:
    if graph is None:
        names = {key: "/".join(map(escape, key.split("/"))) for key in reader.keys()}
        return {(names[key] if escaped else key, VARIABLE_VALUE): key for key in names}
    paths = NodePaths(graph)
    return {
        (paths[node_id], attribute.name): attribute.checkpoint_key
        for node_id, node in enumerate(graph.nodes)
        for attribute in node.attributes
    }


def _places_of_graphs(a: ObjectGraph, b: ObjectGraph) -> list[_Place]:
    a_paths, b_paths = NodePaths(a), NodePaths(b)
    found: list[_Place] = []
    in_a, in_b = set[int](), set[int]()
    for i, j in _matched(a, b):
        # Of an object that is two objects on the other side, each stands under its own path.
        path = b_paths[j] if i in in_a else a_paths[i]
        in_a.add(i)
        in_b.add(j)
        keys = {v.name: v.checkpoint_key for v in b.nodes[j].attributes}
        own = {v.name: v.checkpoint_key for v in a.nodes[i].attributes}
        found += [_Place(path, name, own.get(name), keys.get(name)) for name in {**own, **keys}]
    found += [
        _Place(a_paths[i], value.name, value.checkpoint_key, None)
        for i, node in enumerate(a.nodes)
        if i not in in_a
        for value in node.attributes
    ]
    found += [
        _Place(b_paths[j], value.name, None, value.checkpoint_key)
        for j, node in enumerate(b.nodes)
        if j not in in_b
        for value in node.attributes
    ]
    return found


def _matched(a: ObjectGraph, b: ObjectGraph) -> list[tuple[int, int]]:
    """The nodes that a restore would match; one may be matched with several."""
    pairs = [(0, 0)] if a.nodes and b.nodes else []
    seen_a, seen_b = {0}, {0}
    partner = {0: 0}

    def add(i: int, j: int) -> None:
        if i not in seen_a or j not in seen_b:
            seen_a.add(i)
            seen_b.add(j)
            partner.setdefault(i, j)
            pairs.append((i, j))

    def walk(position: int) -> None:
        while position < len(pairs):
            i, j = pairs[position]
            names = {child.local_name: child.node_id for child in b.nodes[j].children}
            for child in a.nodes[i].children:
                if child.local_name in names:
                    add(child.node_id, names[child.local_name])
            position += 1

    walk(0)
    reached = len(pairs)
    for i, j in pairs[:reached]:
        slots = {
            (slot.original_variable_node_id, slot.slot_name): slot.slot_variable_node_id
            for slot in b.nodes[j].slot_variables
        }
        for slot in a.nodes[i].slot_variables:
            variable = partner.get(slot.original_variable_node_id)
            if variable is not None and (variable, slot.slot_name) in slots:
                add(slot.slot_variable_node_id, slots[variable, slot.slot_name])
    walk(reached)
    return pairs


def _of_no_object(
    one: BundleReader, a: ObjectGraph, other: BundleReader, b: ObjectGraph
) -> list[_Place]:
    """Values that no object has: those of TensorFlow's registered savers, say."""
    left = []
    for reader, graph in ((one, a), (other, b)):
        known = {value.checkpoint_key for node in graph.nodes for value in node.attributes}
        left.append([key for key in reader.keys() if key not in known and key != GRAPH_KEY])
    return [
        _Place(key, "", key if key in left[0] else None, key if key in left[1] else None)
        for key in dict.fromkeys(left[0] + left[1])
    ]


# -- one value against another ---------------------------------------------------------------


def _size(reader: BundleReader, place: _Place) -> int:
    """The bytes of the first that are compared."""
    return reader.entry(place.first).size if place.first and place.second else 0


def _batches(sizes: list[int]) -> Iterator[tuple[int, int]]:
    """Portions, from and to, that stay in memory from their check to their comparison."""
    start = size = 0
    for position, more in enumerate(sizes, 1):
        size += more
        if size >= _BATCH_SIZE or position == len(sizes):
            yield start, position
            start, size = position, 0


def _compare(one: BundleReader, other: BundleReader, place: _Place, tolerance: float) -> Difference:
    first, second = _info(one, place.first), _info(other, place.second)
    entry = Difference(
        place.path, place.attribute, Verdict.EQUAL, first, second, place.first, place.second
    )
    if place.first is None or place.second is None:
        entry.verdict = Verdict.ONLY_IN_FIRST if place.first else Verdict.ONLY_IN_SECOND
    elif first != second:
        entry.verdict = Verdict.MISMATCH
    else:
        entry.elements = math.prod(one.shape(place.first))
        a, b = _contents(one, place.first), _contents(other, place.second)
        if a is None or b is None:
            is_equal = one.get_bytes(place.first) == other.get_bytes(place.second)
            entry.count = 0 if is_equal else None
        else:
            entry.count, entry.largest = difference(a, b, tolerance)
            if entry.count and entry.elements == 1:
                entry.contents = (a.reshape(-1)[0], b.reshape(-1)[0])
        if entry.count != 0:
            entry.verdict = Verdict.CHANGED
    return entry


def _info(reader: BundleReader, key: str | None) -> ValueInfo | None:
    if key is None:
        return None
    try:
        name = dtype_name(reader.dtype(key))
    except CheckpointUnsupportedError:  # a variant, say
        name = reader.entry(key).dtype.name.removeprefix("DT_").lower()
    return ValueInfo(name, reader.shape(key))


def _contents(reader: BundleReader, key: str) -> npt.NDArray[Any] | None:
    """A value: where it lies in the file if that can be; None if it is no array."""
    try:
        return reader.view(key)
    except CheckpointUnsupportedError:
        try:
            contents = reader.get_tensor(key)
        except CheckpointUnsupportedError:
            return None
        if not isinstance(contents, bytes):
            return contents
        array = np.empty((), object)
        array[()] = contents
        return array


def difference(
    a: npt.NDArray[Any], b: npt.NDArray[Any], tolerance: float = 0.0
) -> tuple[int, float | None]:
    """How many elements of two arrays of one dtype and shape differ, and by how much at most.

    The largest difference is None where nothing differs or elements are no numbers, NaN where
    one side alone is not a number. Of integers it is exact.
    """
    if a.dtype == STRING or a.dtype.kind == "S":
        count = sum(x != y for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
        return count, None
    count = 0
    largest: float | None = None
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    for start in range(0, a.size, _CHUNK_ELEMENTS):
        x, y = (flat[start : start + _CHUNK_ELEMENTS] for flat in (flat_a, flat_b))
        if np.array_equal(_bits(x), _bits(y)):
            continue
        unequal, by = _difference_of_chunk(x, y)
        if tolerance and by is not None:
            unequal &= ~(by <= tolerance)
        found = int(np.count_nonzero(unequal))
        if not found:
            continue
        count += found
        if by is not None:
            largest = _larger(largest, by[unequal].max().item())
    return count, largest


def _larger(a: float | None, b: float) -> float:
    """The larger of two amounts; not a number, if one of them is that."""
    return b if a is None or not (math.isnan(a) or b <= a) else a


def _difference_of_chunk(
    x: npt.NDArray[Any], y: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any] | None]:
    """(which elements differ, by how much); no amount for what is no number."""
    if x.dtype.kind == "b":
        return x != y, None
    if x.dtype.name.startswith(("int", "uint")):
        if x.dtype.kind not in "iu":  # those of 2 and 4 bits
            x, y = x.astype(np.int8), y.astype(np.int8)
        # Modulo 2^64, so exact for all of them.
        by = np.maximum(x, y).astype(np.uint64) - np.minimum(x, y).astype(np.uint64)
        return x != y, by
    wide = np.complex128 if x.dtype.kind == "c" else np.float64
    own, other = x.astype(wide), y.astype(wide)
    unequal = (own != other) & ~(np.isnan(own) & np.isnan(other))
    with np.errstate(invalid="ignore", over="ignore"):
        return unequal, np.abs(own - other)


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(array).view(np.uint8)


# -- counterparts ----------------------------------------------------------------------------


def _add_candidates(result: Comparison) -> None:
    alone: defaultdict[str, list[Difference]] = defaultdict(list)
    for entry in result.differences:
        if entry.verdict in (Verdict.ONLY_IN_FIRST, Verdict.MISMATCH):
            alone["first"].append(entry)
        if entry.verdict in (Verdict.ONLY_IN_SECOND, Verdict.MISMATCH):
            alone["second"].append(entry)
    found = find_counterparts(
        [unmatched(e.path, e.attribute, e.second) for e in alone["second"]],
        [unmatched(e.path, e.attribute, e.first) for e in alone["first"]],
    )
    sides: list[tuple[list[Difference], Mapping[str, Any]]] = [
        (alone["second"], found.of_program),
        (alone["first"], found.of_checkpoint),
    ]
    for entries, guesses in sides:
        for entry in entries:
            guess = guesses.get(entry.path)
            if guess is not None and guess.sure:
                entry.candidate = guess.paths[0]
    pairs = [
        (guess.paths[0], path)
        for path, guess in found.of_program.items()
        if guess.sure and SLOT_MARK not in path and guess.paths[0] != path
    ]
    settled = [e.path for e in result.differences if e.verdict in (Verdict.EQUAL, Verdict.CHANGED)]
    taken = set[str]()
    for entry in result.differences:
        path = entry.path if entry.first is not None else ""
        while path and path not in taken:
            taken.add(path)
            path = path.rpartition("/")[0]
    result.renames = suggest_renames(pairs, settled, taken)
