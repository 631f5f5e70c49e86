"""Count the calls that a run would make, from the plans of its reward model (for `--dry-run`).

    counter = preview(settings.engine).counter
    rows = plan(settings, comparisons, counter, verdict)
    counter.plan.calls, counter.plan.at_most

For adaptive votes, and for ranking schedules that depend on outcomes, this is the maximum number of calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fathom.data.records import Comparison
from fathom.engines import check_capabilities
from fathom.engines.planning import CallCounter
from fathom.judges import RewardModel
from fathom.judging import judge_of_meta
from fathom.judging.session import in_both_orders, judge_of, with_votes
from fathom.ranking import check
from fathom.ranking.schedules import FIXED, SCHEDULES, Pair, most_pairs
from fathom.settings import JudgingSettings

Work = Callable[[RewardModel, Comparison], Sequence[Comparison]]
"""The comparisons that a command passes to the reward model for one comparison of its source."""


def plan(
    settings: JudgingSettings,
    comparisons: Iterable[Comparison],
    counter: CallCounter,
    work: Work,
    *,
    pairs_alone: bool = False,
) -> int:
    """Count the calls for all comparisons in `counter`. Returns the number of comparisons.

    With `pairs_alone`, a listwise judge sees pairs in both orders, as in `fathom probe`. Raises FathomError for
    settings, comparisons and engines that the run would reject.
    """
    judge = judge_of(settings)
    if settings.voting.meta:
        judge_of_meta(settings.voting.meta, judge)
    check_capabilities(counter, judge.needs, f"the judge {type(judge).__name__}")
    counter.plan.at_most |= settings.voting.votes == "adaptive"
    # The maximum number of votes in place of adaptive ones, and no meta reward model, whose weights must not be loaded.
    every = settings.voting.model_copy(update={"votes": settings.voting.most, "meta": None})
    model = (in_both_orders if pairs_alone else with_votes)(judge, every, settings.sampling.seed)
    return count_calls(model, comparisons, counter, work)


def count_calls(model: RewardModel, comparisons: Iterable[Comparison], counter: CallCounter, work: Work) -> int:
    """Count the planned calls of a reward model. Returns the number of comparisons."""
    rows = 0
    for rows, comparison in enumerate(comparisons, 1):  # noqa: B007 - the count is used after the loop
        for judged in work(model, comparison):
            for ask in model.plan(judged):
                for request in ask.requests if ask.vote is None else ():
                    counter.count(request)
    return rows


def verdict(model: RewardModel, comparison: Comparison) -> list[Comparison]:
    """As in `fathom judge`: the comparison itself."""
    return [comparison]


def evaluation(model: RewardModel, comparison: Comparison) -> list[Comparison]:
    """As in `fathom eval`: all pairs of more than two responses for a pairwise judge, otherwise the comparison."""
    ranked = model.arity == "pairwise" and len(comparison.responses) > 2
    return _subsets(comparison, _pairs("round-robin", comparison)) if ranked else [comparison]


def ranking(schedule: str, counter: CallCounter) -> Work:
    """As in `fathom rank`: the pairs of a schedule.

    If the schedule depends on outcomes, these are the longest pairs, as many as it can ask at most.
    """

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
