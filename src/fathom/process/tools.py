"""Tools that a judge of steps may call: a calculator, look-ups in the tables of the prompt, and Python programs.

    >>> called("calculator", "13 * 15", "What is 13 * 15?")
    Observation(text='195', ok=True)

Programs run in `fathom.sandbox` only. A call that fails is an observation that says why, and is never retried: the
judge reads it and may call again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from fathom import sandbox
from fathom.process.calculator import CalculationError, calculate
from fathom.process.tables import LookUpError, find_tables, look_up

Tool = Literal["calculator", "table", "python"]
MAX_ARGUMENT, MAX_RESULT = 4000, 2000
"""The largest numbers of characters of a call's argument and of its result."""
LIMITS = sandbox.Limits(seconds=5.0, output=4096)


class Observation(NamedTuple):
    """The result of a call, or why it failed."""

    text: str
    ok: bool


class _FailedError(ValueError):
    """A call without a result."""


def called(tool: Tool, argument: str, prompt: str, *, unsafe_code: bool = False) -> Observation:
    """Call a tool. `prompt` is the problem, whose tables `table` reads.

    Raises FathomError where programs cannot be run safely.
    """
    if len(argument) > MAX_ARGUMENT:
        return Observation(f"got {len(argument)} characters, expected at most {MAX_ARGUMENT}", ok=False)
    try:
        result = _program(argument, unsafe_code=unsafe_code) if tool == "python" else _TOOLS[tool](argument, prompt)
    except (CalculationError, LookUpError, _FailedError) as error:
        return Observation(shortened(str(error)), ok=False)
    return Observation(shortened(result), ok=True)


def shortened(text: str) -> str:
    """The beginning of a long text, and how much was left out."""
    return text if len(text) <= MAX_RESULT else f"{text[:MAX_RESULT]} ... ({len(text) - MAX_RESULT} more characters)"


def _looked_up(query: str, prompt: str) -> str:
    """The look-up in the first table that has its columns."""
    tables, error = find_tables(prompt), LookUpError("the problem has no table")
    for table in tables:
        try:
            return look_up(table, query)
        except LookUpError as problem:
            error = problem
    raise error


def _program(code: str, *, unsafe_code: bool) -> str:
    plain = code.strip().removeprefix("```python").removesuffix("```")
    done = sandbox.run(f"{plain}\n", limits=LIMITS, unsafe_code=unsafe_code)
    if done.status == "ok":
        return done.output.strip() or "(the program printed nothing)"
    if done.status == "deadline":
        raise _FailedError(f"the program took more than {LIMITS.seconds:g} seconds")
    raise _FailedError((done.output.strip().splitlines() or [done.status])[-1])


_TOOLS: Mapping[Tool, Callable[[str, str], str]] = {
    "calculator": lambda expression, _: calculate(expression),
    "table": _looked_up,
}
