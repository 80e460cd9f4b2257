"""Paths that users give, as paths of the local file system."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

from checkpointable.common.urls import url_scheme
from checkpointable.errors import CheckpointUnsupportedError

__all__ = ["local_path", "refuse_url"]

_HOSTS = ("", "localhost")


def local_path(given: str) -> str:
    """Expands `~` and `~user`, and returns the path of a `file://` URL.

    Raises:
      CheckpointUnsupportedError: `given` is another URL.
    """
    if given.startswith("~"):
        return os.path.expanduser(given)
    if url_scheme(given) != "file":
        refuse_url(given)
        return given
    url = urlsplit(given)
    if url.netloc not in _HOSTS:
        raise CheckpointUnsupportedError(
            f"a file URL of another host ({url.netloc}): mount its directory and pass a local path",
            path=given,
        )
    path = unquote(given[given.index(":") + 1 :].removeprefix(f"//{url.netloc}"))
    drive = path[1:3]
    return path[1:] if os.name == "nt" and drive[1:] == ":" else path


def refuse_url(path: str) -> None:
    """Checks that a path is not a URL, which the system would take for a relative path.

    Raises:
      CheckpointUnsupportedError: it is one.
    """
    scheme = url_scheme(path)
    if scheme is not None:
        raise CheckpointUnsupportedError(
            f"this is a URL ({scheme}://), and object stores are not supported yet: save to a "
            "local directory (or a mounted one) and copy the checkpoint there and back, or pass "
            "storage= with a cp.abc.Storage that takes such paths",
            path=path,
        )
