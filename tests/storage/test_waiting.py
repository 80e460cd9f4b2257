"""Waiting long for the lock of a directory is logged, with its holder."""

from __future__ import annotations

import logging
import os
import threading

import pytest

from checkpointable.storage.local import LocalStorage, locks
from tests.storage.test_local import HOLD, child


@pytest.fixture
def said(monkeypatch):
    """What is said at once instead of after some seconds; `wait` until there is a word."""
    monkeypatch.setattr(locks, "SECONDS_BEFORE_WARNING", 0.0)
    words, there = [], threading.Event()

    class Handler(logging.Handler):
        def emit(self, record):
            words.append(record.getMessage())
            there.set()

    handler = Handler(logging.WARNING)
    logging.getLogger("checkpointable").addHandler(handler)
    yield words, there
    logging.getLogger("checkpointable").removeHandler(handler)


def take(directory):
    with LocalStorage().lock_directory(directory):
        pass


def test_another_process_is_named(tmp_path, said):
    words, there = said
    with child(HOLD, str(tmp_path)) as holder:
        assert holder.stdout.readline() == b"held\n"
        thread = threading.Thread(target=take, args=(str(tmp_path),))
        thread.start()
        assert there.wait(60)
        holder.kill()
        thread.join()
    (word,) = words
    assert word.startswith(f"{tmp_path}: waiting for ")
    if os.path.exists("/proc/locks"):
        assert f"process {holder.pid} (" in word
    assert "This continues when that has finished" in word


def test_another_thread_is_named(tmp_path, said):
    words, there = said
    with LocalStorage().lock_directory(str(tmp_path)):
        thread = threading.Thread(target=take, args=(str(tmp_path),))
        thread.start()
        assert there.wait(60)
    thread.join()
    (word,) = words
    assert "waiting for another thread of this process, which" in word


def test_nothing_is_said_where_nobody_holds_it(tmp_path, said):
    take(str(tmp_path))
    assert said[0] == []


def test_no_more_threads_only_means_that_nothing_is_said(tmp_path, said, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", refuse)
    with locks._warning_if_long(str(tmp_path), lambda: "nobody"):
        pass
    assert said[0] == []


def test_a_holder_that_the_system_does_not_tell(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert locks._process_holding(fd) == "another process, maybe of another machine"
    finally:
        os.close(fd)
