"""Results as tables for people, and as JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.table import Table

from .imports import NUMPY
from .scale import Step
from .timing import Result, Spread


def machine() -> dict[str, Any]:
    packages = ("checkpointable", "numpy", "tensorflow-cpu", "safetensors", "torch")
    packages += ("jax", "orbax-checkpoint")
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
        "packages": {package: version(package) for package in packages if _has(package)},
    }


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _milliseconds(spread: Spread) -> str:
    return f"{spread.median * 1e3:,.0f} ({spread.min * 1e3:,.0f}–{spread.max * 1e3:,.0f})"


def _times(spread: Spread) -> str:
    colour = "green" if spread.median >= 1 else "red"
    return f"[{colour}]{spread.median:.2f}[/] ({spread.min:.2f}–{spread.max:.2f})"


def comparison(result: Result) -> Table:
    table = Table(title=result.work[0].upper() + result.work[1:])
    table.add_column("contender")
    table.add_column("ms, median (least–greatest)", justify="right", no_wrap=True)
    table.add_column("ours is … times as fast", justify="right", no_wrap=True)
    for name in result.seconds:
        ratio = "" if name == result.ours else _times(result.ratio(name))
        table.add_row(name, _milliseconds(result.spread(name)), ratio)
    return table


def scale(steps: Iterable[Step]) -> Table:
    steps = list(steps)
    table = Table(title="Scale: microseconds of processor time a value")
    table.add_column("step")
    for size in steps[0].per_value:
        table.add_column(f"{size:,}", justify="right")
    for step in steps:
        table.add_row(step.what, *(f"{figure:.1f}" for figure in step.per_value.values()))
    return table


def imports(result: Result) -> Table:
    table = Table(title="Import, in new processes")
    table.add_column("module")
    table.add_column("ms", justify="right")
    for name in result.seconds:
        table.add_row(name, _milliseconds(result.spread(name)))
    for name in result.seconds:
        if name != NUMPY:
            table.add_row(f"{name}, added to numpy's", _milliseconds(added(result, name)))
    return table


def added(result: Result, name: str) -> Spread:
    """What an import takes beyond NumPy's, round by round."""
    pairs = zip(result.seconds[name], result.seconds[NUMPY], strict=True)
    return Spread.of([own - numpy for own, numpy in pairs])


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
