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

from fathom.scaling.ranking import Ranking

Ties = Literal["skip", "first"]
"""Where several responses share the highest or the lowest score: leave them out, or take the one that stands first."""
LeftOut = Literal["missing", "tie", "margin"]
"""A pair could not be read; nothing tells the best or the worst; they are too near to each other."""


@dataclass(frozen=True, slots=True)
class Preference:
    chosen: int
    rejected: int
    margin: float
    """The difference of their scores, above 0."""


def preference(ranking: Ranking, *, ties: Ties = "skip", min_margin: float = 0.0) -> Preference | LeftOut:
    """The best response and the worst, or why there is none. Where all scores are equal, that is a tie always."""
    if ranking.missing or None in ranking.scores:
        return "missing"
    best, worst = ranking.order[0], ranking.order[-1]
    if best == worst or (ties == "skip" and len(best) + len(worst) > 2):
        return "tie"
    scores = [score for score in ranking.scores if score is not None]
    margin = max(scores) - min(scores)
    return Preference(best[0], worst[0], margin) if margin >= min_margin else "margin"
