"""What can go wrong, as a tree that can be caught at any height.

```
CheckpointError
├── CheckpointNotFoundError     (FileNotFoundError)    no checkpoint under this path
├── CheckpointCorruptError      (ValueError)           the bytes are not what was written
├── CheckpointUnsupportedError  (NotImplementedError)  whole, but of a kind that cannot be read
├── CheckpointMismatchError     (ValueError)           whole, but does not fit the program
├── CheckpointSignatureError    (ValueError)           nothing says that the key's owner wrote it
└── CheckpointIOError           (OSError)              the operating system refused
    └── CheckpointPermissionError  (PermissionError)   … for lack of a permission
```

Each is also the standard type in brackets, so code that knows nothing of this package
catches them too. Every one says what is wrong, where (`path`, `key`, `offset`), and what
to do; the same three stand as attributes for programs.
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
    """Base of every error that this package raises about a checkpoint.

    Attributes:
      path: the file, prefix or directory concerned, or None.
      key: the key of the value concerned, or None.
      offset: the byte offset in `path` at which the trouble starts, or None.
      object_path: the path of the program's object concerned ("" is the root), or None.
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
        # Built by keyword, so the default (cls, args) would drop all but the text.
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
    """There is no checkpoint under the path; says which ones lie beside it."""


class CheckpointCorruptError(CheckpointError, ValueError):
    """The bytes are damaged: a checksum, a length or an offset does not hold."""


class CheckpointUnsupportedError(CheckpointError, NotImplementedError):
    """The checkpoint is whole but of a kind that this version cannot read or write."""


class CheckpointMismatchError(CheckpointError, ValueError):
    """The checkpoint is whole but its values do not fit the program's objects."""


class CheckpointSignatureError(CheckpointError, ValueError):
    """A key was given, and nothing says that its owner wrote the checkpoint.

    There is no manifest, or it has no signature, that of another key, one that does not hold, or
    is that of a checkpoint of another name. (Not a `FileNotFoundError`: a checkpoint whose
    manifest is missing is no first start.)
    """


class CheckpointIOError(CheckpointError, OSError):
    """The operating system refused a read or a write (disk full, input/output error).

    `errno` is the operating system's number; `from_os_error` makes the fitting class.
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
        """Wraps `error`, met while `doing` (as in "write the index")."""
        number = error.errno
        reason = error.strerror or str(error) or type(error).__name__
        name = _errno.errorcode.get(number, "") if number is not None else ""
        cls = CheckpointPermissionError if isinstance(error, PermissionError) else CheckpointIOError
        where = path if path is not None else error.filename
        suffix = f" ({name})" if name else ""
        return cls(f"cannot {doing}: {reason}{suffix}", path=where, key=key, errno=number)


class CheckpointPermissionError(CheckpointIOError, PermissionError):
    """The operating system refused for lack of a permission."""


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
