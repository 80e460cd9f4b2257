"""Tests of a reader: many values at once, verification, closing and threads."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np

from checkpointable.errors import (
    CheckpointCorruptError,
    CheckpointMismatchError,
    CheckpointNotFoundError,
)
from checkpointable.testing.reader_suite.fixtures import (
    DESCRIPTIONS,
    GRID,
    ReaderTests,
    Write,
    equal,
    raises,
)

__all__ = ["BatchTests"]

_THREADS = 4


class BatchTests(ReaderTests):
    """Tests of many values at once, verification, closing and threads."""

    # -- many values -----------------------------------------------------------------------

    def test_reading_into_arrays(self, write: Write) -> None:
        values = {f"v{i}": np.full((i, 3), i, np.float32) for i in range(20)}
        for verify in (True, False, "stream"):
            with self.open(write(values)) as reader:
                targets = {key: np.zeros_like(value) for key, value in values.items()}
                reader.read_into(targets.items(), verify=verify)
                assert all(equal(targets[key], value) for key, value in values.items())

    def test_reading_into_arrays_of_any_strides(self, write: Write) -> None:
        with self.open(write({"v": GRID, "s": np.array(2, np.int32)})) as reader:
            transposed = np.zeros((5, 4, 3), np.float32).T
            spaced = np.zeros((3, 4, 10), np.float32)[..., ::2]
            scalar = np.zeros((), np.int32)
            reader.read_into([("v", transposed), ("v", spaced), ("s", scalar)])
            assert equal(transposed, GRID)
            assert equal(spaced, GRID)
            assert scalar == 2

    def test_reading_nothing(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            reader.read_into([])
            reader.read_into(iter([]), verify=True)
            reader.check([])

    def test_no_array_changes_unless_all_fit(self, write: Write) -> None:
        frozen = np.zeros_like(GRID)
        frozen.flags.writeable = False
        with self.open(write({"v": GRID})) as reader:
            target = np.zeros_like(GRID)
            wrong_ones = (np.zeros((3, 4), np.float32), np.zeros(GRID.shape, np.float64), frozen)
            for wrong in wrong_ones:
                with raises(CheckpointMismatchError, reader.prefix, "'v'"):
                    reader.read_into([("v", target), ("v", wrong)])
            with raises(TypeError, "'v'"):
                reader.read_into([("v", target), ("v", [1, 2])])  # type: ignore[list-item]
            with raises(CheckpointNotFoundError, "'w'"):
                reader.read_into([("v", target), ("w", target)])
            assert not target.any()

    def test_another_verify_is_an_error(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            for wrong in ("steam", None, 2):
                with raises(ValueError, "verify"):
                    reader.read_into([("v", np.zeros_like(GRID))], verify=wrong)  # type: ignore[arg-type]

    # -- verification ----------------------------------------------------------------------

    def test_nothing_is_damaged(self, write: Write) -> None:
        with self.open(write({"v": GRID, "w": GRID[0], "e": GRID[:0]})) as reader:
            reader.check(reader.keys())
            reader.check(iter(["v"]))
            assert reader.verify() == []

    def test_progress_of_verification_comes_to_its_end(self, write: Write) -> None:
        calls: list[tuple[int, int, str]] = []
        with self.open(write({"v": GRID, "w": GRID})) as reader:
            reader.verify(lambda done, total, key: calls.append((done, total, key)))
            assert bool(calls) is reader.has_checksums
        assert all(done <= total for done, total, _ in calls)
        assert not calls or calls[-1][0] == calls[-1][1]

    def test_checking_a_missing_key(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader, raises(CheckpointNotFoundError, "'w'"):
            reader.check(["v", "w"])

    def test_damage_is_listed(self, write: Write) -> None:
        for reader in self.damaged(write):
            damages = reader.verify()
            assert damages
            assert all(damage.path and damage.what for damage in damages)

    def test_damage_raises_when_a_value_is_checked(self, write: Write) -> None:
        for reader in self.damaged(write):
            with raises(CheckpointCorruptError):
                reader.check(["v"])

    def test_damage_raises_when_a_value_is_read(self, write: Write) -> None:
        for reader in self.damaged(write):
            with raises(CheckpointCorruptError, "'v'"):
                reader.get_tensor("v")

    def test_damage_raises_before_an_array_changes(self, write: Write) -> None:
        for reader in self.damaged(write):
            target = np.zeros(1000, np.float32)
            with raises(CheckpointCorruptError):
                reader.read_into([("v", target)], verify=True)
            assert not target.any()

    def test_damage_raises_in_the_same_pass(self, write: Write) -> None:
        for reader in self.damaged(write):
            with raises(CheckpointCorruptError):
                reader.read_into([("v", np.zeros(1000, np.float32))], verify="stream")

    # -- closing ---------------------------------------------------------------------------

    def test_a_closed_readerraises(self, write: Write) -> None:
        reader = self.open(write({"v": GRID}))
        reader.close()
        for read in self.reads(reader, "v")[DESCRIPTIONS:]:
            with raises(ValueError, "closed"):
                read()

    def test_closing_again(self, write: Write) -> None:
        reader = self.open(write({"v": GRID}))
        reader.close()
        reader.close()

    def test_the_context_manager_closes(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            pass
        with raises(ValueError, "closed"):
            reader.get_tensor("v")

    def test_the_keys_stay_after_closing(self, write: Write) -> None:
        with self.open(write({"v": GRID})) as reader:
            pass
        assert reader.keys() == ["v"]

    # -- threads ---------------------------------------------------------------------------

    def test_threads_share_a_reader(self, write: Write) -> None:
        values = {f"v{i}": np.full((50, 50), i, np.float32) for i in range(40)}
        wrong: list[str] = []
        with self.open(write(values)) as reader:

            def read(keys: Iterable[str]) -> None:
                for key in keys:
                    target = np.empty((50, 50), np.float32)
                    reader.read_into([(key, target)])
                    contents = reader.get_tensor(key)
                    if not (equal(target, values[key]) and equal(contents, values[key])):
                        wrong.append(key)

            threads = [
                threading.Thread(target=read, args=([*values][i:] + [*values][:i],))
                for i in range(_THREADS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not wrong

    def test_two_readers_of_one_file(self, write: Write) -> None:
        path = write({"v": GRID})
        with self.open(path) as one, self.open(path) as other:
            one.close()
            assert equal(other.get_tensor("v"), GRID)
