"""Adaptive votes: the verdict of many at the cost of few, and of all where few do not tell."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.judges import RewardModel, Rule, Verdict, Vote, unique_argmax
from fathom.rationale import Status
from fathom.settings import Aggregate
from fathom.voting.adaptive import Adaptive, catch_up_probability, flip_probability, votes_until_settled
from fathom.voting.wrappers import Repeated, WithRule

PAIR = Comparison(id="pair", prompt="p", responses=("a", "b"))
SUM = Rule(aggregate="sum")


def vote(outcome: int | str | None) -> Vote:
    if outcome == "unreadable":
        return Vote(Status.MISSING, order=(0, 1))
    return Vote(Status.OK, winner=outcome, order=(0, 1))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Listed(RewardModel):
    """Casts the votes of a list, one a sample."""

    cast: tuple[Vote, ...]

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        return [self.cast[sample]]


def judged(voter: RewardModel, comparison: Comparison = PAIR) -> Verdict:
    return asyncio.run(voter(comparison))


outcomes = st.lists(st.sampled_from([0, 0, 1, None, "unreadable"]), min_size=1, max_size=24)


@given(outcomes)
def test_without_an_error_budget_the_verdict_is_that_of_all_votes(cast: list[int | str | None]) -> None:
    voter = Listed(tuple(map(vote, cast)))
    few, all_of_them = judged(Adaptive(voter, len(cast), 0.0)), judged(Repeated(voter, len(cast)))
    assert (few.status, few.winner) == (all_of_them.status, all_of_them.winner)


@given(outcomes, st.floats(0, 0.3))
def test_its_votes_are_the_first_of_all_votes(cast: list[int | str | None], error: float) -> None:
    voter = Listed(tuple(map(vote, cast)))
    few, all_of_them = judged(Adaptive(voter, len(cast), error)), judged(Repeated(voter, len(cast)))
    assert few.votes == all_of_them.votes[: len(few.votes)]
    assert len(few.votes) == votes_until_settled(all_of_them.votes, Rule(), error)


def test_a_unanimous_judge_is_asked_little_and_one_that_wavers_to_the_end() -> None:
    unanimous = judged(Adaptive(Listed(tuple(map(vote, [1] * 32)))))
    wavering = judged(Adaptive(Listed(tuple(map(vote, [0, 1] * 16)))))
    assert (unanimous.winner, len(unanimous.votes)) == (1, 4)
    assert (wavering.winner, len(wavering.votes)) == (None, 32)


@given(st.integers(1, 12), st.integers(0, 11), st.integers(1, 20))
def test_the_chance_to_be_overtaken_is_that_of_polyas_urn(leads: int, follows: int, left: int) -> None:
    # An urn of leads + 1 and follows + 1 balls, from which each draw puts back two of its colour, is beta-binomial.
    follows = min(follows, leads)
    chances = {0: 1.0}
    for drawn in range(left):
        following: dict[int, float] = {}
        for ours, chance in chances.items():
            ahead = (leads + 1 + ours) / (leads + follows + 2 + drawn)
            following[ours + 1] = following.get(ours + 1, 0.0) + chance * ahead
            following[ours] = following.get(ours, 0.0) + chance * (1 - ahead)
        chances = following
    caught = sum(chance for ours, chance in chances.items() if leads + ours <= follows + left - ours)
    assert catch_up_probability(leads, follows, left) == pytest.approx(caught, abs=1e-9)


def scored(*scores: float) -> Vote:
    return Vote(Status.OK, winner=unique_argmax(scores), scores=scores, order=tuple(range(len(scores))))


def believed(*probabilities: float) -> Vote:
    return Vote(Status.OK, winner=unique_argmax(probabilities), probabilities=probabilities, order=(0, 1))


@pytest.mark.parametrize("aggregate", ["sum", "mean", "probability"])
def test_scores_settle_as_votes_do(aggregate: Aggregate) -> None:
    told = believed if aggregate == "probability" else scored
    clear = [told(0.9, 0.1 + noise / 100) for noise in range(8)]
    close = [told(0.5 + (-1) ** n * 0.4, 0.5) for n in range(8)]
    rule = Rule(aggregate=aggregate)
    assert flip_probability(clear, rule, 24) < 0.01
    assert flip_probability(close, rule, 24) > 0.3
    assert flip_probability(clear[:1], rule, 24) > 0.1


@given(st.integers(1, 12), st.integers(0, 11), st.integers(1, 20), st.sampled_from([0.1, 1.0, 3.0]))
def test_of_scores_that_only_say_who_is_better_the_sum_is_caught_as_the_majority_is(
    leads: int, follows: int, left: int, score: float
) -> None:
    follows = min(follows, leads - 1)
    votes = [scored(score, 0)] * leads + [scored(0, score)] * follows
    assert flip_probability(votes, SUM, left) == pytest.approx(catch_up_probability(leads, follows, left), abs=1e-12)


def test_two_votes_a_point_apart_are_no_more_settled_by_their_sum_than_by_their_majority() -> None:
    votes = [scored(6, 5)] * 2
    assert flip_probability(votes, SUM, 30) > flip_probability(votes, Rule(), 30) > 0.12


def test_without_an_error_budget_scores_are_asked_for_to_the_end_because_the_last_may_be_any() -> None:
    votes = [scored(6, 5)] * 24 + [scored(1, 10)] * 8
    assert SUM(votes[:24]).winner == 0
    assert SUM(votes).winner == 1
    assert votes_until_settled(votes, SUM, 0.0) == 32


def test_without_an_error_budget_probabilities_are_settled_once_the_lead_is_out_of_reach() -> None:
    # One vote moves the lead by 1 at most: 17 > 15, and 16 could still be made up for.
    assert votes_until_settled([believed(1.0, 0.0)] * 32, Rule(aggregate="probability"), 0.0) == 17


@pytest.mark.parametrize("aggregate", ["sum", "mean", "majority"])
def test_of_a_single_response_all_votes_are_asked_for_because_each_moves_its_score(aggregate: Aggregate) -> None:
    assert votes_until_settled([scored(1.0)] * 32, Rule(aggregate=aggregate), 0.4) == 32


def test_responses_that_no_vote_named_yet_are_a_rival_beside_those_that_have_votes() -> None:
    def named(winner: int, count: int) -> Vote:
        return Vote(Status.OK, winner=winner, order=tuple(range(count)))

    of_two, of_four = ([named(0, count)] * 6 + [named(1, count)] for count in (2, 4))
    assert flip_probability(of_two, Rule(), 25) == catch_up_probability(6, 1, 25)
    assert flip_probability(of_four, Rule(), 25) == catch_up_probability(6, 1, 25) + catch_up_probability(6, 0, 25)


@pytest.mark.parametrize(("cast", "asked"), [([0, "unreadable", 0, 0], 2), (["unreadable", 0, 0, 0], 1)])
@pytest.mark.parametrize("error", [0.0, 0.05])
def test_what_must_be_readable_is_settled_by_the_first_unreadable_vote(
    cast: list[int | str], asked: int, error: float
) -> None:
    voter = WithRule(Listed(tuple(map(vote, cast))), Rule(invalid="require"))
    verdict = judged(Adaptive(voter, 4, error))
    assert (verdict.status, len(verdict.votes)) == (Status.MISSING, asked)


def test_a_vote_without_the_probabilities_that_must_be_there_settles_that_there_is_no_verdict() -> None:
    lacking = Vote(
        Status.OK, winner=0, order=(0, 1), error="no probabilities: the engine returned no top log-probabilities"
    )
    rule = Rule(aggregate="probability", invalid="require")
    verdict = judged(Adaptive(WithRule(Listed((lacking, *[believed(0.9, 0.1)] * 3)), rule), 4))
    assert (verdict.status, len(verdict.votes)) == (Status.INVALID, 1)


def simulated(accuracy: float, correlation: float, item: int) -> Listed:
    """32 votes on one item, right with a chance of its own: `accuracy` on average, `correlation` between its votes."""
    rng = random.Random(f"{accuracy}/{correlation}/{item}")
    weight = 1 / correlation - 1
    chance = rng.betavariate(accuracy * weight, (1 - accuracy) * weight)
    return Listed(tuple(vote(0 if rng.random() < chance else 1) for _ in range(32)))


@pytest.mark.parametrize("accuracy", [0.65, 0.75, 0.85, 0.95])
@pytest.mark.parametrize("correlation", [0.25, 0.5, 0.75])
def test_the_accuracy_of_32_votes_for_less_than_two_fifths_of_their_cost(accuracy: float, correlation: float) -> None:
    judges = [simulated(accuracy, correlation, item) for item in range(2000)]

    async def run() -> tuple[list[Verdict], list[Verdict]]:
        return [await Adaptive(judge)(PAIR) for judge in judges], [Rule()(judge.cast) for judge in judges]

    few, full = asyncio.run(run())
    right_with_few, right_with_all = (sum(verdict.winner == 0 for verdict in verdicts) for verdicts in (few, full))
    assert right_with_few / 2000 >= right_with_all / 2000 - 0.005
    assert sum(len(verdict.votes) for verdict in few) <= 0.4 * 32 * 2000


Drawn = Callable[[random.Random], Callable[[], Sequence[float]]]
"""What draws a vote's scores on one comparison, for every comparison anew."""


def a_point_for_one(rng: random.Random) -> Callable[[], Sequence[float]]:
    chance = rng.random()
    return lambda: (1, 0) if rng.random() < chance else (0, 1)


def a_point_for_one_where_most_are_contested(rng: random.Random) -> Callable[[], Sequence[float]]:
    chance = rng.betavariate(2, 2)
    return lambda: (1, 0) if rng.random() < chance else (0, 1)


def normal(responses: int, apart: float) -> Drawn:
    """Of two responses, means lie `apart` standard deviations of a single lead from one another."""

    def drawn(rng: random.Random) -> Callable[[], Sequence[float]]:
        means = [rng.gauss(0, apart) for _ in range(responses)]
        return lambda: [rng.gauss(mean, 1) for mean in means]

    return drawn


def whole_numbers_to_10(rng: random.Random) -> Callable[[], Sequence[float]]:
    means = [rng.gauss(6.5, 1.2) for _ in range(2)]

    def scores() -> Sequence[float]:
        mood = rng.gauss(0, 1)
        return [float(min(10, max(1, round(rng.gauss(mean + mood, 1.3))))) for mean in means]

    return scores


def rare_votes_that_outweigh_nine(rng: random.Random) -> Callable[[], Sequence[float]]:
    chance = rng.random() / 2
    return lambda: (1, 10) if rng.random() < chance else (7, 6)


def measured(drawn: Drawn, error: float, comparisons: int) -> tuple[float, float]:
    """The shares of verdicts that differ from those of all 32 votes, and of votes that are asked for."""
    rng = random.Random(0)
    others, asked = [], []
    for _ in range(comparisons):
        draw = drawn(rng)
        votes = [scored(*draw()) for _ in range(32)]
        count = votes_until_settled(votes, SUM, error)
        others.append(SUM(votes[:count]).winner != SUM(votes).winner)
        asked.append(count / 32)
    return fmean(others), fmean(asked)


@pytest.mark.parametrize("error", [0.03, 0.1])
@pytest.mark.parametrize(
    ("drawn", "most_asked"),
    [
        pytest.param(a_point_for_one, 0.42, id="a point for one"),
        pytest.param(a_point_for_one_where_most_are_contested, 0.5, id="a point, contested"),
        pytest.param(normal(2, 1.0), 0.42, id="normal"),
        pytest.param(normal(2, 0.5), 0.55, id="normal, contested"),
        pytest.param(normal(4, 1.0), 0.58, id="normal, four responses"),
        pytest.param(whole_numbers_to_10, 0.47, id="whole numbers to 10"),
    ],
)
def test_sums_differ_from_those_of_all_votes_no_more_often_than_accepted(
    drawn: Drawn, most_asked: float, error: float
) -> None:
    others, asked = measured(drawn, error, 400)
    assert others <= error + 3 * (error * (1 - error) / 400) ** 0.5
    assert asked <= most_asked


def test_where_rare_votes_outweigh_all_others_sums_differ_more_often_than_accepted_yet_seldom() -> None:
    others, asked = measured(rare_votes_that_outweigh_nine, 0.03, 400)
    assert others <= 0.12
    assert asked <= 0.47


@pytest.mark.parametrize(("most", "error"), [(0, 0.05), (8, 1.0), (8, -0.1)])
def test_settings_that_cannot_be_are_refused(most: int, error: float) -> None:
    with pytest.raises(ValueError, match="is"):
        Adaptive(Listed(()), most, error)


def test_the_command_line_asks_until_the_outcome_is_settled(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    pairs, out = Path(__file__).parent.parent / "examples" / "pairs.jsonl", tmp_path / "verdicts.jsonl"
    options = ["--votes", "adaptive", "--max-votes", "8", "--temperature", "1", "--max-tokens", "60"]
    arguments = ["judge", pairs, "--model", "mini", "--style", "depth", *options, "--out", out]
    CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    counts = [len(json.loads(line)["votes"]) for line in out.read_text().splitlines()]
    assert min(counts) < 16
    assert all(count % 2 == 0 for count in counts)
    with pytest.raises(FathomError, match="--votes adaptive at temperature 0"):
        CliRunner().invoke(app, [*map(str, arguments[:4]), "--votes", "adaptive"], catch_exceptions=False)
    refused = CliRunner().invoke(app, [*map(str, arguments[:4]), "--votes", "0"])
    assert refused.exit_code == 2


@pytest.mark.parametrize("error", ["-1", "1", "nan", "some"])
def test_the_command_line_refuses_a_vote_error_that_is_no_chance_below_1(error: str) -> None:
    refused = CliRunner().invoke(app, ["judge", "-", "--model", "mini", "--votes", "adaptive", "--vote-error", error])
    assert refused.exit_code == 2
    assert "--vote-error" in refused.output
