"""What a user did wrong, in words that say what to do. The command line prints these without a traceback."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType


class FathomError(Exception):
    """Bad input, a missing library, an unusable setting: the message says what happened and what is allowed."""

    exit_code = 1


class Interrupted(FathomError):  # noqa: N818
    """Ctrl-C in the middle of long work: the message says what is kept and how to go on."""

    exit_code = 130


class Incomplete(FathomError):  # noqa: N818
    """The work is done and written down, but part of it failed: the message says how much."""

    exit_code = 3


def check_installed(*needed: tuple[str, str]) -> None:
    """Raises FathomError where one of the optional libraries is missing, each given with the extra that brings it.

    Nothing is imported: this is for work that would need them only after a while.
    """
    for module, extra in needed:
        if importlib.util.find_spec(module) is None:
            raise FathomError(f'this needs {module}; install it with: pip install "fathom-rm[{extra}]"')


def require(module: str, extra: str) -> ModuleType:
    """Imports an optional library, or says which extra brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise FathomError(f'this needs {module}; install it with: pip install "fathom-rm[{extra}]"') from error
