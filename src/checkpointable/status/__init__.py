"""Load statuses: the outcome of a restore, and assertions about it (S27-S35, S38)."""

from __future__ import annotations

from checkpointable.status.checkpoint import CheckpointLoadStatus as CheckpointLoadStatus
from checkpointable.status.initialization import (
    InitializationOnlyStatus as InitializationOnlyStatus,
)
from checkpointable.status.name_based import NameBasedSaverStatus as NameBasedSaverStatus
from checkpointable.status.status import LoadStatus as LoadStatus

__all__ = [
    "CheckpointLoadStatus",
    "InitializationOnlyStatus",
    "LoadStatus",
    "NameBasedSaverStatus",
]
