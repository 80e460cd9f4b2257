"""Results as tables for people, and as JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

import numpy as np
from rich.table import Table

from .timing import Result, Spread


def machine() -> dict[str, Any]:
    packages = ("checkpointable", "numpy", "tensorflow-cpu", "safetensors", "torch")
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        "packages": {package: version(package) for package in packages},
    }


def _milliseconds(spread: Spread) -> str:
    return f"{spread.median * 1e3:,.0f} ({spread.min * 1e3:,.0f}–{spread.max * 1e3:,.0f})"


def _times(spread: Spread) -> str:
    colour = "green" if spread.median >= 1 else "red"
    return f"[{colour}]{spread.median:.2f}[/] ({spread.min:.2f}–{spread.max:.2f})"


def round_trips(results: Iterable[Result]) -> Table:
    table = Table(
        title="Save and restore",
        caption="Median (least–greatest) of the rounds. Ratios are taken round by round,\n"
        "by our time with durability “flush”: the peers do not sync either.",
    )
    table.add_column("work, contender")
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("we are … times as fast", justify="right", no_wrap=True)
    for result in results:
        table.add_row(f"[bold]{result.work}")
        for name in result.seconds:
            ratio = "" if name == result.ours else _times(result.ratio(name))
            table.add_row(f"  {name}", _milliseconds(result.spread(name)), ratio)
        table.add_section()
    return table


def imports(result: Result) -> Table:
    pairs = zip(result.seconds["checkpointable"], result.seconds["numpy"], strict=True)
    added = Spread.of([float(np.subtract(*pair)) for pair in pairs])
    table = Table(title="Import, in new processes")
    table.add_column("module")
    table.add_column("ms", justify="right")
    for name in result.seconds:
        table.add_row(name, _milliseconds(result.spread(name)))
    table.add_row("added to numpy's", _milliseconds(added))
    return table


def as_json(results: Iterable[Result]) -> dict[str, Any]:
    return {
        **machine(),
        "results": [
            {
                "work": result.work,
                "seconds": result.seconds,
                "times as fast": {
                    name: asdict(result.ratio(name))
                    for name in result.seconds
                    if name != result.ours
                },
            }
            for result in results
        ],
    }
