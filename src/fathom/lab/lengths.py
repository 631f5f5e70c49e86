"""Accuracy by the lengths of responses, for experiments: what the rules of length would get is known.

    by_length([(2.0, 1.0), (0.5, 0.0)])     # {"longer": 1.0, "similar": 0.5, "shorter": 0.0, "balanced": 0.5}

Each pair is given by the length of its better response divided by that of the other, and by whether the better response
was preferred: 1, 0, or 0.5 for a tie.

The rules "always the longer" and "always the shorter", and any other that knows only which response is longer, have a
`balanced` accuracy of 0.5. A rule that also uses how long they are can have more: on HH-RLHF's 1,581 harmless pairs of
at most 1,500 characters, "the response whose length is nearest to 100 characters" has about 0.55.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

SIMILAR = 1.25
"""Two lengths are similar if the longer is at most this many times the shorter."""


def is_similar(ratio: float) -> bool:
    return max(ratio, 1 / ratio) <= SIMILAR


def by_length(pairs: Iterable[tuple[float, float]]) -> dict[str, float]:
    """Accuracy where the better response is clearly longer, similar in length, or clearly shorter.

    `balanced` is the mean of the first and the last: 0.5 for every rule that uses only which response is longer. A
    stratum without a pair counts as 0.5.
    """
    strata: dict[str, list[float]] = {"longer": [], "similar": [], "shorter": []}
    for ratio, right in pairs:
        strata["similar" if is_similar(ratio) else "longer" if ratio > 1 else "shorter"].append(right)
    found = {name: fmean(rights) if rights else 0.5 for name, rights in strata.items()}
    return found | {"balanced": (found["longer"] + found["shorter"]) / 2}


def half_for_tie(margin: float) -> float:
    """Whether a margin is above 0: 1, 0, or 0.5 for a margin of 0."""
    return 0.5 if margin == 0 else float(margin > 0)
