"""Verdicts of completions that somebody else recorded, read as if the judge had asked for them.

    verdict = recorded(judge, comparison, [((0, 1), Completion("[[A]]")), ((1, 0), Completion("[[B]]"))])
    row = verdict_row(comparison, verdict)

So the transcripts of other tools become rows, and every figure can be computed of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from fathom.data.records import Comparison
from fathom.engines import Completion
from fathom.judges import Ask, Judge, Verdict, gather

Order = tuple[int, ...]


def recorded(judge: Judge, comparison: Comparison, told: Iterable[tuple[Order, Completion | None]]) -> Verdict:
    """The verdict by the judge's own rule and threshold; a completion that is None is a failed call.

    With each completion stands which responses it was shown, in their order: all of them, or, for a pointwise judge,
    one. Such a judge's completions come round by round: the first of every response, then the second of every one.
    Raises ValueError where there are none.
    """
    cast = list(told)
    single = judge.pattern == "pointwise" and len(comparison.responses) > 1
    asks = [Ask(judge, comparison.of(order) if single else comparison.reordered(order), order) for order, _ in cast]
    return judge.verdict(gather(asks, [completion for _, completion in cast]))
