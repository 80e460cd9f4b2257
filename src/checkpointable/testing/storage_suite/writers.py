"""Conformance tests: concurrent writers, and whole checkpoints."""

from __future__ import annotations

import numpy as np

from checkpointable.bundle import BundleReader, DataType, ValueToWrite, write_bundle
from checkpointable.storage import Storage, replace_file
from checkpointable.testing.storage_suite.helpers import get, run_in_threads

__all__ = ["WritersTests"]


def _values(number: int) -> list[ValueToWrite]:
    array = np.full(1000 + number, number, np.int32)
    return [ValueToWrite("v", DataType.DT_INT32, array.shape, lambda: array)]


class WritersTests:
    """Tests that writers do not disturb each other, and checkpoints are replaced atomically."""

    def test_a_live_writers_file_is_left_alone(self, storage: Storage, directory: str) -> None:
        path = f"{directory}/f"
        file = storage.create(path, 1)
        assert not storage.delete_if_unused(path)
        assert storage.exists(path)
        file.close()
        if storage.delete_if_unused(path):  # a storage without locks may decide by age
            assert not storage.exists(path)

    def test_the_lock_of_a_directory_excludes(self, storage: Storage, directory: str) -> None:
        inside = 0
        most = 0

        def work() -> None:
            nonlocal inside, most
            for _ in range(20):
                with storage.lock_directory(directory):
                    inside += 1
                    most = max(most, inside)
                    storage.list(directory)
                    inside -= 1

        run_in_threads(lambda _: work())
        assert most == 1
        assert storage.list(directory) == [], "a lock leaves no file behind"

    def test_files_are_replaced_whole(self, storage: Storage, directory: str) -> None:
        for contents in (b"one", b"another"):
            replace_file(storage, f"{directory}/f", contents)
            assert get(storage, f"{directory}/f") == contents
        assert storage.list(directory) == ["f"]

    def test_checkpoints_are_saved_over_one_another(self, storage: Storage, directory: str) -> None:
        prefix = f"{directory}/a/ck"
        for number in (1, 2, 3):
            write_bundle(prefix, _values(number), storage=storage)
            with BundleReader(prefix, storage) as reader:
                assert reader.verify() == []
                assert int(reader.get_tensor("v")[0]) == number
            assert len(storage.list(f"{directory}/a")) in {2, 3}

    def test_threads_that_save_one_prefix_do_not_mix(
        self, storage: Storage, directory: str
    ) -> None:
        prefix = f"{directory}/ck"
        failures: list[BaseException] = []

        def save(number: int) -> None:
            try:
                for _ in range(3):
                    write_bundle(prefix, _values(number), storage=storage, threads=1)
            except BaseException as error:  # noqa: BLE001 - the main thread raises it
                failures.append(error)

        run_in_threads(save, first=1)
        assert not failures, failures
        with BundleReader(prefix, storage) as reader:
            assert reader.verify() == []
        assert not [name for name in storage.list(directory) if name.startswith(".")]
