"""A progress bar on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from checkpointable.common.types import Progress

__all__ = ["progress_bar"]

_DELAY = 1.0  # seconds before the progress bar appears


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Yields a function of (bytes done, total bytes, key) that draws on standard error.

    It draws nothing in the first second, or if standard error is not a terminal.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _total, _key: None
        return
    from rich import progress as rich_progress
    from rich.console import Console

    bar = rich_progress.Progress(
        rich_progress.TextColumn(title),
        rich_progress.BarColumn(),
        rich_progress.DownloadColumn(binary_units=True),
        rich_progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    start = time.monotonic()
    task = bar.add_task(title, total=None)

    def show(done: int, total: int, _key: str) -> None:
        if bar.live.is_started:
            bar.update(task, completed=done, total=total)
        elif time.monotonic() - start > _DELAY:
            bar.update(task, completed=done, total=total)
            bar.start()

    try:
        yield show
    finally:
        bar.stop()
