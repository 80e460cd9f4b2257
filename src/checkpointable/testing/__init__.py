"""Test tools: storages that record, fail, stop, lose data or are slow, and conformance suites.

Use them to test storages, and programs that save. `use_storage` makes a storage the default in
place of the local files. The library itself imports nothing from here.
"""

from __future__ import annotations

from checkpointable.storage import use_storage as use_storage
from checkpointable.testing.crash import Crash as Crash
from checkpointable.testing.crash import crashes as crashes
from checkpointable.testing.crash import losses as losses
from checkpointable.testing.disk import LOST as LOST
from checkpointable.testing.disk import TORN as TORN
from checkpointable.testing.disk import Change as Change
from checkpointable.testing.faulty import Fault as Fault
from checkpointable.testing.faulty import FaultyStorage as FaultyStorage
from checkpointable.testing.memory import MemoryStorage as MemoryStorage
from checkpointable.testing.reader_suite import ReaderConformance as ReaderConformance
from checkpointable.testing.recording import RecordingStorage as RecordingStorage
from checkpointable.testing.slow import SlowStorage as SlowStorage
from checkpointable.testing.stopping import Stopped as Stopped
from checkpointable.testing.stopping import StoppingStorage as StoppingStorage
from checkpointable.testing.storage_suite import StorageConformance as StorageConformance
from checkpointable.testing.watched import CHANGES as CHANGES
from checkpointable.testing.watched import READS as READS
from checkpointable.testing.watched import Operation as Operation
from checkpointable.testing.watched import WatchedStorage as WatchedStorage

__all__ = [
    "CHANGES",
    "LOST",
    "READS",
    "TORN",
    "Change",
    "Crash",
    "Fault",
    "FaultyStorage",
    "MemoryStorage",
    "Operation",
    "ReaderConformance",
    "RecordingStorage",
    "SlowStorage",
    "Stopped",
    "StoppingStorage",
    "StorageConformance",
    "WatchedStorage",
    "crashes",
    "losses",
    "use_storage",
]
