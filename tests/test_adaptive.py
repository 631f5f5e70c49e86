"""Adaptive votes: the verdict of many at the cost of few, and of all where few do not tell."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom.cli import app
from fathom.errors import FathomError
from fathom.judges import Voter
from fathom.rationale import Status
from fathom.records import Comparison
from fathom.scaling.adaptive import Adaptive, chance_of_another, overtakes, settled_after
from fathom.scaling.votes import Counted, Repeated
from fathom.verdict import Aggregate, Rule, Verdict, Vote

PAIR = Comparison(id="pair", prompt="p", responses=("a", "b"))


def vote(outcome: int | str | None) -> Vote:
    if outcome == "unreadable":
        return Vote(Status.MISSING, order=(0, 1))
    return Vote(Status.OK, winner=outcome, order=(0, 1))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Listed(Voter):
    """Casts the votes of a list, one a sample."""

    cast: tuple[Vote, ...]

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        return [self.cast[sample]]


def judged(voter: Voter, comparison: Comparison = PAIR) -> Verdict:
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
    assert len(few.votes) == settled_after(all_of_them.votes, Rule(), error)


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
    assert overtakes(leads, follows, left) == pytest.approx(caught, abs=1e-9)


@pytest.mark.parametrize("aggregate", ["sum", "mean", "probability"])
def test_scores_settle_as_votes_do(aggregate: Aggregate) -> None:
    def scored(*values: float) -> Vote:
        told = {"probabilities" if aggregate == "probability" else "scores": values}
        return Vote(Status.OK, winner=values.index(max(values)), order=(0, 1), **told)  # type: ignore[arg-type]

    clear = [scored(0.9, 0.1 + noise / 100) for noise in range(8)]
    close = [scored(0.5 + (-1) ** n * 0.4, 0.5) for n in range(8)]
    rule = Rule(aggregate=aggregate)
    assert chance_of_another(clear, rule, 24) < 0.01
    assert chance_of_another(close, rule, 24) > 0.3
    assert chance_of_another(clear[:1], rule, 24) == 1.0


def test_what_must_be_readable_is_settled_by_the_first_unreadable_vote() -> None:
    voter = Counted(Listed(tuple(map(vote, [0, "unreadable", 0, 0]))), Rule(invalid="require"))
    verdict = judged(Adaptive(voter, 4, 0.05))
    assert (verdict.status, len(verdict.votes)) == (Status.MISSING, 2)


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
