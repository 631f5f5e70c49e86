r"""Named checkers of final answers: is the answer of a text equal to the reference?

    with answer_checker("math") as check:
        check(r"So it is \boxed{0.5}.", r"\frac{1}{2}")     # True
        check("I do not know.", "1")                         # None: no answer could be read

`unit-tests` runs the program in a text against tests (`_unit_tests`).

A checker returns True, False, or None if it cannot decide. None is never counted as a wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from fathom import sandbox
from fathom.errors import FathomError
from fathom.labelers._unit_tests import passes
from fathom.metrics.answers import Verifier, final_answer, spelling
from fathom.plugins import PluginKind

Checker = Callable[[str, str], bool | None]
"""Of a text and a reference answer: whether the text's final answer equals the reference; None if undecided."""

CHECKERS = PluginKind(
    noun="checker",
    group="fathom.checkers",
    table={
        "math": "fathom.metrics.answers:Verifier",
        "exact": "fathom.labelers._answers:exact",
        "unit-tests": "fathom.labelers._unit_tests:passes",
    },
)


@contextmanager
def answer_checker(name: str, *, unsafe_code: bool = False) -> Iterator[Checker]:
    """The checker with this name: `math`, `exact`, `unit-tests`, or a function as MODULE:NAME or FILE.py:NAME.

    `math` compares with math-verify, in processes that end with the context. `unsafe_code` lets `unit-tests` run
    programs where the system offers no sandbox; else it raises FathomError there. Raises FathomError for an unknown
    name.
    """
    found = CHECKERS.find(name)
    if found is passes:
        sandbox.check(unsafe_code=unsafe_code)
        yield partial(passes, unsafe_code=unsafe_code)
        return
    if found is Verifier:
        with Verifier() as verifier:
            yield lambda text, reference: verifier.check(text, reference).equal
        return
    if not callable(found):
        raise FathomError(
            f"the checker {name!r} is {type(found).__name__}, expected a function of a text and a reference"
        )
    yield found


def exact(text: str, reference: str) -> bool | None:
    """Compare the spelling of the text's answer with that of the reference (`fathom.metrics.answers.spelling`).

    None for a text with neither a box nor a statement such as "The answer is 5".
    """
    answer, where = final_answer(text)
    return spelling(text) == spelling(reference) if answer and where in ("box", "statement") else None
