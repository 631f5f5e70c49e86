"""Verdicts from recorded completions, for example the transcripts of another tool.

    completions = [((0, 1), Completion("[[A]]")), ((1, 0), Completion("[[B]]"))]
    verdict = verdict_from_completions(judge, comparison, completions)
    row = to_row(comparison, verdict)

The completions are parsed as if the judge had just written them, so every metric can be computed from them.
"""

from __future__ import annotations

from collections.abc import Iterable

from fathom.data.records import Comparison
from fathom.engines import Completion
from fathom.judges import Ask, Judge, Verdict, gather

Order = tuple[int, ...]


def verdict_from_completions(
    judge: Judge, comparison: Comparison, completions: Iterable[tuple[Order, Completion | None]]
) -> Verdict:
    """The verdict on recorded completions by the judge's own rule and threshold.

    Each completion comes with the indices of the responses in its prompt, in the order shown: all of them, or a single
    one for a pointwise judge. Completions of a pointwise judge must come round by round: the first completion on every
    response, then the second on every response. A completion of None is a failed call. Raises ValueError if there are
    no completions.
    """
    pairs = list(completions)
    single = judge.arity == "pointwise" and len(comparison.responses) > 1
    asks = [Ask(judge, comparison.subset(order) if single else comparison.permuted(order), order) for order, _ in pairs]
    return judge.verdict(gather(asks, [completion for _, completion in pairs]))
