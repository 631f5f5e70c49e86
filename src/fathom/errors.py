"""What a user did wrong, in words that say what to do. The command line prints these without a traceback."""

from __future__ import annotations

import importlib
import importlib.util
import shlex
from types import ModuleType


class FathomError(Exception):
    """Bad input, a missing library, an unusable setting. The message states what happened and what was expected."""

    exit_code = 1


class RunInterruptedError(FathomError):
    """Ctrl-C in the middle of long work: the message says what is kept and how to go on."""

    exit_code = 130


class IncompleteRunError(FathomError):
    """The work is done and written down, but part of it failed: the message says how much."""

    exit_code = 3


def map_option(field: str, *columns: object) -> str:
    """The arguments that map a field to columns or places, quoted so that they can be pasted into a shell.

    A column with a comma in its name gets an argument of its own: in one argument commas separate columns.
    """
    texts = [str(column) for column in columns]
    values = texts if any("," in text for text in texts) else [",".join(texts)]
    return " ".join(f"--map {shlex.quote(f'{field}={value}')}" for value in values)


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
