"""The two formats of TensorFlow's checkpoints: bundles (V2), and V1."""

from __future__ import annotations

from checkpointable.bundle.reading.reader import BundleReader
from checkpointable.bundle.v1.files import v1_files
from checkpointable.bundle.v1.reader import V1Reader
from checkpointable.bundle.v1.table import is_table
from checkpointable.readers.formats import Candidate, Format, OpenOptions

__all__ = ["BUNDLE", "V1"]


def _open_bundle(candidate: Candidate, options: OpenOptions) -> BundleReader:
    mmap, verifier, damaged = options
    return BundleReader(
        candidate.path, candidate.storage, damaged=damaged, mmap=mmap, verifier=verifier
    )


def _is_v1(candidate: Candidate) -> bool:
    if candidate.is_file:
        with candidate.storage.open(candidate.path) as file:
            return is_table(file)
    return bool(v1_files(candidate.path, candidate.storage))


def _open_v1(candidate: Candidate, _options: OpenOptions) -> V1Reader:
    return V1Reader(candidate.path, candidate.storage)  # its values cannot be mapped


BUNDLE = Format("a checkpoint", lambda candidate: candidate.has_index, _open_bundle)
V1 = Format("a checkpoint of TensorFlow before 0.12 (V1)", _is_v1, _open_v1)
