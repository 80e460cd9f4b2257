"""Storages: all file operations of the library go through this package."""

from __future__ import annotations

from checkpointable.storage.default import checked_storage as checked_storage
from checkpointable.storage.default import default_storage as default_storage
from checkpointable.storage.default import given_path as given_path
from checkpointable.storage.default import optional_storage as optional_storage
from checkpointable.storage.default import takes_storage as takes_storage
from checkpointable.storage.default import use_storage as use_storage
from checkpointable.storage.interface import FileIdentity as FileIdentity
from checkpointable.storage.interface import ReadableFile as ReadableFile
from checkpointable.storage.interface import Storage as Storage
from checkpointable.storage.interface import WritableFile as WritableFile
from checkpointable.storage.local import LocalStorage as LocalStorage
from checkpointable.storage.temporary import check_durability as check_durability
from checkpointable.storage.temporary import create_temporary as create_temporary
from checkpointable.storage.temporary import finish_writing as finish_writing
from checkpointable.storage.temporary import link_or_copy as link_or_copy
from checkpointable.storage.temporary import remove_stale as remove_stale
from checkpointable.storage.temporary import replace_file as replace_file
from checkpointable.storage.temporary import temporary_of as temporary_of
from checkpointable.storage.temporary import temporary_path as temporary_path

__all__ = [
    "FileIdentity",
    "LocalStorage",
    "ReadableFile",
    "Storage",
    "WritableFile",
    "check_durability",
    "checked_storage",
    "create_temporary",
    "default_storage",
    "finish_writing",
    "given_path",
    "link_or_copy",
    "optional_storage",
    "remove_stale",
    "replace_file",
    "takes_storage",
    "temporary_of",
    "temporary_path",
    "use_storage",
]
