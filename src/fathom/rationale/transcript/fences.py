"""Code fences: their positions, and removal of a fence around the whole reply.

>>> unwrapped("```json\\n{}\\n```"), fences("\\n```\\nx\\n```")
('{}', [0, 6])
"""

from __future__ import annotations

import re
from itertools import islice

MAX_FENCES = 768
_FENCE = re.compile(r"\n[ \t]{0,3}(`{3,}|~{3,})([^\n`]*)(?![^\n])")


def fences(text: str) -> list[int]:
    """Positions at which code fences open and close, alternately.

    As in CommonMark, a fence is closed by a run of the same character that is at least as long.
    """
    places: list[int] = []
    opened = ""
    for match in islice(_FENCE.finditer(text), MAX_FENCES) if "`" in text or "~" in text else ():
        run, rest = match[1], match[2]
        if not opened:
            opened = run
            places.append(match.start())
        elif run.startswith(opened) and not rest.strip():
            opened = ""
            places.append(match.start())
    return places


def unwrapped(text: str) -> str:
    """Remove a code fence that encloses the whole text."""
    if not text.startswith(("```", "~~~")):
        return text
    first, _, rest = text.partition("\n")
    if not rest:
        return first.strip("`~ ")
    places = fences("\n" + text)
    if len(places) == 1:
        return rest.strip()
    last = text.rfind("\n")
    return text[len(first) : last].strip() if places[1:] == [last + 1] else text
