r"""The checker `unit-tests`: does a program pass the tests that the reference consists of?

    passes("```python\ndef twice(x):\n    return 2 * x\n```", "assert twice(3) == 6")        # True

The program is the last fenced block of the text, closed or not, or else the whole text. Program and tests run together
in the sandbox of `fathom.sandbox`, each time anew, and the program passes if the tests run to their end without an
exception. A program that ends the process first, or that runs out of time, does not pass.

The tests are statements, such as asserts: they must not end the process, as `unittest.main()` does. Tests that pass
without any program decide nothing, so the answer is then None.
"""

from __future__ import annotations

import re
from functools import cache
from secrets import token_hex

from fathom import sandbox

_FENCED = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)

# Program and tests write to nowhere, so that the output is the proof that the tests came to their end. A program could
# find the proof in its own process; that would take one that is written against this checker.
_HARNESS = """
import contextlib, os
names = {{"__name__": "solution"}}
with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
    exec({program!r}, names)
    exec({tests!r}, names)
print({proof!r})
"""


def program_of(text: str) -> str:
    """The program in a text: its last fenced block, or the whole text if it has none."""
    blocks = _FENCED.findall(text)
    return str(blocks[-1]) if blocks else text


def passes(text: str, reference: str, *, unsafe_code: bool = False) -> bool | None:
    """Whether the program in the text passes the tests; None for tests that test nothing.

    Raises FathomError where the system offers no sandbox, unless `unsafe_code` is true.
    """
    if _without_program(reference, unsafe_code):
        return None
    return _come_to_an_end(program_of(text), reference, unsafe_code)


@cache
def _without_program(reference: str, unsafe_code: bool) -> bool:
    return _come_to_an_end("", reference, unsafe_code)


def _come_to_an_end(program: str, tests: str, unsafe_code: bool) -> bool:
    proof = token_hex(16)
    code = _HARNESS.format(program=program, tests=tests, proof=proof)
    return sandbox.run(code, unsafe_code=unsafe_code).output.strip().endswith(proof)
