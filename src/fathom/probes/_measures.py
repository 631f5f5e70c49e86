"""The verdicts on probed comparisons, item by item, and measures with confidence intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import erfc, sqrt
from statistics import NormalDist, fmean
from typing import Any, NamedTuple

from fathom.errors import FathomError
from fathom.metrics.intervals import Interval, cluster_bootstrap_mean, clustered_share
from fathom.metrics.significance import holm
from fathom.metrics.steps import mean_step_scores, step_scores
from fathom.results.rows import Row, VerdictRow, is_correct, is_labelled, pointwise_score, prompt_key

Z_95 = NormalDist().inv_cdf(0.975)
"""The half-width of a 95 % interval, in standard errors."""


class Cast(NamedTuple):
    """A vote: `order[k]` is the response shown in place k. `parsed` is False without a verdict."""

    order: tuple[int, ...]
    winner: int | None
    parsed: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict in one row."""

    parsed: bool
    winner: int | None
    label: int | None
    flip_rate: float | None
    votes: tuple[Cast, ...]
    target: int | None
    letter: str | None
    own: int | None
    score: float | None = None
    """The score of a single response."""
    called_right: bool | None = None
    """Whether that score is at or above the threshold; None without a threshold."""
    truth: bool | None = None
    """Whether the label calls a single response right; None without a label."""
    steps: tuple[float | None, ...] = ()
    """The mean score of each step of a single response over the parsed votes; empty for judges that score no steps."""
    kept: tuple[tuple[int, int], ...] = ()
    """The places of the unchanged steps, before and after the change."""

    def share(self, response: int) -> float | None:
        """The share of the vote for a response. A tie is half a vote, and both orders have equal weight.

        None if all votes of one order are unparsed, because the share would then contain the position bias of the
        other order.
        """
        return self._balanced(lambda vote: _won(vote, response))

    def share_of_place(self, place: int) -> float | None:
        """The share of the vote for the response shown in this place; None if all votes saw the same order."""
        if len({vote.order for vote in self.votes}) < 2:
            return None
        return self._balanced(lambda vote: _won(vote, vote.order[place]))

    def _balanced(self, worth: Callable[[Cast], float]) -> float | None:
        by_order: dict[tuple[int, ...], list[float]] = {vote.order: [] for vote in self.votes}
        for vote in self.votes:
            if vote.parsed:
                by_order[vote.order].append(worth(vote))
        return fmean(map(fmean, by_order.values())) if by_order and all(by_order.values()) else None


def _won(vote: Cast, response: int) -> float:
    return 0.5 if vote.winner is None else float(vote.winner == response)


@dataclass
class Item:
    """The verdicts on one comparison: the original and the variations of one probe. `cluster` identifies its prompt."""

    cluster: Hashable = None
    plain: Outcome | None = None
    variations: dict[str, Outcome] = field(default_factory=dict)

    def variation(self, name: str) -> Outcome | None:
        return self.variations.get(name)


def items(rows: Iterable[Row]) -> dict[str, list[Item]]:
    """The items of each probe; "plain" has the original comparisons. Items of probes include the original verdict."""
    plain: dict[str, Item] = {}
    varied: dict[str, dict[str, Item]] = defaultdict(lambda: defaultdict(Item))
    for row in rows:
        about = _about(row)
        if "pairs" in row:
            raise FathomError(f"row {row['id']!r} is a ranking; expected rows written by fathom probe")
        of, cluster, outcome = about["of"], prompt_key(row), _outcome(row, about)
        if about["probe"] == "plain":
            if of in plain:
                raise FathomError(f"row {row['id']!r} occurs twice; a card needs comparisons with unique ids")
            plain[of] = Item(cluster, outcome)
        else:
            varied[about["probe"]][of].cluster = cluster
            varied[about["probe"]][of].variations[about["variation"]] = outcome
    for probed in varied.values():
        for of, item in probed.items():
            item.plain = plain[of].plain if of in plain else None
    return {"plain": [*plain.values()]} | {name: [*probed.values()] for name, probed in varied.items()}


def _about(row: Row) -> Mapping[str, Any]:
    about: Mapping[str, Any] | None = row["metadata"].get("probe")
    if about is None:
        raise FathomError(f"row {row['id']!r} belongs to no probe; expected rows written by fathom probe")
    return about


def _outcome(row: VerdictRow, about: Mapping[str, Any]) -> Outcome:
    votes = tuple(Cast(tuple(vote["order"]), vote["winner"], vote["status"] == "ok") for vote in row["votes"])
    return Outcome(
        parsed=row["status"] == "ok",
        winner=row["winner"],
        label=row["label"],
        flip_rate=row["flip_rate"],
        votes=votes,
        target=about["target"],
        letter=about["letter"],
        own=row["metadata"].get("own_response"),
        kept=tuple((before, after) for before, after in about.get("kept", ())),
        **_alone(row),
    )


def _alone(row: VerdictRow) -> dict[str, Any]:
    """What an outcome holds of a single response."""
    if len(row["responses"]) != 1 or row["status"] != "ok":
        return {}
    score, votes = pointwise_score(row), step_scores(row)
    threshold = row["threshold"]
    return {
        "score": score,
        "called_right": None if score is None or threshold is None else score >= threshold,
        "truth": is_correct(row) if is_labelled(row) else None,
        "steps": tuple(mean_step_scores(votes, len(row["steps"][0]))) if votes and "steps" in row else (),
    }


@dataclass(frozen=True)
class Measure:
    """A mean over items. `interval` is None if nothing could be measured.

    `n` counts the items in the mean, `left_out` those without a parsed verdict or without the measured value.
    """

    name: str
    meaning: str
    target: float | None
    """The value of an unbiased judge; None if there is no such value."""
    interval: Interval | None
    n: int
    left_out: int
    adjusted_p: float | None = None
    """`p`, corrected for all measures of the card (Holm)."""

    @property
    def p(self) -> float | None:
        """The p-value of the target that the interval implies; None without an interval or a target.

        By a normal approximation whose standard error is that of the bound on the target's side, so that p is below
        0.05 exactly where the interval does not contain the target.
        """
        if self.target is None or self.interval is None:
            return None
        mean, low, high = self.interval
        away, reach = abs(self.target - mean), (high - mean if self.target > mean else mean - low)
        if away < 1e-9:
            return 1.0
        return erfc(Z_95 * away / reach / sqrt(2)) if reach > 0 else 0.0

    @property
    def on_target(self) -> bool | None:
        """Whether the target is not rejected: by the corrected p on a card, otherwise by the interval."""
        p = self.p if self.adjusted_p is None else self.adjusted_p
        return None if p is None else p >= 0.05


Value = Callable[[Item], float | None]
Estimate = Callable[[Sequence[float], Sequence[Hashable]], Interval | None]


def share(name: str, meaning: str, target: float | None, items: Sequence[Item], value: Value) -> Measure:
    """Measure the mean of values from 0 to 1."""
    return _measured(name, meaning, target, items, value, clustered_share)


def shift(name: str, meaning: str, items: Sequence[Item], value: Value) -> Measure:
    """Measure the mean of differences, whose target is 0."""
    return _measured(name, meaning, 0.0, items, value, cluster_bootstrap_mean)


def _measured(
    name: str, meaning: str, target: float | None, items: Sequence[Item], value: Value, estimate: Estimate
) -> Measure:
    measured = [(item.cluster, each) for item in items if (each := value(item)) is not None]
    interval = estimate([each for _, each in measured], [cluster for cluster, _ in measured])
    return Measure(name, meaning, target, interval, len(measured), len(items) - len(measured))


def difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def unbeaten(pair: Outcome) -> float | None:
    """Whether the changed response wins or ties, as 0 or 1; None without a parsed verdict."""
    return float(pair.winner in (pair.target, None)) if pair.parsed else None


def of_pairs(value: Callable[[Outcome], float | None]) -> Value:
    """The value of an item: the mean over all of its variations that have one."""

    def of_item(item: Item) -> float | None:
        values = [each for pair in item.variations.values() if (each := value(pair)) is not None]
        return fmean(values) if values else None

    return of_item


def corrected(card: Mapping[str, Sequence[Measure]]) -> dict[str, list[Measure]]:
    """The card's measures with `adjusted_p`: of many measures of an unbiased judge, some miss the target by chance."""
    p_values = [measure.p for measures in card.values() for measure in measures if measure.p is not None]
    adjusted = iter(holm(p_values))
    return {
        name: [measure if measure.p is None else replace(measure, adjusted_p=next(adjusted)) for measure in measures]
        for name, measures in card.items()
    }
