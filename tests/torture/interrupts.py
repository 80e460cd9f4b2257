"""Ctrl-C at any instruction of the library: nothing is lost, nothing stays taken."""

from __future__ import annotations

import dis
import gc
import opcode
import os
import random
import sys
from pathlib import Path

import numpy as np

import checkpointable as cp
from checkpointable.directory.latest import list_checkpoints

PACKAGE = str(Path(cp.__file__).parent) + os.sep
# Python itself swallows what is raised there.
SWALLOWED = {"__del__", "_finish", "_after_fork"}


# After these the interpreter looks whether a signal has come, and calls its handler.
CHECKS = tuple(
    code
    for name, code in opcode.opmap.items()
    if name.startswith(("CALL", "JUMP_BACKWARD", "JUMP_ABSOLUTE", "RESUME"))
)


def handlers(code):
    """A function from an instruction's offset to that of what handles its exceptions."""
    parse = getattr(dis, "_parse_exception_table", None)
    if parse is None:  # before Python 3.11 blocks were instructions of their own
        return lambda _at: None
    table = parse(code)
    return lambda at: next((e.target for e in table if e.start <= at < e.end), None)


class Interrupt:
    """Within the block, the library is interrupted where a signal may do so, at the n-th place.

    Attributes:
      seen: how many such places there were, if it never was.
      where: file, line and function where it was.
    """

    def __init__(self, at):
        self._at = at
        self.seen = 0
        self.where = None
        self._codes = {}
        self._last = {}  # frame -> the instruction before

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._enter)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)
        self._last.clear()

    def _enter(self, frame, event, argument):
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE):
            return None
        caller = frame
        while caller is not None:
            if caller.f_code.co_name in SWALLOWED:
                return None
            caller = caller.f_back
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._instruction

    def _instruction(self, frame, event, argument):
        if event == "opcode" and self.where is None:
            code = frame.f_code
            if code not in self._codes:
                self._codes[code] = code.co_code, handlers(code)
            instructions, handler_of = self._codes[code]
            last, at = self._last.get(frame), frame.f_lasti
            self._last[frame] = at
            # It is raised here, but is to count as raised by the instruction before.
            if (
                last is None
                or instructions[last] not in CHECKS
                or handler_of(last) != handler_of(at)
            ):
                return self._instruction
            if self.seen == self._at:
                self.where = f"{code.co_filename}:{frame.f_lineno} {code.co_name}"
                self._last.clear()
                raise KeyboardInterrupt
            self.seen += 1
        elif event == "return":
            self._last.pop(frame, None)
        return self._instruction


def program(value):
    return cp.Checkpoint(
        a=cp.Variable(np.full(700, value, np.int32)),
        b=cp.Variable(np.full(300, value, np.int32)),
        at=cp.JSONState({"value": value}),
    )


def values(checkpoint):
    arrays = [variable.numpy() for variable in (checkpoint.a, checkpoint.b)]
    assert all((array == array[0]).all() for array in arrays)
    return [*(int(array[0]) for array in arrays), checkpoint.at["value"]]


def stored(path):
    checkpoint = program(0)
    checkpoint.restore(path).assert_consumed()
    found = values(checkpoint)
    assert len(set(found)) == 1
    return found[0]


def save(checkpoint, directory):
    checkpoint.save(f"{directory}/ck", durability="flush")


def save_and_go_on(checkpoint, directory):
    checkpoint.save_async(f"{directory}/ck", durability="flush")


def save_by_manager(checkpoint, directory):
    manager = cp.CheckpointManager(checkpoint, directory, 1, checkpoint_name="ck")
    manager.save(durability="flush")


SAVES = {"save": save, "asynchronous": save_and_go_on, "manager": save_by_manager}


def length(action, directory):
    """How many such places a save has in the calling thread."""
    checkpoint = program(1)
    save(checkpoint, directory)
    action(checkpoint, directory)  # what is imported, and made once, is there now
    with Interrupt(-1) as interrupt:
        action(checkpoint, directory)
    checkpoint._saves.settle()
    return interrupt.seen


def interrupted_save(action, directory, at):
    """Interrupts one save; whether the interrupt came through to its caller."""
    checkpoint = program(1)
    save(checkpoint, directory)
    for variable in (checkpoint.a, checkpoint.b):
        variable.assign(np.full(variable.shape, 2, np.int32))
    checkpoint.at["value"] = 2
    came = False
    with Interrupt(at) as interrupt:
        try:
            action(checkpoint, directory)
        except KeyboardInterrupt:
            came = True
    assert came == (interrupt.where is not None), f"swallowed at {interrupt.where}"
    try:
        assert gc.isenabled()
        assert values(checkpoint) == [2, 2, 2]
        for path in list_checkpoints(directory):
            stored(path)
        assert cp.latest_checkpoint(directory) is not None
        # A save after it goes through, and takes away what it has left.
        assert stored(checkpoint.save(f"{directory}/ck", durability="flush")) == 2
        path = checkpoint.save_async(f"{directory}/ck", durability="flush").result(100)
        assert stored(path) == 2
        action(checkpoint, directory)  # a manager has files of its own
        checkpoint._saves.settle()
        left = [name for name in os.listdir(directory) if name.startswith(".")]
        assert not left, left
    except BaseException as error:
        raise AssertionError(f"interrupted at {interrupt.where}: {error!r}") from error
    return came


def interrupted_restore(path, at):
    """Interrupts one restore; whether the interrupt came through."""
    checkpoint = program(1)
    came = False
    with Interrupt(at) as interrupt:
        try:
            checkpoint.restore(path).expect_partial()
        except KeyboardInterrupt:
            came = True
    assert came == (interrupt.where is not None), f"swallowed at {interrupt.where}"
    try:
        assert gc.isenabled()
        assert set(values(checkpoint)) <= {1, 2}
        if not came:
            assert values(checkpoint) == [2, 2, 2]
        checkpoint.restore(path).assert_consumed()
        assert values(checkpoint) == [2, 2, 2]
    except BaseException as error:
        raise AssertionError(f"interrupted at {interrupt.where}: {error!r}") from error
    return came


def restore_length(path):
    for _ in range(2):
        with Interrupt(-1) as interrupt:
            program(1).restore(path).expect_partial()
    return interrupt.seen


def places(count, most, seed):
    """So many places, spread over all there are."""
    chance = random.Random(seed)
    return sorted(chance.randrange(most) for _ in range(count))
