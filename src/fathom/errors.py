"""Errors that a user can fix. The command line prints their messages without a traceback."""

from __future__ import annotations

import importlib
import importlib.util
import shlex
from types import ModuleType


class FathomError(Exception):
    """Bad input, a missing library, an unusable setting. The message states what happened and what was expected."""

    exit_code = 1


class RunInterruptedError(FathomError):
    """An interrupted run. The message says what was saved and how to resume."""

    exit_code = 130


class IncompleteRunError(FathomError):
    """A run that finished and wrote its results, but some of its calls failed. The message says how many."""

    exit_code = 3


def map_option(field: str, *columns: object) -> str:
    """The arguments `--map FIELD=COLUMN`, quoted for a shell.

    If a column's name contains a comma, each column gets a separate argument, because commas separate columns.
    """
    texts = [str(column) for column in columns]
    values = texts if any("," in text for text in texts) else [",".join(texts)]
    return " ".join(f"--map {shlex.quote(f'{field}={value}')}" for value in values)


def check_installed(*needed: tuple[str, str]) -> None:
    """Raise FathomError if an optional library is missing. `needed` has pairs of a module and the extra to install.

    Nothing is imported. Use it to fail early in long runs that need the libraries only later.
    """
    for module, extra in needed:
        if importlib.util.find_spec(module) is None:
            raise FathomError(f'this needs {module}; install it with: pip install "fathom-rm[{extra}]"')


def require(module: str, extra: str) -> ModuleType:
    """Import an optional library. Raises FathomError that names the extra to install if it is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise FathomError(f'this needs {module}; install it with: pip install "fathom-rm[{extra}]"') from error
