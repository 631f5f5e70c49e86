"""Preference data for DPO from a ranking: the best response is chosen, the worst rejected.

    pair = preference(await rank(model, comparison, round_robin, wins))
    if isinstance(pair, Preference): ...

With `round_robin` and `wins` this is the method of "Beyond Length Scaling: Synergizing Breadth and Depth for Generative
Reward Models" (arXiv 2603.01571). The paper does not say how it treats ties and unreadable judgments. Here a tie stays
a tie unless `ties="first"`, and a comparison with a missing pair is left out, because totals of responses that were not
compared equally often are not comparable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fathom.ranking import Ranking

Ties = Literal["skip", "first"]
"""If several responses share the highest or the lowest score: skip the comparison, or take the first of them."""
LeftOut = Literal["missing", "tie", "margin", "probability"]
"""Why a comparison gives no preference: a missing pair, a tie for best or worst, or a small margin or vote share."""


@dataclass(frozen=True, slots=True)
class Preference:
    chosen: int
    rejected: int
    margin: float
    """The difference of their scores, greater than 0."""


def preference(
    ranking: Ranking, *, ties: Ties = "skip", min_margin: float = 0.0, min_probability: float = 0.0
) -> Preference | LeftOut:
    """The best and the worst response of a ranking, or the reason why there is no preference.

    Equal scores for all responses are always a tie. `min_margin` is the minimum difference between the two scores.
    `min_probability` is the minimum share, 0 to 1, of the votes between the two that prefer the best.
    """
    if ranking.missing or None in ranking.scores:
        return "missing"
    best, worst = ranking.order[0], ranking.order[-1]
    if best == worst or (ties == "skip" and len(best) + len(worst) > 2):
        return "tie"
    scores = [score for score in ranking.scores if score is not None]
    margin = max(scores) - min(scores)
    if margin < min_margin:
        return "margin"
    probability = ranking.votes(best[0], worst[0]).share
    return "probability" if (probability or 0) < min_probability else Preference(best[0], worst[0], margin)
