"""The exceptions of this package, as a tree that you can catch at any level.

```
CheckpointError
├── CheckpointNotFoundError     (FileNotFoundError)    no checkpoint at this path
├── CheckpointCorruptError      (ValueError)           the bytes differ from those written
├── CheckpointUnsupportedError  (NotImplementedError)  intact, but of a kind that cannot be read
├── CheckpointMismatchError     (ValueError)           intact, but does not fit the program
├── CheckpointSignatureError    (ValueError)           not signed with the trusted key
└── CheckpointIOError           (OSError)              the operating system reported an error
    └── CheckpointPermissionError  (PermissionError)   … because a permission is missing
```

Each is also the built-in exception in parentheses, so code that does not know this package
catches it too. Each message says what is wrong, where (`path`, `key`, `offset`) and what to do;
the location is also available as attributes.
"""

from __future__ import annotations

import errno as _errno
import os
from contextlib import suppress

__all__ = [
    "CheckpointCorruptError",
    "CheckpointError",
    "CheckpointIOError",
    "CheckpointMismatchError",
    "CheckpointNotFoundError",
    "CheckpointPermissionError",
    "CheckpointSignatureError",
    "CheckpointUnsupportedError",
    "at_path",
    "shown_path",
]


class CheckpointError(Exception):
    """Base class of all errors that this package raises about a checkpoint.

        try:
            checkpoint.restore("runs/a/ckpt-7")
        except cp.CheckpointCorruptError as error:
            print(error.path, error.key)  # the damaged file and value

    Attributes:
      what: the description of the problem, without its location.
      path: the file, checkpoint prefix or directory, or None.
      key: the key of the value, or None.
      offset: the offset in `path` where the problem starts, in bytes, or None.
      object_path: the path of the object in the program ("" for the root), or None.
    """

    object_path: str | None = None

    def __init__(
        self,
        what: str,
        *,
        path: str | os.PathLike[str] | None = None,
        key: str | None = None,
        offset: int | None = None,
    ) -> None:
        self.what = what
        self.path = None if path is None else os.fspath(path)
        self.key = key
        self.offset = offset
        super().__init__(self._message())

    def _message(self) -> str:
        where = []
        if self.path is not None:
            where.append(self.path)
        if self.key is not None:
            where.append(f"key {self.key!r}")
        if self.offset is not None:
            where.append(f"offset {self.offset}")
        message = f"{', '.join(where)}: {self.what}" if where else self.what
        return message if self.object_path is None else f"{shown_path(self.object_path)}: {message}"

    def __str__(self) -> str:
        return self._message()

    def __reduce__(self) -> tuple[object, ...]:
        # The constructor takes keywords: the default (cls, args) would keep only the text.
        return _rebuild, (type(self), dict(self.__dict__), getattr(self, "errno", None))


def _rebuild(
    cls: type[CheckpointError], fields: dict[str, object], errno: int | None
) -> CheckpointError:
    error = cls.__new__(cls)
    error.__dict__.update(fields)
    error.args = (error._message(),)
    if isinstance(error, OSError):
        error.errno = errno
    return error


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is no checkpoint at this path. The message names those in the same directory."""


class CheckpointCorruptError(CheckpointError, ValueError):
    """The checkpoint is damaged: a checksum, a length or an offset is wrong."""


class CheckpointUnsupportedError(CheckpointError, NotImplementedError):
    """The checkpoint is intact, but this version cannot read or write its kind."""


class CheckpointMismatchError(CheckpointError, ValueError):
    """The checkpoint is intact, but its values do not fit the program's objects."""


class CheckpointSignatureError(CheckpointError, ValueError):
    """The checkpoint is not signed with the trusted key.

    Its manifest is missing, is not signed, is signed with another key, has a wrong signature, or
    belongs to a checkpoint of another name. This is not a `FileNotFoundError`: code that starts
    afresh when there is no checkpoint must not do so when only the manifest is missing.
    """


class CheckpointIOError(CheckpointError, OSError):
    """The operating system reported an error, such as a full disk.

    Attributes:
      errno: the error number of the operating system, or None.
    """

    def __init__(
        self,
        what: str,
        *,
        path: str | os.PathLike[str] | None = None,
        key: str | None = None,
        offset: int | None = None,
        errno: int | None = None,
    ) -> None:
        super().__init__(what, path=path, key=key, offset=offset)
        self.errno = errno

    @staticmethod
    def from_os_error(
        error: OSError,
        doing: str,
        *,
        path: str | os.PathLike[str] | None = None,
        key: str | None = None,
    ) -> CheckpointIOError:
        """Returns an `OSError` as an error of this package.

        Args:
          error: the error of the operating system.
          doing: the failed operation, as a text that follows "cannot": "write the index".
          path: the file; None takes that of `error`.
          key: the key of the value concerned, or None.

        Returns:
          A `CheckpointPermissionError` for a `PermissionError`, else a `CheckpointIOError`.
        """
        number = error.errno
        reason = error.strerror or str(error) or type(error).__name__
        name = _errno.errorcode.get(number, "") if number is not None else ""
        cls = CheckpointPermissionError if isinstance(error, PermissionError) else CheckpointIOError
        where = path if path is not None else error.filename
        suffix = f" ({name})" if name else ""
        return cls(f"cannot {doing}: {reason}{suffix}", path=where, key=key, errno=number)


class CheckpointPermissionError(CheckpointIOError, PermissionError):
    """The operating system refused access because a permission is missing."""


def at_path(error: BaseException, path: str) -> None:
    """Adds the path of the program's object at which `error` was raised.

    `error` stays the same exception, with its type and attributes, so that you can re-raise it.
    Errors of this package and a plain `ValueError` or `NotImplementedError` show the path at the
    start of their message. Any other error, whose constructor and text belong to
    another library, gets a note (PEP 678), which a printed traceback shows.

    Args:
      error: the exception to change.
      path: the path of the object, "" for the root.
    """
    where = shown_path(path)
    if isinstance(error, CheckpointError) and error.object_path is None:
        error.object_path = path
    elif type(error) in _PLAIN and len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{where}: {error.args[0]}",)
    else:
        with suppress(Exception):  # an exception may refuse new attributes: a frozen dataclass
            _add_note(error, f"at {where}")


_PLAIN = (ValueError, NotImplementedError)


def shown_path(path: str) -> str:
    """Returns `path` as messages show it: "the root" for the root's path, which is ""."""
    return path or "the root"


def _add_note(error: BaseException, note: str) -> None:
    if hasattr(error, "add_note"):
        error.add_note(note)
    else:  # Python 3.10, where exception groups' backport and pytest read the same attribute
        error.__notes__ = [*getattr(error, "__notes__", ()), note]
