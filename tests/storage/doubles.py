"""Storages for tests: one that records, fails or stops, one that a power cut can empty."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager

from checkpointable.errors import CheckpointIOError
from checkpointable.storage import LocalStorage, WritableFile


class _Watched(WritableFile):
    def __init__(self, storage, file):
        self.path = file.path
        self._storage = storage
        self._file = file

    def write_at(self, data, offset):
        with self._storage.step("write", self.path):
            self._file.write_at(data, offset)

    def sync(self):
        with self._storage.step("sync", self.path):
            self._file.sync()

    def close(self):
        self._file.close()

    def abort(self):
        self._file.abort()


class WatchedStorage(LocalStorage):
    """Records what changes the disk, as (operation, name); can fail at one, before or after it.

    Args:
      fail_at: the number of the operation that fails, from 0; None for none.
      after: fail once the operation is done, as a disk does that loses the answer.
      error: what to raise; an interrupt stands for a signal or a dying process.
    """

    def __init__(self, fail_at=None, *, after=False, error=None):
        self.steps = []
        self._fail_at = fail_at
        self._after = after
        self._error = error or CheckpointIOError("no space left", errno=errno.ENOSPC)

    @contextmanager
    def step(self, what, path):
        failing = len(self.steps) == self._fail_at
        self.steps.append((what, os.path.basename(path)))
        if failing and not self._after:
            raise self._error
        yield
        if failing:
            raise self._error

    def create(self, path, size):
        file = None
        try:
            with self.step("create", path):
                file = super().create(path, size)
        except BaseException:
            if file is not None:
                file.close()  # nobody else will, and its lock would say that someone writes it
            raise
        return _Watched(self, file)

    def rename(self, source, destination):
        with self.step("rename", destination):
            super().rename(source, destination)

    def link(self, source, destination, *, sync):
        with self.step("link", destination):
            return super().link(source, destination, sync=sync)

    def sync_directory(self, directory):
        with self.step("sync directory", directory):
            super().sync_directory(directory)

    def delete(self, path):
        with self.step("delete", path):
            super().delete(path)


class _Unsynced(WritableFile):
    def __init__(self, storage, file):
        self.path = file.path
        self._storage = storage
        self._file = file

    def write_at(self, data, offset):
        self._storage.stop()
        self._file.write_at(data, offset)

    def sync(self):
        self._storage.stop()
        self._storage.durable.add(os.stat(self._storage.where(self.path)).st_ino)

    def close(self):
        self._file.close()

    def abort(self):
        self._file.close()  # of a machine that is off


class CutError(Exception):
    """The power is off."""


class CutStorage(LocalStorage):
    """Stops at an operation; then `reopen` takes away what had not been made durable.

    The model: the contents of a file that was not synced may be lost (it is left empty);
    the names in a directory that were not synced may be lost, each by itself, or not.
    """

    def __init__(self, stop_at):
        self._left = stop_at
        self.durable = set()  # inodes
        self.pending = []  # undo of changes to names that are not durable, latest last
        self._renamed = {}

    def where(self, path):
        return self._renamed.get(path, path)

    def stop(self):
        if self._left == 0:
            raise CutError
        self._left -= 1

    def create(self, path, size):
        self.stop()
        file = super().create(path, size)
        self.pending.append(("create", path, None))
        return _Unsynced(self, file)

    def rename(self, source, destination):
        self.stop()
        kept = None
        if os.path.exists(destination):
            kept = destination + ".kept"
            os.link(destination, kept)
        super().rename(source, destination)
        self._renamed[source] = destination
        self.pending.append(("rename", source, (destination, kept)))

    def link(self, source, destination, *, sync):
        self.stop()
        done = super().link(source, destination, sync=sync)
        if done:
            self.pending.append(("create", destination, None))
            if sync:
                self.durable.add(os.stat(destination).st_ino)
        return done

    def delete(self, path):
        self.stop()
        kept = path + ".kept"
        os.link(path, kept)
        super().delete(path)
        self.pending.append(("delete", path, kept))

    def sync_directory(self, directory):
        self.stop()
        self.pending.clear()

    def reopen(self, directory, *, lose_names, lose_contents):
        """Leaves the directory as the machine may find it.

        Args:
          lose_names: how many of the latest changes to names are undone.
          lose_contents: whether files that were not synced are emptied.
        """
        for _ in range(min(lose_names, len(self.pending))):
            what, path, more = self.pending.pop()
            if what == "create":
                if os.path.exists(path):
                    os.unlink(path)
            elif what == "delete":
                os.link(more, path)
            else:
                destination, kept = more
                os.replace(destination, path)
                if kept is not None:
                    os.link(kept, destination)
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if name.endswith(".kept"):
                os.unlink(path)
            elif lose_contents and os.stat(path).st_ino not in self.durable:
                os.truncate(path, 0)
