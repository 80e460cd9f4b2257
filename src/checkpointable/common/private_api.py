"""The private names of CPython that the library uses, each behind a small function.

All of them were seen in CPython 3.11.7. Every docstring states the private name, its
purpose, and the effect in a version that lacks it. `tests/test_private_api.py` checks both.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["call_before_threads_end"]


def call_before_threads_end(function: Callable[[], object]) -> bool:
    """Calls `function` when the interpreter exits, while threads may still start thread pools.

    Private name: `threading._register_atexit`. `concurrent.futures` refuses new work from the
    moment the interpreter waits for its threads; handlers of `atexit` run even later. Functions
    registered last are called first, so this one precedes that of `concurrent.futures`.

    If missing: nothing is registered. The interpreter still waits for threads that are running,
    but they can start no more thread pools.

    Returns:
      False if the interpreter is already past that moment.
    """
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        try:
            register(function)
        except RuntimeError:
            return False
    return True
