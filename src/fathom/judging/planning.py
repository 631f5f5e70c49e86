"""The calls that a run of judging would make, from the plans of its reward model: behind `--dry-run`.

    counter = preview(settings.engine).counter
    rows = plan(settings, comparisons, counter, verdict)
    counter.plan.calls, counter.plan.at_most

Adaptive votes, and the schedules of rankings that follow outcomes, are planned with the most calls they can make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fathom.data.records import Comparison
from fathom.engines import check_capabilities
from fathom.engines.planning import CallCounter
from fathom.judges import RewardModel
from fathom.judging import judge_of_meta
from fathom.judging.session import in_both_orders, judge_of, voter_of
from fathom.ranking import check
from fathom.ranking.schedules import FIXED, SCHEDULES, Pair, most_pairs
from fathom.settings import JudgingSettings

Work = Callable[[RewardModel, Comparison], Sequence[Comparison]]
"""What a command has a reward model judge for one comparison of its source."""


def plan(
    settings: JudgingSettings,
    comparisons: Iterable[Comparison],
    counter: CallCounter,
    work: Work,
    *,
    pairs_alone: bool = False,
) -> int:
    """Count the calls for all comparisons in `counter`. Returns the number of comparisons.

    `pairs_alone`: a listwise judge votes on both orders of its pairs, as in `fathom probe`. Raises FathomError for
    settings, comparisons and engines that the run would refuse.
    """
    judge = judge_of(settings)
    if settings.voting.meta:
        judge_of_meta(settings.voting.meta, judge)
    check_capabilities(counter, judge.needs, f"the judge {type(judge).__name__}")
    counter.plan.at_most |= settings.voting.votes == "adaptive"
    every = settings.voting.model_copy(update={"votes": settings.voting.most, "meta": None})
    model = (in_both_orders if pairs_alone else voter_of)(judge, every, settings.sampling.seed)
    return count_calls(model, comparisons, counter, work)


def count_calls(model: RewardModel, comparisons: Iterable[Comparison], counter: CallCounter, work: Work) -> int:
    """Count the planned calls of a reward model. Returns the number of comparisons."""
    rows = 0
    for rows, comparison in enumerate(comparisons, 1):  # noqa: B007 - the count is used after the loop
        for judged in work(model, comparison):
            for ask in model.plan(judged):
                if ask.vote is None:
                    counter.count(ask.request)
    return rows


def verdict(model: RewardModel, comparison: Comparison) -> list[Comparison]:
    """As in `fathom judge`: the comparison itself."""
    return [comparison]


def evaluation(model: RewardModel, comparison: Comparison) -> list[Comparison]:
    """As in `fathom eval`: all pairs of more than two responses for a pairwise judge, otherwise the comparison."""
    ranked = model.arity == "pairwise" and len(comparison.responses) > 2
    return _subsets(comparison, _pairs("round-robin", comparison)) if ranked else [comparison]


def ranking(schedule: str, counter: CallCounter) -> Work:
    """As in `fathom rank`: all pairs of a fixed schedule, otherwise as many as it can ask, the longest of all pairs."""

    def work(model: RewardModel, comparison: Comparison) -> list[Comparison]:
        check(comparison)
        if model.arity != "pairwise":
            return [comparison]
        counter.plan.at_most |= schedule not in FIXED and len(comparison.responses) > 2
        return _subsets(comparison, _pairs(schedule, comparison))

    return work


def _subsets(comparison: Comparison, pairs: Iterable[Pair]) -> list[Comparison]:
    return [comparison.subset(pair) for pair in pairs]


def _pairs(schedule: str, comparison: Comparison) -> list[Pair]:
    n = len(comparison.responses)
    if schedule in FIXED:
        return next(SCHEDULES[schedule](n))
    lengths = [len(response) for response in comparison.responses]
    pairs = next(SCHEDULES["round-robin"](n))
    return sorted(pairs, key=lambda pair: -lengths[pair[0]] - lengths[pair[1]])[: most_pairs(schedule, n)]
