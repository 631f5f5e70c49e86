"""What rows amount to: accuracies, what no judge is needed for, how sure a judge is, what more votes are worth."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.records import Comparison, Label
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import RewardModel, Rule, Vote
from fathom.metrics import rankings
from fathom.metrics.baselines import RULES
from fathom.metrics.calibration import Calibration
from fathom.metrics.separation import auc
from fathom.metrics.verdicts import Tally, summary, tally
from fathom.metrics.votes import curve, curves, first
from fathom.rationale import Status
from fathom.results.rows import to_row, tokens_of_usage, usage
from fathom.voting.wrappers import Repeated, Swapped
from judged import as_json, ranked, row, swapped, vote

MISSING = Status.MISSING


def pair(votes: Sequence[Vote], number: int = 0, **fields: Any) -> dict[str, Any]:
    """A row of a prompt of its own."""
    return row(votes, prompt=f"Task {number}", id=f"pair-{number}", **fields)


def of_all(rows: Sequence[dict[str, Any]]) -> Tally:
    return tally(rows)["all"]


def mean(interval: Any) -> float:
    assert interval is not None
    return float(interval.mean)


# Accuracies -----------------------------------------------------------------------------------------------------------


def test_accuracy_is_told_strictly_among_the_readable_and_with_half_a_point_for_a_tie() -> None:
    cast = [(0, 0), (0, 1), (None, 0), (MISSING, 1), (1, None)]
    tallied = of_all([pair([vote(winner)], n, label=label) for n, (winner, label) in enumerate(cast)])
    # Of four labelled rows one is right, one wrong, one a tie, one unparsed; the fifth has no label.
    assert mean(tallied.accuracy) == 1 / 4
    assert mean(tallied.accuracy_parsed) == 1 / 3
    assert mean(tallied.parse_rate) == 4 / 5
    assert mean(tallied.accuracy_half_ties) == 1.5 / 4
    assert tallied.usage == Usage(500, 100)
    assert tallied.structure == {"vanilla": 4}


def test_without_labels_there_is_no_accuracy() -> None:
    tallied = of_all([pair([vote(1)], label=None)])
    assert (tallied.accuracy, tallied.accuracy_parsed, tallied.accuracy_half_ties, tallied.baselines.accuracy) == (
        None,
        None,
        None,
        {},
    )


@dataclass(frozen=True)
class Says(RewardModel):
    """Votes for the place, of the responses as it is shown them, that `place` gives."""

    place: Callable[[Comparison, int], int | None]

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        winner = self.place(comparison, sample)
        return [Vote(Status.OK, winner=winner, order=tuple(range(len(comparison.responses))))]


def judged(voter: RewardModel, comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    async def all_of_them() -> list[dict[str, Any]]:
        return [as_json(to_row(comparison, await voter(comparison))) for comparison in comparisons]

    return asyncio.run(all_of_them())


def labelled(labels: Sequence[int]) -> list[Comparison]:
    return [
        Comparison(id=str(n), prompt=f"Task {n}", responses=("yes", "no"), label=Label(best=best))
        for n, best in enumerate(labels)
    ]


@given(st.lists(st.integers(0, 1), min_size=1, max_size=30), st.integers(1, 3))
def test_a_judge_of_places_asked_in_both_orders_gets_exactly_a_half_whatever_the_labels(
    labels: list[int], times: int
) -> None:
    always_first = Repeated(Swapped(Says(lambda comparison, sample: 0)), times)
    tallied = of_all(judged(always_first, labelled(labels)))
    assert mean(tallied.accuracy_half_ties) == 0.5
    assert mean(tallied.accuracy) == 0.0
    assert mean(tallied.flip_rate) == 1.0
    assert mean(tallied.baselines.accuracy["random"]) == 0.5


def test_flip_rate_and_agreement_are_means_over_rows_that_have_several_votes() -> None:
    tallied = of_all(
        [
            pair(swapped([0, 0, 0, 0]), 0),  # no flips, all agree
            pair(swapped([0, 1, 0, 0]), 1),  # one of two flips, three of four agree
            pair([vote(0)], 2),
        ]
    )
    assert mean(tallied.flip_rate) == 0.25
    assert mean(tallied.agreement) == (1 + 0.75) / 2
    single = of_all([pair([vote(0)])])
    assert (single.flip_rate, single.agreement) == (None, None)


def test_votes_without_a_verdict_are_counted_by_reason_and_errors_by_their_text() -> None:
    failed = Vote(Status.FAILED, order=(0, 1), error="HTTP 503")
    tallied = of_all([pair([vote(0), vote(MISSING), failed], 0), pair([failed, failed], 1)])
    assert tallied.votes == 5
    assert tallied.invalid == {"missing": 1, "failed": 3}
    assert tallied.errors == {"HTTP 503": 3}
    assert summary({"all": tallied})["all"]["errors"] == {"HTTP 503": 3}


def test_rows_of_one_prompt_that_stand_and_fall_together_are_no_more_evidence_than_one() -> None:
    shares = [0, 1, 1, 0, 1, 1, 1, 0, 1, 1] * 3
    alone = of_all([pair([vote(right)], n, label=1) for n, right in enumerate(shares)])
    tenfold = of_all([pair([vote(right)], n, label=1) for n, right in enumerate(shares) for _ in range(10)])
    assert alone.accuracy is not None
    assert tenfold.accuracy is not None
    assert tenfold.accuracy.high - tenfold.accuracy.low > 0.99 * (alone.accuracy.high - alone.accuracy.low)


@pytest.mark.parametrize("metric", ["best_of_n", "parse_rate", "tau", *RULES])
def test_rankings_of_one_prompt_that_stand_and_fall_together_are_no_more_evidence_than_one(metric: str) -> None:
    def ranking(number: int) -> dict[str, Any]:
        """Of three responses, scored in order: prompts differ in the labelled order and in the pairs that were read."""
        pairs = {each: Rule()([vote(each[0])]) for each in ((0, 1), (0, 2), (1, 2))}
        unread = {each: Rule()([vote(MISSING)]) for each in list(pairs)[: number % 5]}
        label = Label(ranking=((0, 1, 2), (1, 2, 0), (2, 1, 0), (0, 2, 1))[number % 4])
        texts = tuple("word" * (1 + (place + number // 2) % 3) for place in range(3))
        return ranked(pairs | unread, [2.0, 1.0, 0.0], prompt=f"Task {number}", label=label, responses=texts)

    def width(copies: int) -> float:
        tallied = rankings.tally(ranking(number) for number in range(30) for _ in range(copies))["all"]
        found = tallied.baselines.accuracy[metric] if metric in RULES else getattr(tallied, metric)
        assert found is not None
        return float(found.high - found.low)

    assert width(1) > 0.1
    assert width(10) > 0.99 * width(1)


def test_a_summary_is_plain_json() -> None:
    rows = [pair(swapped([0, 1, MISSING, 0]), n, domain="preference") for n in range(3)]
    told = json.loads(json.dumps(summary(tally(rows))))
    assert set(told) == {"all", "preference"}
    assert told["all"]["accuracy"][0] == 1.0
    assert told["all"]["calibration"]["votes"]["bins"] == [[0.6, 0.7, 3, pytest.approx(2 / 3), 1.0]]


# Baselines ------------------------------------------------------------------------------------------------------------


def test_baselines_are_what_their_rules_would_have_got() -> None:
    def of(responses: Sequence[str], label: int, n: int) -> dict[str, Any]:
        return pair([vote(0)], n, responses=tuple(responses), label=label)

    rows = [
        of(["aaa", "b"], 1, 0),  # the shorter
        of(["aaa", "b"], 0, 1),  # the longer
        of(["aa", "bb"], 1, 2),  # as long: half a point for either
        of(["a", "b", "cc", "dd"], 1, 3),  # of four, one of the two shortest
    ]
    found = {name: mean(value) for name, value in of_all(rows).baselines.accuracy.items()}
    assert found == {
        "first": 1 / 4,
        "constant": 3 / 4,  # always the second
        "longer": (0 + 1 + 1 / 2 + 0) / 4,
        "shorter": (1 + 0 + 1 / 2 + 1 / 2) / 4,
        "random": (3 / 2 + 1 / 4) / 4,
    }


@given(st.lists(st.tuples(st.lists(st.text(max_size=4), min_size=2, max_size=2), st.integers(0, 1)), min_size=1))
def test_what_longer_gets_of_pairs_shorter_does_not(pairs: list[tuple[list[str], int]]) -> None:
    rows = [pair([vote(0)], n, responses=tuple(texts), label=label) for n, (texts, label) in enumerate(pairs)]
    found = of_all(rows).baselines.accuracy
    assert mean(found["longer"]) + mean(found["shorter"]) == pytest.approx(1)
    assert mean(found["constant"]) >= 0.5


# Calibration ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "ece"),
    [
        pytest.param(lambda sure: sure, 0.0, id="right as often as it is sure"),
        pytest.param(lambda sure: 0.5 + 0 * sure, 0.25, id="right half of the time, sure from 0.5 to 1"),
        pytest.param(lambda sure: sure - 0.1, 0.1, id="a tenth too sure"),
    ],
)
def test_the_calibration_of_a_judge_whose_calibration_is_known(truth: Callable[[Any], Any], ece: float) -> None:
    draw = np.random.default_rng(0)
    sure = draw.uniform(0.5, 1, 40_000)
    right = draw.random(40_000) < truth(sure)
    calibration = Calibration()
    for confidence, hit in zip(sure.tolist(), right.tolist(), strict=True):
        calibration.add(confidence, right=hit)
    # E[(s - r)^2] = E[s^2 - 2 s t + t] with r of mean t.
    brier = float(np.mean(sure**2 - 2 * sure * truth(sure) + truth(sure)))
    assert calibration.ece == pytest.approx(ece, abs=0.01)
    assert calibration.brier == pytest.approx(brier, abs=0.01)
    assert calibration.bins[0][:2] == (0.5, 0.6)


def sure_of(winner: int, *probabilities: tuple[float, float]) -> list[Vote]:
    return [Vote(Status.OK, winner=winner, order=(0, 1), probabilities=told) for told in probabilities]


def test_probabilities_of_a_row_are_those_of_its_winner_and_so_is_the_share_of_its_votes() -> None:
    rows = [
        pair([*sure_of(1, (0.1, 0.9), (0.3, 0.6)), *sure_of(0, (0.7, 0.3))], 0, label=1),
        pair([vote(None)], 1),  # names nobody
        pair([vote(0)], 2),  # one vote without probabilities
        pair([vote(0)], 3, label=None),
    ]
    found = of_all(rows).calibration
    assert {source: calibration.bins for source, calibration in found.items()} == {
        "probabilities": [(0.6, 0.7, 1, pytest.approx(0.6), 1.0)],  # (0.9 + 0.6 + 0.3) / 3
        "votes": [(0.6, 0.7, 1, pytest.approx(2 / 3), 1.0)],
    }


def test_nothing_sure_has_no_calibration() -> None:
    assert (Calibration().ece, Calibration().brier, Calibration().bins) == (None, None, [])


# Votes ----------------------------------------------------------------------------------------------------------------

any_votes = st.lists(st.sampled_from([0, 1, None, MISSING]), min_size=1, max_size=9)
rules = st.builds(Rule, invalid=st.sampled_from(["drop", "require"]), ties=st.sampled_from(["count", "drop"]))


@given(any_votes, rules, st.integers(1, 9))
def test_the_first_votes_of_a_row_are_the_row_of_the_first_votes(winners: list[Any], rule: Rule, votes: int) -> None:
    def made(cast: Sequence[Vote]) -> dict[str, Any]:
        comparison = Comparison(id="1", prompt="p", responses=("a", "b"), label=Label(best=0))
        return as_json(to_row(comparison, rule(cast)))

    cast = swapped(winners)
    assert as_json(first(made(cast), votes)) == made(cast[:votes])


def test_votes_that_a_filter_left_out_decide_nothing_and_still_cost() -> None:
    left_out = replace(vote(1), included=False)
    judged = pair([left_out, vote(0), left_out, vote(0), left_out])
    assert [(votes, found.usage.completion_tokens) for votes, found in curve([judged]).items()] == [(1, 40), (2, 100)]
    assert mean(curve([judged])[1].accuracy) == 1.0
    assert of_all([judged]).calibration["votes"].bins == [(0.9, 1.0, 1, 1.0, 1.0)]


def test_the_curve_of_a_judge_that_is_right_seven_times_in_ten_rises_as_condorcet_says() -> None:
    draw = random.Random(0)
    labels = [0] * 400
    says = {(str(n), sample): int(draw.random() > 0.7) for n, sample in product(range(400), range(5))}
    rows = judged(Repeated(Says(lambda comparison, sample: says[comparison.id, sample]), 5), labelled(labels))
    found = curve(rows)
    assert list(found) == [1, 2, 4, 5]
    # By the binomial: 0.7; of five, three or more: 0.837. Three standard errors of 400 rows are 0.07 and 0.055.
    assert mean(found[1].accuracy) == pytest.approx(0.7, abs=0.07)
    assert mean(found[5].accuracy) == pytest.approx(0.837, abs=0.055)
    assert mean(found[2].accuracy_half_ties) == pytest.approx(mean(found[1].accuracy_half_ties), abs=0.07), (
        "two votes can only tie"
    )


def test_votes_that_were_counted_by_a_rule_of_the_past_are_told() -> None:
    row = pair([vote(0)]) | {"rule": {"aggregate": "mean", "invalid": "drop", "ties": "drop"}}
    with pytest.raises(
        FathomError, match="row 'pair-0' has an invalid value: ties='drop' requires the aggregate 'majority'"
    ):
        curves({"old": [row]})


def test_greedy_and_sampled_runs_stand_in_one_table_with_their_tokens() -> None:
    greedy = [pair([vote(0)], n) for n in range(3)]
    sampled = [pair(swapped([0, 1, 0, 0]), n) for n in range(3)]
    table = curves({"greedy": greedy, "sampled": sampled})
    assert {name: tallied.usage.completion_tokens for name, tallied in table.items()} == {
        "greedy, 1 vote": 60,
        "sampled, 1 vote": 60,
        "sampled, 2 votes": 120,
        "sampled, 4 votes": 240,
    }
    assert summary({"all": table["sampled, 4 votes"]}) == summary({"all": of_all(sampled)})
    assert curves({"none": []}) == {}


# Single responses -----------------------------------------------------------------------------------------------------


def single(label: float | None, *scores: float | None, threshold: float | None = 0.5, n: int = 0) -> dict[str, Any]:
    """A row of one response that a judge scored in several votes; None is a vote that could not be read."""
    votes = [
        Vote(MISSING, order=(0,)) if score is None else Vote(Status.OK, scores=(score,), order=(0,)) for score in scores
    ]
    comparison = Comparison(
        id=f"single-{n}",
        prompt=f"{n}?",
        responses=("4",),
        label=None if label is None else Label(scores=(label,)),
    )
    return as_json(to_row(comparison, Rule(aggregate="mean")(votes, threshold=threshold)))


@pytest.mark.parametrize(
    ("row", "correct"),
    [
        pytest.param(single(1, 0.8), True, id="above the bound, and right"),
        pytest.param(single(0, 0.8), False, id="above the bound, and wrong"),
        pytest.param(single(0, 0.1), True, id="below the bound, and wrong"),
        pytest.param(single(1, 1, 0, 1), True, id="by the mean of the votes"),
        pytest.param(single(1, None, 0.8), True, id="by the votes that could be read"),
        pytest.param(single(1, 0.5), True, id="on the bound, and right"),
        pytest.param(single(0, 1, 0), False, id="on the bound by two votes, and wrong"),
        pytest.param(single(1, None), None, id="not parsed"),
        pytest.param(single(None, 0.8), None, id="no label"),
        pytest.param(single(0.7, 0.8), None, id="a label that is neither right nor wrong"),
        pytest.param(single(1, 8, threshold=None), None, id="a judge without a bound"),
    ],
)
def test_a_single_response_is_held_against_its_label(row: dict[str, Any], correct: bool | None) -> None:
    assert (row["correct"], row["label"], row["agreement"]) == (correct, None, None)


def test_single_responses_have_an_accuracy_and_no_agreement() -> None:
    rows = [single(1, 0.9), single(1, 0.2), single(0, 0.1, 0.2), single(0, None)]
    told = of_all(rows)
    assert (told.labelled, told.correct) == (4, 2)
    assert told.accuracy is not None
    assert told.accuracy_parsed is not None
    assert told.accuracy_half_ties is not None
    assert (told.accuracy.mean, told.accuracy_parsed.mean, told.accuracy_half_ties.mean) == (2 / 4, 2 / 3, 2 / 4)
    assert told.agreement is None
    assert told.alone.auc == 1.0  # 0.9 and 0.2 are right, 0.15 is wrong; what could not be read has no score


def test_scores_without_a_bound_have_an_area_and_no_accuracy() -> None:
    told = of_all([single(1, 9, threshold=None), single(0, 9, threshold=None), single(0, 2, threshold=None)])
    assert (told.labelled, told.accuracy) == (0, None)
    assert told.alone.auc == 3 / 4  # one of two wrong ones is below, one is equal
    assert summary({"all": told})["all"]["auc"] == 3 / 4


def test_the_first_votes_on_single_responses_are_held_against_the_label_too() -> None:
    row = single(1, 1, 0, 0)
    assert (first(row, 1)["correct"], first(row, 2)["correct"], first(row, 3)["correct"]) == (True, True, False)


SCORES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_the_area_is_the_chance_that_a_right_one_scores_higher(right: list[float], wrong: list[float]) -> None:
    chances = [1.0 if good > bad else 0.5 if good == bad else 0.0 for good in right for bad in wrong]
    assert auc(right, wrong) == pytest.approx(sum(chances) / len(chances))
    assert auc(wrong, right) == pytest.approx(1 - sum(chances) / len(chances))


def test_there_is_no_area_of_one_kind_alone() -> None:
    assert auc([1.0], []) is auc([], [1.0]) is None


@given(st.builds(Usage, st.integers(0), st.integers(0), st.integers(0)))
def test_usage_in_a_row_is_read_back_unchanged_and_what_is_unknown_is_never_0(spent: Usage) -> None:
    held = tokens_of_usage(spent)
    assert usage({"tokens": held}) == spent
    assert not (spent.unknown_calls and 0 in held.values())


def test_a_tally_over_a_call_without_reported_usage_gives_lower_bounds() -> None:
    votes = [replace(vote(0), usage=Usage(50, 20)), replace(vote(0), usage=Usage(unknown_calls=1))]
    told = row(votes)
    assert told["tokens"] == {"prompt": 50, "completion": 20, "unknown_calls": 1}
    assert told["votes"][1]["tokens"] == {"prompt": None, "completion": None, "unknown_calls": 1}
    [total] = summary(tally([told])).values()
    assert (total["prompt_tokens"], total["completion_tokens"], total["unknown_calls"]) == (50, 20, 1)
