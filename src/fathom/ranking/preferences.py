"""From a ranking to a preference: the best response against the worst, as data for DPO.

    pair = preference(await rank(voter, comparison, round_robin, wins))
    if isinstance(pair, Preference): ...

With all pairs judged and a point a win this is the way of "Beyond Length Scaling: Synergizing Breadth and Depth for
Generative Reward Models" (arXiv 2603.01571). The paper does not say what it does with ties and with judgements that
cannot be read. Here nothing breaks a tie unless that is asked for, and a missing pair leaves the comparison out:
points of responses that were not compared equally often cannot be held against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fathom.ranking import Ranking

Ties = Literal["skip", "first"]
"""Where several responses share the highest or the lowest score: leave them out, or take the one that stands first."""
LeftOut = Literal["missing", "tie", "margin", "probability"]
"""Why: a pair could not be read, the best or the worst is shared, or their scores or their votes are too near."""


@dataclass(frozen=True, slots=True)
class Preference:
    chosen: int
    rejected: int
    margin: float
    """The difference of their scores, above 0."""


def preference(
    ranking: Ranking, *, ties: Ties = "skip", min_margin: float = 0.0, min_probability: float = 0.0
) -> Preference | LeftOut:
    """The best response and the worst, or why there is none. Where all scores are equal, that is a tie always.

    `min_margin` is of the difference of their scores, `min_probability` of the share of the votes that prefer the best
    to the worst, where the two were compared or seen together.
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
