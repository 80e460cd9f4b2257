"""`make torture`: everything at full length, and the figures of docs/reliability.md.

    TORTURE_MINUTES=60 make torture        (20 by default, and as many seeds as fit)
    make torture ARGS='crashes inputs'     (these parts alone)

Crash cases come first and run to their end, however long that takes; the rest of the time is
shared by interrupts, kills, flipped bits and mutated inputs, which go on until it is over. Ends
with an error at the first promise that is broken, else with a summary to be quoted.
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

from tests.torture import crash, flips, interrupts, kill
from tests.torture.fuzz import TARGETS, Fuzz
from tests.torture.measure import works

MEMORY = 4 * 2**30  # bytes of address space beyond what is in use at the start
KILLS_AT_ONCE = 40

summary: list[str] = []


def say(*words: object) -> None:
    print(*words, flush=True)


def conclude(line: str) -> None:
    """A line of the summary."""
    say(line)
    summary.append(line)


def crashes(_until: float) -> None:
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
    conclude(
        f"operations: {total.operations} at which a program was stopped, of "
        f"{len(crash.CASES) + len(crash.LARGE)} programs"
    )
    conclude(f"crashes: {total.crashes:,} tried, {total.disks:,} different disks found")
    twice = crash.Figures()
    for name in crash.TWICE:
        share = 0.2 if "manager" in name else 1.0
        figures = crash.run_twice(crash.CASES[name](), share=share, random=20)
        say(f"  {name}: a process, then another, then the power: {figures.crashes}")
        twice += figures
    conclude(f"crashes of a process and then of the machine: {twice.crashes:,} tried")


def stops(until: float) -> None:
    """Interrupts, at every place of saves and of a restore."""
    came = rounds = 0
    places = 0
    with tempfile.TemporaryDirectory() as directory:
        for kind, action in interrupts.SAVES.items():
            most = interrupts.length(action, f"{directory}/{kind}")
            places += most
            for number in range(most):
                if time.monotonic() > until and number % 10:
                    continue  # the time is over: a tenth of what is left
                with tempfile.TemporaryDirectory() as own:
                    came += interrupts.interrupted_save(action, own, number)
                    rounds += 1
        path = interrupts.program(2).save(f"{directory}/restored", durability="flush")
        most = interrupts.restore_length(path)
        places += most
        for number in range(most):
            if time.monotonic() > until and number % 10:
                continue
            came += interrupts.interrupted_restore(path, number)
            rounds += 1
    conclude(
        f"interrupts: {came:,} at {places:,} places of saves and restores; nothing lost, and the "
        "next save and restore went through"
    )


def kills(until: float) -> None:
    done = resumed = unfinished = runs = asynchronous = 0
    while time.monotonic() < until or not runs:
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
        asynchronous += found.asynchronous
    conclude(
        f"kills: {done} survived by {runs} trainings, which all ended equal to the bit; "
        f"{asynchronous} of a process that saved asynchronously, {unfinished} amid a save, "
        f"{resumed} times gone on from a checkpoint"
    )


def bits(until: float) -> None:
    sweep = flips.Sweep()
    every = {}
    for name in (flips.INDEX, flips.DATA, flips.STATE, flips.HISTORY):
        every[name] = flips.every_bit(sweep, name)
        say(f"  every bit of {name}: {every[name]}")
    large = flips.Sweep(200_000)
    found = flips.Flips()
    seed = 0
    while time.monotonic() < until or not seed:
        seed += 1
        found += flips.sampled(large, flips.DATA, 100, seed)
        found += flips.sampled(large, flips.INDEX, 20, seed)
    assert found.bits == found.found == found.verified
    index, data = every[flips.INDEX], every[flips.DATA]
    texts = every[flips.STATE] + every[flips.HISTORY]
    assert index.bits == index.found == index.verified
    assert data.bits == data.found == data.verified
    conclude(f"bits of an index: {index.bits:,} flipped, which is every one, all found by both")
    conclude(
        f"bits of data: {data.bits:,} flipped, which is every one, and {found.bits:,} of "
        f"{len(large.contents(flips.DATA)) / 1e6:.0f} MB and its index, all found by both"
    )
    conclude(
        f"bits of the state file and the history: {texts.bits:,} flipped, {texts.found:,} "
        f"reported, {texts.harmless} without effect"
    )


def inputs(until: float) -> None:
    fuzz = Fuzz()

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    refused = dict.fromkeys(TARGETS, 0)
    assert works() or not Path("/proc/self/clear_refs").exists()
    seed = 1000  # after those of `make test`
    slowest = 0.0
    while time.monotonic() < until or seed == 1000:
        for target in TARGETS:
            start = time.process_time()
            refused[target] += bool(fuzz.once(target, seed))
            took = time.process_time() - start
            slowest = max(slowest, took)
            assert took < 5 + 20 * fuzz.size / 2**20, f"{target}, seed {seed}: {took:.1f} s"
        seed += 1
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    count = seed - 1000
    for target, number in refused.items():
        say(f"  {target.removeprefix('of_')}: {count} inputs, {number} refused")
    conclude(
        f"inputs: {count * len(TARGETS):,} mutated ones of {len(TARGETS)} kinds, none made worse "
        f"than refused; the slowest {slowest:.2f} s of processor time, the most memory "
        f"{fuzz.peak / 2**20:.0f} MB"
    )


def main() -> None:
    minutes = float(os.environ.get("TORTURE_MINUTES", "20"))
    only = set(sys.argv[1:])
    logging.getLogger("checkpointable").setLevel(logging.CRITICAL)  # it warns, and is right to
    start = time.monotonic()
    parts: list[tuple[Callable[[float], None], float]] = [
        (stops, 0.2),
        (kills, 0.35),
        (bits, 0.2),
        (inputs, 0.25),
    ]
    say(f"torture: {minutes:g} minutes, Python {sys.version.split()[0]}")
    if not only or "crashes" in only:
        crashes(0.0)
    left = max(0.0, start + minutes * 60 - time.monotonic())
    end = time.monotonic()
    for part, share in parts:
        end += left * share
        if not only or part.__name__ in only:
            part(end)
    say()
    say(f"torture of {minutes:g} minutes: nothing lost, nothing wrong loaded")
    for line in summary:
        say(line)
    say(
        f"{(time.monotonic() - start) / 60:.1f} minutes, Python {sys.version.split()[0]}, "
        f"{os.cpu_count()} processors"
    )


if __name__ == "__main__":
    main()
