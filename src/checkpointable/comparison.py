"""What two checkpoints have in common and where they differ, value by value."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpointable.bundle import BundleReader
from checkpointable.graph.encoding import decode_graph
from checkpointable.graph.object_graph import NodePaths
from checkpointable.graph.paths import GRAPH_KEY, VARIABLE_VALUE
from checkpointable.graph.value import STRING
from checkpointable.loading import read_graph
from checkpointable.management import checkpoint_prefix
from checkpointable.report.counterparts import Unmatched, find_counterparts
from checkpointable.report.report import ValueInfo
from checkpointable.restore.match import dtype_name

if TYPE_CHECKING:
    from checkpointable.saving import Path, Progress

__all__ = ["Comparison", "Difference", "Verdict", "compare_checkpoints"]

_CHUNK_ELEMENTS = 1 << 20


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
      path: the object's path; the key, where a checkpoint has no object graph.
      attribute: the attribute, as "VARIABLE_VALUE".
      verdict: what the comparison came to.
      first, second: dtype and shape on either side, None where it is not there.
      largest: the largest absolute difference of two elements; None unless numbers changed,
        NaN where one side alone is not a number.
      count: how many elements differ.
      candidate: the path of the likely counterpart of a value that is only on one side.
    """

    path: str
    attribute: str
    verdict: Verdict
    first: ValueInfo | None = None
    second: ValueInfo | None = None
    largest: float | None = None
    count: int = 0
    candidate: str | None = None


@dataclass
class Comparison:
    """What `compare_checkpoints` found, in the order of the first checkpoint's keys."""

    first: str
    second: str
    differences: list[Difference] = field(default_factory=list)

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
    first: Path, second: Path, *, progress: Progress | None = None
) -> Comparison:
    """Compares the values of two checkpoints, by object path or, without graphs, by name.

    Values are equal if their bits are, and also where both are not a number.

    Args:
      progress: called with (values done, values in all, key).

    Raises:
      CheckpointNotFoundError, CheckpointCorruptError: as `load_checkpoint`; also for a value
        whose checksum does not hold.
    """
    with (
        BundleReader(checkpoint_prefix(first)) as one,
        BundleReader(checkpoint_prefix(second)) as other,
    ):
        ours, theirs = _keys(one), _keys(other)
        result = Comparison(one.prefix, other.prefix)
        places = [*ours, *(place for place in theirs if place not in ours)]
        for done, place in enumerate(places):
            result.differences.append(
                _compare(one, ours.get(place), other, theirs.get(place), place)
            )
            if progress is not None:
                progress(done + 1, len(places), place[0])
    _add_candidates(result)
    return result


def _keys(reader: BundleReader) -> dict[tuple[str, str], str]:
    """(path, attribute) -> key, of every value but the graph itself."""
    if GRAPH_KEY not in reader:
        return {(key, VARIABLE_VALUE): key for key in reader.keys()}
    graph = decode_graph(read_graph(reader), reader.prefix)
    paths = NodePaths(graph)
    keys = {
        (paths[node_id], attribute.name): attribute.checkpoint_key
        for node_id, node in enumerate(graph.nodes)
        for attribute in node.attributes
    }
    return {place: key for place, key in sorted(keys.items()) if key in reader}


def _compare(
    one: BundleReader,
    own_key: str | None,
    other: BundleReader,
    other_key: str | None,
    place: tuple[str, str],
) -> Difference:
    first, second = _info(one, own_key), _info(other, other_key)
    entry = Difference(*place, Verdict.EQUAL, first, second)
    if own_key is None or other_key is None:
        entry.verdict = Verdict.ONLY_IN_FIRST if other_key is None else Verdict.ONLY_IN_SECOND
    elif first != second:
        entry.verdict = Verdict.MISMATCH
    else:
        entry.count, entry.largest = difference(
            np.asarray(one.get_tensor(own_key)), np.asarray(other.get_tensor(other_key))
        )
        if entry.count:
            entry.verdict = Verdict.CHANGED
    return entry


def _info(reader: BundleReader, key: str | None) -> ValueInfo | None:
    return None if key is None else ValueInfo(dtype_name(reader.dtype(key)), reader.shape(key))


def difference(
    a: np.ndarray[Any, np.dtype[Any]], b: np.ndarray[Any, np.dtype[Any]]
) -> tuple[int, float | None]:
    """How many elements of two arrays of one dtype and shape differ, and by how much at most.

    The largest difference is None where nothing differs or elements are no numbers, NaN where
    one side alone is not a number.
    """
    if a.dtype == STRING or a.dtype.kind == "S":
        count = sum(x != y for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
        return count, None
    if a.size == 0 or np.array_equal(_bits(a), _bits(b)):
        return 0, None
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    count, largest = 0, 0.0
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    for start in range(0, a.size, _CHUNK_ELEMENTS):
        x, y = (flat[start : start + _CHUNK_ELEMENTS] for flat in (flat_a, flat_b))
        own, other = x.astype(wide), y.astype(wide)
        # Integers beyond 2**53 are told apart by themselves, not by their nearest floats.
        unequal = (x != y) & ~(np.isnan(own) & np.isnan(other))
        found = int(np.count_nonzero(unequal))
        if found:
            count += found
            with np.errstate(invalid="ignore"):
                largest = float(np.maximum(largest, np.max(np.abs(own - other)[unequal])))
    return count, largest if count else None


def _bits(array: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _add_candidates(result: Comparison) -> None:
    only_first = [e for e in result.differences if e.verdict is Verdict.ONLY_IN_FIRST]
    only_second = [e for e in result.differences if e.verdict is Verdict.ONLY_IN_SECOND]
    found = find_counterparts(
        [Unmatched(e.path, (e.attribute, e.first)) for e in only_first],
        [Unmatched(e.path, (e.attribute, e.second)) for e in only_second],
    )
    sides: list[tuple[list[Difference], Mapping[str, Any]]] = [
        (only_first, found.of_program),
        (only_second, found.of_checkpoint),
    ]
    for entries, guesses in sides:
        for entry in entries:
            guess = guesses.get(entry.path)
            if guess is not None and guess.sure:
                entry.candidate = guess.paths[0]
