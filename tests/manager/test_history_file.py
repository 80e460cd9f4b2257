"""The history file of a manager, damaged ones too, and the clock that it goes by."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkpointable.manager.history import HISTORY_FILE_NAME
from tests.manager.helpers import (
    HOUR,
    manager_of,
    names,
    on_disk,
    save,
)


def test_the_history_is_plain_json(tmp_path, clock):
    manager = manager_of(tmp_path, 2)
    save(manager, metrics={"loss": 0.5})
    contents = json.loads((tmp_path / HISTORY_FILE_NAME).read_text("utf-8"))
    assert len(contents.pop("crc32c")) == 8
    assert contents == {
        "version": 1,
        "last_preserved_timestamp": clock.time - 1,
        "checkpoints": [
            {"path": "ckpt-1", "timestamp": clock.time, "fate": "kept", "metrics": {"loss": 0.5}}
        ],
    }


HOSTILE = [
    *(b"", b"{", b"\xff", b"[]", b"1", b'{"version": 2}', b'{"version": 1}', b"[" * 100_000),
    b'{"version": 1, "checkpoints": 3}',
    b'{"version": 1, "checkpoints": [1, null, {}, {"path": 1}, {"path": "ckpt-1"}]}',
    b'{"version": 1, "checkpoints": [{"path": "ckpt-1", "timestamp": "x"}]}',
    b'{"version": 1, "checkpoints": [{"path": "ckpt-1", "timestamp": NaN}]}',
    b'{"version": 1, "checkpoints": [{"path": "ckpt-1", "timestamp": 1e400, "metrics": 2}]}',
    b'{"version": 1, "checkpoints": [{"path": "../ckpt-1", "timestamp": 1, "fate": "expired"}]}',
    b'{"version": 1, "checkpoints": [{"path": "ckpt-1", "timestamp": 1, "fate": "eaten"}]}',
    b'{"version": 1, "checkpoints": [], "last_preserved_timestamp": []}',
    b'{"version": 1, "checkpoints": [], "last_preserved_timestamp": 1e999}',
]


@pytest.mark.parametrize("contents", HOSTILE)
def test_a_damaged_history_costs_no_checkpoint(contents, tmp_path, clock):
    save(manager_of(tmp_path / "other", 1))
    manager = manager_of(tmp_path / "a", 2)
    for _ in range(2):
        clock.time += 1
        save(manager, metrics={"loss": 1})
    (tmp_path / "a" / HISTORY_FILE_NAME).write_bytes(contents)
    manager = manager_of(tmp_path / "a", 2, best=("loss", "min", 1))
    assert names(manager.checkpoints) == ["ckpt-1", "ckpt-2"]  # the state file lists them too
    assert manager.best_checkpoints == []
    clock.time += 1
    save(manager, checkpoint_number=3)
    assert on_disk(tmp_path / "a") == ["ckpt-2", "ckpt-3"]
    assert on_disk(tmp_path / "other") == ["ckpt-1"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_to_the_history_is_survived(data, clock):
    with tempfile.TemporaryDirectory() as directory:
        manager = manager_of(directory, 2, best=("loss", "min", 1))
        for loss in (1, 2, 3, 4):
            clock.time += 1
            save(manager, metrics={"loss": loss})
        path = Path(directory) / HISTORY_FILE_NAME
        contents = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(contents) - 1))
        contents[at] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(bytes(contents))
        manager = manager_of(directory, 2, best=("loss", "min", 1))
        clock.time += 1
        save(manager, checkpoint_number=9)
        assert "ckpt-9" in on_disk(directory)  # and what is there is whole


def test_a_clock_that_was_set_back(tmp_path, clock, caplog):
    manager = manager_of(tmp_path, 1, keep_checkpoint_every_n_hours=1)
    for _ in range(3):
        clock.time += HOUR
        save(manager)
    clock.time -= 5 * HOUR
    with caplog.at_level(logging.WARNING):
        manager = manager_of(tmp_path, 1, keep_checkpoint_every_n_hours=1)
    assert "the clock is" in caplog.text
    save(manager, checkpoint_number=4)
    clock.time += HOUR
    save(manager, checkpoint_number=5)
    assert names(manager.checkpoints) == ["ckpt-5"]
    assert {"ckpt-1", "ckpt-2"} <= set(on_disk(tmp_path))
