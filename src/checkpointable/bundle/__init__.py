"""The checkpoint files: TensorFlow's V2 format ("tensor bundle"), ignorant of objects."""

from __future__ import annotations

from checkpointable.bundle.dtypes import DataType as DataType
from checkpointable.bundle.dtypes import datatype_of as datatype_of
from checkpointable.bundle.dtypes import itemsize as itemsize
from checkpointable.bundle.dtypes import numpy_dtype as numpy_dtype
from checkpointable.bundle.index.entry import Entry as Entry
from checkpointable.bundle.index.header import Header as Header
from checkpointable.bundle.reading.open_files import checkpoints_in as checkpoints_in
from checkpointable.bundle.reading.reader import BundleReader as BundleReader
from checkpointable.bundle.reading.verify import Damage as Damage
from checkpointable.bundle.writing.index import encode_index as encode_index
from checkpointable.bundle.writing.index import write_index as write_index
from checkpointable.bundle.writing.layout import Layout as Layout
from checkpointable.bundle.writing.layout import ValueToWrite as ValueToWrite
from checkpointable.bundle.writing.layout import make_layout as make_layout
from checkpointable.bundle.writing.rekey import rekey_bundle as rekey_bundle
from checkpointable.bundle.writing.staging import Staging as Staging
from checkpointable.bundle.writing.staging import StagingMemory as StagingMemory
from checkpointable.bundle.writing.target import check_target as check_target
from checkpointable.bundle.writing.writer import BundleWriter as BundleWriter
from checkpointable.bundle.writing.writer import write_bundle as write_bundle

__all__ = [
    "BundleReader",
    "BundleWriter",
    "Damage",
    "DataType",
    "Entry",
    "Header",
    "Layout",
    "ValueToWrite",
    "Staging",
    "StagingMemory",
    "check_target",
    "checkpoints_in",
    "datatype_of",
    "encode_index",
    "itemsize",
    "numpy_dtype",
    "make_layout",
    "rekey_bundle",
    "write_bundle",
    "write_index",
]
