"""The options of saves, restores and managers: their names, types and meaning, in one place."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast

import numpy as np

from checkpointable.common.deprecation import warn_deprecated
from checkpointable.common.suggestions import similar_names
from checkpointable.common.types import Durability, Progress
from checkpointable.manifest import Key, Signer, signer_of
from checkpointable.saving.saving import WriteSettings
from checkpointable.storage import Storage

if TYPE_CHECKING:
    from checkpointable.restore import Names, Verify

__all__ = [
    "AsyncSaveOptions",
    "Best",
    "ManagerOptions",
    "RestoreOptions",
    "SaveOptions",
    "check_options",
    "takes_blocking",
    "write_settings",
]

_Method = TypeVar("_Method", bound=Callable[..., Any])

# (metric, "min" or "max", how many)
Best = tuple[str, str, int]


class SaveOptions(TypedDict, total=False):
    """Options of `save` and `write`.

    Attributes:
      durability: "fsync" (the default): the files and their directory are synced before the call
        returns. "flush": the files survive the process, but not a crash of the machine.
      progress: called with (bytes done, total bytes, key) by the thread that writes.
      sign_with: the key that signs a manifest (docs/format.md) of SHA-256 hashes over the
        checkpoint's files: a secret of at least 32 bytes (HMAC-SHA256), or an Ed25519 private key
        as an object of `cryptography`, as PEM, or as the path of a PEM file. True: a manifest
        without a signature. False (the default): no manifest.
    """

    durability: Durability
    progress: Progress | None
    sign_with: bool | Key


class AsyncSaveOptions(SaveOptions, total=False):
    """Options of `save_async` and `write_async`: those of `SaveOptions`, and this one.

    Attributes:
      max_staging_bytes: the most memory, in bytes, that copies of values may take. Values that do
        not fit are written before the call returns. None (the default): no limit.
    """

    max_staging_bytes: int | None


class RestoreOptions(TypedDict, total=False):
    """Options of `restore` and `read`.

    Attributes:
      renames: path in the checkpoint -> path in the program, for code that was renamed since:
        `{"encoder/blocks": "encoder/layers"}`; `*` matches any run within a segment.
      names: for a checkpoint without an object graph whose objects have no global names: a
        mapping or a function from the path of an object to its name in the checkpoint (S39).
      module: for a file of tensors: the path of the module that its names are relative to. None
        (the default): the only module there is (S38).
      verify: True (the default): all checksums of the values to assign are verified before the
        first variable changes. "stream": each value is verified while it is assigned,
        in one pass over the files; when damage is found, some variables have changed. False:
        nothing is verified (S25).
      progress: called with (bytes done, total bytes, key) for the values of objects that exist
        now. A checkpoint without an object graph is read later, by its status.
      trusted_key: the checkpoint must have a manifest signed with this key (an Ed25519 public key
        will do). Values are compared with the manifest in private memory: those of existing
        objects before the first variable changes, the others when they are restored (S41).
    """

    renames: Mapping[str, str] | None
    names: Names | None
    module: str | None
    verify: Verify
    progress: Progress | None
    trusted_key: Key | None


class ManagerOptions(TypedDict, total=False):
    """Further options of `CheckpointManager`.

    Attributes:
      init_fn: a function that `restore_or_initialize` calls if there is no checkpoint.
      best: `(metric, "min" or "max", k)`: in addition to the newest checkpoints, keep the k best by
        this metric, which `save` takes in `metrics=`. Of equal ones the older is better.
      last_checkpoint_step: the step of the save before the first, for `checkpoint_interval`.
      sign_with: signs the manifest of every save, see `SaveOptions`.
      trusted_key: every restored checkpoint must be signed with this key, see `RestoreOptions`;
        `restore_latest_valid` skips those that are not.
      storage: where the checkpoints are. None (the default): the storage of the `checkpoint`, or
        else the default storage.
    """

    init_fn: Callable[[], object] | None
    best: Best | None
    last_checkpoint_step: int | None
    sign_with: bool | Key
    trusted_key: Key | None
    storage: Storage | None


def check_options(function: str, options: Mapping[str, Any], known: Any) -> None:
    """Checks that every option is one that the function has.

    Args:
      function: its name, for the message.
      options: the keyword arguments that it was called with.
      known: the typed dict of its options.

    Raises:
      TypeError: an option is not known; the message names similar ones.
    """
    names = known.__optional_keys__ | known.__required_keys__
    for name in options:
        if name not in names:
            close = similar_names(name, sorted(names))
            similar = " or ".join(f"{other}=" for other in close)
            advice = f"; did you mean {similar}?" if close else "."
            raise TypeError(
                f"{function}() got an unknown option {name}={advice} "
                f"Its options are {', '.join(sorted(names))}"
            )


def write_settings(
    function: str, options: Mapping[str, Any], known: Any, signer: Signer | None = None
) -> WriteSettings:
    """Checks the options of a save, and returns them as settings.

    Args:
      function, options, known: as in `check_options`.
      signer: signs the manifest if the options specify no signer.

    Raises:
      TypeError: an option is not known, or of a wrong type.
      ValueError: an option has an invalid value.
    """
    check_options(function, options, known)
    if "sign_with" in options:
        signer = signer_of(options["sign_with"])
    staging = options.get("max_staging_bytes")
    _check_staging_bytes(staging)
    return WriteSettings(
        options.get("durability", "fsync"), options.get("progress"), signer, staging
    )


def _check_staging_bytes(max_staging_bytes: Any) -> None:
    if max_staging_bytes is None:
        return
    try:
        size = operator.index(max_staging_bytes)
    except TypeError:
        raise TypeError(
            f"max_staging_bytes is {max_staging_bytes!r}; it must be an integer number of bytes, "
            "or None for no limit"
        ) from None
    if size < 0:
        raise ValueError(f"max_staging_bytes is {max_staging_bytes}; it cannot be negative")


def takes_blocking(method: _Method) -> _Method:
    """Decorates `save` or `write` so that it still accepts `blocking=` and `max_staging_bytes=`.

    The decorated method warns. `blocking=False` calls the method of the same name with `_async`.
    """
    name = method.__name__

    @functools.wraps(method)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        if "blocking" not in options and "max_staging_bytes" not in options:
            return method(self, *arguments, **options)
        blocking = options.pop("blocking", True)
        if not isinstance(blocking, bool | np.bool_):
            raise ValueError(  # noqa: TRY004 - like `verify=`: a wrong value of any type
                f"blocking is {blocking!r}; it must be True or False. It is deprecated: call "
                f"{name} (the checkpoint is there when it returns) or {name}_async (it returns a "
                "SaveHandle)"
            )
        if not blocking:
            warn_deprecated(
                f"blocking=False of {method.__qualname__}",
                f"call {name}_async instead, without blocking=",
            )
            return getattr(self, f"{name}_async")(*arguments, **options)
        _check_staging_bytes(options.pop("max_staging_bytes", None))  # it makes no copies
        warn_deprecated(
            f"passing blocking= or max_staging_bytes= to {method.__qualname__}",
            f"leave them out: {name} always blocks, and {name}_async takes max_staging_bytes=",
        )
        return method(self, *arguments, **options)

    return cast("_Method", call)
