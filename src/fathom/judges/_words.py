"""Reading judges that think first and end in one word of a few.

    last_word("... so it holds.\\nVerdict: YES", {"yes": 1.0, "no": 0.0})            # {1.0}

The word is the whole answer, or stands alone on a line after `Verdict:`, `Judgment:` or `Answer:`, in letters of any
case and with any markup. All such lines count: two that name different words are two verdicts, and never the last one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fathom.judges._templated import absent, scored
from fathom.rationale import Status
from fathom.verdict import Vote

_LINE = re.compile(r"^[\W_]*(?:final )?(?:verdict|judge?ment|answer)[\W_]*[:：](.*)$", re.IGNORECASE | re.MULTILINE)
_MARKUP = re.compile(r"(?:\\(?:boxed|text)|[\W_])+")


def apart(text: str) -> tuple[str, str]:
    """The thought of a reasoning model that stands in its text, and the rest; no rest where the thought never ends."""
    thought, closed, rest = text.rpartition("</think>")
    if closed:
        return thought.strip().removeprefix("<think>").strip(), rest.strip()
    begins = text.lstrip().startswith("<think>")
    return (text.strip().removeprefix("<think>").strip(), "") if begins else ("", text.strip())


def last_word(answer: str, words: Mapping[str, float]) -> set[float]:
    """What the words stand for that an answer names as its verdict."""
    said = [answer, *_LINE.findall(answer)]
    return {words[bare] for each in said if (bare := _MARKUP.sub(" ", each).strip().casefold()) in words}


def vote_of_word(text: str, words: Mapping[str, float], *, finished: bool) -> Vote:
    """A vote on one response: what the one word stands for that the text ends in."""
    _, answer = apart(text)
    named = last_word(answer, words)
    if len(named) > 1:
        return Vote(Status.CONTRADICTORY, text=text)
    return scored(named.pop(), text) if named else absent(text, finished=finished)
