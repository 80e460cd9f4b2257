"""URLs, told apart from paths of the file system."""

from __future__ import annotations

import re

__all__ = ["url_scheme"]

# Two letters or more: `C:/` is a drive. `pathlib` turns the two slashes of a URL into one, so
# the schemes of object stores count with one slash as well.
_URL = re.compile(
    r"([a-z][a-z0-9+.-]+)://|"
    r"(abfss?|adl|az|azure|cos|dbfs|file|gc?s|hdfs|hf|https?|oss|r2|s3[an]?|wasbs?):/",
    re.IGNORECASE,
)


def url_scheme(path: str) -> str | None:
    """Returns the scheme of a URL, such as "s3", in lower case; None for any other path."""
    match = _URL.match(path)
    return (match[1] or match[2]).lower() if match else None
