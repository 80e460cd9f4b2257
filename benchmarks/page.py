"""docs/performance.md and its plots, from the results of a run."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from . import goals
from .scale import Step
from .timing import Result, Spread

HEAD = """\
# How fast it is

Made by `make bench` on {date}: {system}, Python {python}, load {load} when it began;
{packages}. Do not edit.

Contenders run in turn, {rounds} rounds (A B C, B C A, …), and only times of one round are
compared: a ratio is the median over the rounds, its least and greatest in brackets. Above 1 we
are faster. MB are 10^6 bytes. Nothing is synced but where it says so; files are in the page
cache but where it says cold. What is restored is compared with what was saved before any time
is taken. We verify every checksum before the first variable changes but where it says
otherwise; safetensors, `torch.save` and DCP have none.
"""

LIMITS = """\
What falls short, and why, is in [limits of speed](performance-limits.md).
"""

_WIDTH, _BAR, _LABEL = 640, 18, 190
_OURS, _OTHERS = "#2f6f4f", "#b8b8b8"


def write(
    directory: Path,
    about: dict[str, Any],
    rounds: int,
    results: list[Result],
    imported: Result,
    steps: list[Step],
) -> None:
    """Writes `directory`/performance.md, and the plots beside it."""
    pictures = directory / "performance"
    pictures.mkdir(parents=True, exist_ok=True)
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    parts = [HEAD.format(**{**about, "packages": packages, "rounds": rounds})]
    parts += ["## What was aimed at\n", goals.table(results, imported), LIMITS]
    for number, result in enumerate([*results, imported]):
        picture = pictures / f"{number:02}.svg"
        picture.write_text(plot(result), encoding="utf-8")
        parts.append(f"## {result.work[0].upper()}{result.work[1:]}\n")
        parts.append(f"![{result.work}](performance/{picture.name})\n")
        parts.append(table(result))
    if steps:
        parts += ["## Scale\n", scale(steps)]
    (directory / "performance.md").write_text("\n".join(parts), encoding="utf-8")


def table(result: Result) -> str:
    lines = ["| contender | ms | we are … times as fast |", "| --- | ---: | ---: |"]
    for name in result.seconds:
        spread = result.spread(name)
        ratio = "" if name == result.ours else _range(result.ratio(name), 1, ".2f")
        lines.append(f"| {name} | {_range(spread, 1e3, ',.0f')} | {ratio} |")
    return "\n".join(lines) + "\n"


def scale(steps: Iterable[Step]) -> str:
    steps = list(steps)
    sizes = list(steps[0].per_value)
    lines = [
        "As many objects as values, each value a scalar: microseconds of processor time a value.",
        "",
        f"| | {' | '.join(f'{size:,}' for size in sizes)} |",
        f"| --- |{' ---: |' * len(sizes)}",
    ]
    for step in steps:
        figures = " | ".join(f"{step.per_value[size]:.1f}" for size in sizes)
        lines.append(f"| {step.what} | {figures} |")
    return "\n".join(lines) + "\n"


def _range(spread: Spread, factor: float, form: str) -> str:
    middle, least, most = (
        format(x * factor, form) for x in (spread.median, spread.min, spread.max)
    )
    return f"{middle} ({least}–{most})"


def plot(result: Result) -> str:
    """Medians as bars, with lines from the least to the greatest."""
    spreads = {name: result.spread(name) for name in result.seconds}
    longest = max(spread.median for spread in spreads.values()) or 1.0
    room = _WIDTH - _LABEL - 90
    height = _BAR * len(spreads) + 10
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            'font-family="sans-serif" font-size="11">'
        ),
        f"<title>{escape(result.work)}: milliseconds</title>",
    ]
    for row, (name, spread) in enumerate(spreads.items()):
        top = 5 + row * _BAR
        colour = _OURS if name.startswith(result.ours) else _OTHERS
        size = spread.median / longest * room
        end = min(spread.max / longest, 1.08) * room
        start = spread.min / longest * room
        lines += [
            f'<text x="{_LABEL - 6}" y="{top + 12}" text-anchor="end">{escape(name)}</text>',
            (
                f'<rect x="{_LABEL}" y="{top + 2}" width="{size:.1f}" height="{_BAR - 5}" '
                f'fill="{colour}"/>'
            ),
            f'<path d="M{_LABEL + start:.1f} {top + 8.5}H{_LABEL + end:.1f}" stroke="#555"/>',
            (
                f'<text x="{_LABEL + max(size, end) + 6:.1f}" y="{top + 12}">'
                f"{spread.median * 1e3:,.0f} ms</text>"
            ),
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
