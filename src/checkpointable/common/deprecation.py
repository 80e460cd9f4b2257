"""Old spellings of options: they work for one release, and warn with the new spelling."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["RELEASE_WITHOUT_OLD_SPELLINGS", "renamed_options", "warn_deprecated"]

RELEASE_WITHOUT_OLD_SPELLINGS = "0.2"

_PACKAGE = "checkpointable."

_Function = TypeVar("_Function", bound=Callable[..., Any])


def warn_deprecated(old: str, new: str) -> None:
    """Warns that `old` is deprecated, at the line of the program that called the library.

    Args:
      new: The replacement, as an imperative.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals["__name__"].startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(
        f"{old} is deprecated and will be removed in checkpointable "
        f"{RELEASE_WITHOUT_OLD_SPELLINGS}; {new}",
        DeprecationWarning,
        stacklevel=level,
    )


def renamed_options(**new_names: str) -> Callable[[_Function], _Function]:
    """Decorates a function whose keyword arguments have new names, so that it takes the old ones.

        @renamed_options(key="trusted_key")
        def load_checkpoint(path, *, trusted_key=None): ...

    Args:
      new_names: old name -> new name.

    Returns:
      A decorator. The decorated function warns (`DeprecationWarning`) when it is called with an
      old name, and raises `TypeError` when it is called with both names of an option.
    """

    def decorate(function: _Function) -> _Function:
        name = function.__qualname__.removesuffix(".__init__")

        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            for old in new_names.keys() & options.keys():
                new = new_names[old]
                if new in options:
                    raise TypeError(
                        f"{name}() got {new}= and {old}=, which is the old name "
                        f"of {new}=: give {new}= alone"
                    )
                warn_deprecated(f"{old}= of {name}", f"write {new}= instead")
                options[new] = options.pop(old)
            return function(*arguments, **options)

        return cast("_Function", call)

    return decorate
