"""`make torture`: everything at full length, and the figures of docs/reliability.md.

    TORTURE_MINUTES=60 make torture        (20 by default, and as many seeds as fit)

Crash cases come first and run to their end; the rest of the time is shared by kills, flipped
bits and mutated inputs. Ends with an error at the first promise that is broken.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.torture import crash, flips, kill
from tests.torture.fuzz import TARGETS, Fuzz

MEMORY = 4 * 2**30  # bytes of address space beyond what is in use at the start
KILLS_AT_ONCE = 40


def say(*words: object) -> None:
    print(*words, flush=True)


def crashes() -> None:
    total = crash.Figures()
    for name, case in {**crash.CASES, **crash.LARGE}.items():
        large = name in crash.LARGE
        random = 50 if large else 1000
        figures = crash.run(case(), random=random, go_on=5 if large else 1)
        process = crash.run(case(), power=False)
        say(
            f"  {name}: {figures.operations} operations, {figures.crashes} power cuts, "
            f"{figures.disks} different disks; the process alone {process.crashes} times"
        )
        total += figures
        total += crash.Figures(0, process.crashes, process.disks)
    say(f"crashes: {total.operations} operations, {total.crashes} crashes, {total.disks} disks")


def kills(until: float) -> None:
    done = resumed = unfinished = runs = 0
    while time.monotonic() < until:
        runs += 1
        with tempfile.TemporaryDirectory() as directory:
            steps = KILLS_AT_ONCE * 20
            expected = kill.undisturbed(Path(directory) / "whole", steps, runs)
            found = kill.disturbed(Path(directory) / "killed", steps, runs, KILLS_AT_ONCE)
            assert found.digest == expected, f"training {runs}"
            left = kill.left_over(Path(directory) / "killed")
            assert not left, left
        done, resumed = done + found.kills, resumed + found.resumed
        unfinished += found.unfinished
    say(
        f"kills: {runs} trainings killed {done} times, {resumed} times gone on from a checkpoint, "
        f"{unfinished} times amid a save; all ended equal to the bit"
    )


def bits(until: float) -> None:
    sweep = flips.Sweep()
    for name in (flips.INDEX, flips.DATA, flips.STATE, flips.HISTORY):
        say(f"  every bit of {name}: {flips.every_bit(sweep, name)}")
    large = flips.Sweep(200_000)
    found = flips.Flips()
    seed = 0
    while time.monotonic() < until or not seed:
        seed += 1
        found += flips.sampled(large, flips.DATA, 100, seed)
        found += flips.sampled(large, flips.INDEX, 20, seed)
    assert found.bits == found.found == found.verified
    say(f"  bits of a checkpoint of {len(large.contents(flips.DATA))} bytes: {found}")


def inputs(until: float) -> None:
    fuzz = Fuzz()

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    refused = dict.fromkeys(TARGETS, 0)
    seed = 1000  # after those of `make test`
    slowest = 0.0
    while time.monotonic() < until:
        for target in TARGETS:
            start = time.process_time()
            refused[target] += bool(fuzz.once(target, seed))
            slowest = max(slowest, time.process_time() - start)
        seed += 1
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    count = seed - 1000
    for target, number in refused.items():
        say(f"  {target.removeprefix('of_')}: {count} inputs, {number} refused")
    say(
        f"inputs: {count * len(TARGETS)}, none made worse than refused; slowest {slowest:.2f} s "
        "of processor time"
    )


def main() -> None:
    minutes = float(os.environ.get("TORTURE_MINUTES", "20"))
    only = set(sys.argv[1:])
    logging.getLogger("checkpointable").setLevel(logging.CRITICAL)  # it warns, and is right to
    start = time.monotonic()
    parts: list[tuple[Callable[[float], None], float]] = [
        (kills, 0.4),
        (bits, 0.25),
        (inputs, 0.35),
    ]
    say(f"torture: {minutes:g} minutes, Python {sys.version.split()[0]}")
    if not only or "crashes" in only:
        crashes()
    left = max(0.0, start + minutes * 60 - time.monotonic())
    for part, share in parts:
        if not only or part.__name__ in only:
            part(time.monotonic() + left * share)
    say(f"nothing lost, nothing wrong loaded; {(time.monotonic() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
