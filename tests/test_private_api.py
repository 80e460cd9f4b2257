"""The private names of the running CPython, and what is done without each of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from checkpointable.common import private_api
{before}
def work():
    time.sleep(0.2)
    try:
        with ThreadPoolExecutor(1) as pool:
            print(pool.submit(lambda: "pool").result())
    except RuntimeError as error:
        print(error)
thread = threading.Thread(target=work)
thread.start()
atexit.register(print, "atexit")
print(private_api.call_before_threads_end(thread.join))
"""


def output(before: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(before=before)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def test_a_thread_that_is_joined_before_threads_end_can_start_a_pool():
    assert output() == ["True", "pool", "atexit"]


def test_without_the_name_the_thread_is_waited_for_but_starts_no_pool():
    registered, outcome, last = output("del threading._register_atexit")
    assert (registered, last) == ("True", "atexit")
    assert "cannot schedule new futures" in outcome


def test_once_threads_have_ended_that_is_told():
    program = """
import atexit, threading
from checkpointable.common import private_api
atexit.register(lambda: print(private_api.call_before_threads_end(print)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", ["_register_atexit"])
def test_no_private_name_of_cpython_is_used_elsewhere(name):
    from pathlib import Path

    import checkpointable
    from checkpointable.common import private_api

    root = Path(checkpointable.__file__).parent
    users = [path for path in root.rglob("*.py") if name in path.read_text(encoding="utf-8")]
    assert users == [Path(private_api.__file__)]
