"""A progress bar, where a terminal waits for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from checkpointable.common.types import Progress

__all__ = ["progress_bar"]

_PATIENCE = 1.0  # seconds without a progress bar


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """What to call with (bytes done, bytes in all, key); draws on standard error."""
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
        elif time.monotonic() - start > _PATIENCE:
            bar.update(task, completed=done, total=total)
            bar.start()

    try:
        yield show
    finally:
        bar.stop()
