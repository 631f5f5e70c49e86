"""Panels: several judges, each with one voice, from Python and from finished runs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Arity, RewardModel, Rule, Verdict, Vote
from fathom.judging.panels import combine
from fathom.rationale import Status
from fathom.report.scoring import score
from fathom.results import runs
from fathom.results.rows import to_row
from fathom.voting.panel import Panel
from judged import as_json, row, swapped, vote, written


@dataclass(frozen=True)
class Says(RewardModel):
    """Casts the votes that it was made with."""

    cast: tuple[Vote, ...]
    of: Arity = "pairwise"
    at: float | None = None

    @property
    def arity(self) -> Arity:
        return self.of

    @property
    def threshold(self) -> float | None:
        return self.at

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        return list(self.cast)


def judge(*winners: int | Status | None) -> Says:
    return Says(tuple(vote(winner) for winner in winners))


def scorer(*scores: tuple[float, ...], at: float | None = None) -> Says:
    return Says(tuple(Vote(Status.OK, scores=each, order=tuple(range(len(each)))) for each in scores), "pointwise", at)


PAIR = Comparison(id="1", prompt="?", responses=("a", "b"), label=Label(best=0))
ALONE = Comparison(id="1", prompt="?", responses=("a",), label=Label(scores=(1.0,)))


def verdict(comparison: Comparison, *members: RewardModel, **rule: Any) -> Verdict:
    panel = Panel({str(number): member for number, member in enumerate(members)}, Rule(**rule))
    return asyncio.run(panel(comparison))


def test_each_judge_has_one_voice_however_many_votes_it_casts() -> None:
    found = verdict(PAIR, judge(0, 0, 0, 0, 0), judge(1), judge(1, 1))
    assert (found.winner, found.scores, found.agreement) == (1, (1.0, 2.0), 2 / 3)
    assert [each.winner for each in found.votes] == [0, 1, 1]
    assert found.usage == Usage(8 * 100, 8 * 20)


def test_judges_without_a_verdict_are_left_out_or_required() -> None:
    members = (judge(0), judge(Status.MISSING), judge(0))
    assert verdict(PAIR, *members).winner == 0
    assert verdict(PAIR, *members, invalid="require").status is Status.MISSING


def test_ties_of_judges_count_or_abstain() -> None:
    members = (judge(0), judge(None), judge(None))
    assert verdict(PAIR, *members).winner is None
    assert verdict(PAIR, *members, ties="drop").winner == 0


def test_means_are_of_shares_of_votes_and_of_scores() -> None:
    found = verdict(PAIR, judge(0, 0, 0, 1), judge(1, None), aggregate="mean")
    assert found.scores == pytest.approx(((3 / 4 + 1 / 4) / 2, (1 / 4 + 3 / 4) / 2))
    found = verdict(PAIR, scorer((4.0, 2.0)), scorer((1.0, 5.0)), aggregate="mean")
    assert (found.scores, found.winner) == ((2.5, 3.5), 1)


def test_a_single_response_is_right_where_half_of_the_judges_find_it_so_by_their_own_thresholds() -> None:
    right, wrong = scorer((7.0,), at=5), scorer((0.4,), at=0.5)
    found = verdict(ALONE, right, right, wrong)
    assert (found.scores, found.threshold) == ((2 / 3,), 0.5)
    assert to_row(ALONE, found)["correct"] is True
    assert to_row(ALONE, verdict(ALONE, wrong, right, wrong))["correct"] is False


def test_the_pattern_is_that_of_the_strictest_member() -> None:
    assert Panel({"a": scorer((1.0,)), "b": judge(0)}).arity == "pairwise"
    assert Panel({"a": scorer((1.0,)), "b": scorer((1.0,))}).arity == "pointwise"
    with pytest.raises(FathomError, match="expected 2 judges or more in a panel; got a"):
        Panel({"a": judge(0)})


# Finished runs --------------------------------------------------------------------------------------------------------


def judged(winners: list[int | Status | None], **fields: Any) -> list[dict[str, Any]]:
    return [
        row([vote(winner)], id=f"item-{number}", prompt=f"Question {number}", **fields)
        for number, winner in enumerate(winners)
    ]


def test_runs_combine_to_what_a_panel_would_have_said() -> None:
    told = [[0, 1, 1, Status.MISSING], [0, 0, 1, 1], [1, 0, Status.FAILED, 1]]
    panel = combine({str(n): judged(winners) for n, winners in enumerate(told)}, Rule())
    expected = [verdict(PAIR, *(judge(winner) for winner in winners)) for winners in zip(*told, strict=True)]
    assert [each["winner"] for each in panel.rows] == [each.winner for each in expected] == [0, 0, 1, 1]
    assert [each["agreement"] for each in panel.rows] == [each.agreement for each in expected]
    assert [each["correct"] for each in panel.rows] == [True, True, False, False]
    assert [each["judge"] for each in panel.rows[0]["votes"]] == ["0", "1", "2"]
    assert panel.rows[0]["tokens"] == {"prompt": 300, "completion": 60}


def test_rows_of_a_panel_are_scored_like_any_others(tmp_path: Path) -> None:
    panel = combine({"a": judged([0, 1]), "b": judged([0, 1]), "c": judged([1, 0])}, Rule())
    path = written(tmp_path / "panel.jsonl", [as_json(each) for each in panel.rows])
    accuracy = score(runs.open(path).rows()).verdicts["all"].accuracy
    assert accuracy is not None
    assert accuracy.mean == 0.5


def test_items_that_a_run_lacks_are_counted_and_left_out() -> None:
    panel = combine({"a": judged([0, 0, 0]), "b": judged([0, 0])}, Rule())
    assert (len(panel.rows), panel.missing) == (2, 1)


def test_responses_in_another_order_are_matched() -> None:
    straight = row([vote(0)], id="x")
    turned = row([vote(1)], id="x", responses=("5", "4"), label=1)
    [found] = combine({"a": [straight], "b": [turned], "c": [turned]}, Rule()).rows
    assert (found["winner"], found["agreement"], tuple(found["responses"])) == (0, 1.0, ("4", "5"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ([row([vote(0)], id="x", prompt="else")], "the prompt of item 'x' differs"),
        ([row([vote(0)], id="x", responses=("4", "6"))], "the responses of item 'x' differ"),
        ([row([vote(0)], id="y")], "no item in common .ids are, for example, 'x', 'y'"),
        ([row([vote(0)], id="x"), row([vote(0)], id="x")], "has the id 'x' twice"),
        ([{"id": "x", "pairs": [], "metadata": {}}], "row 'x' is a ranking"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(other: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(FathomError, match=message):
        combine({"a": [row([vote(0)], id="x")], "b": other}, Rule())


def fathom(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def test_the_verb_writes_the_panels_verdicts_and_their_figures(tmp_path: Path) -> None:
    told = {"a": [0, 0, 1], "b": [0, 1, 1], "c": [1, 0, 0]}
    paths = [written(tmp_path / f"{name}.jsonl", judged([*winners])) for name, winners in told.items()]
    out = tmp_path / "panel.jsonl"
    said = fathom("panel", *paths, "--out", out).stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [each["winner"] for each in rows] == [0, 0, 1]
    assert "3 verdicts of 3 judges; left out: 0 not in every run" in said
    assert "0.667" in said
    assert fathom("score", out).exit_code == 0
    with pytest.raises(FathomError, match="--tie-votes drop: ties='drop' requires the aggregate 'majority'"):
        fathom("panel", *paths, "--out", out, "--aggregate", "mean", "--tie-votes", "drop")
    with pytest.raises(FathomError, match=r"a\.jsonl is given twice"):
        fathom("panel", paths[0], paths[0], "--out", out)


def test_a_panel_of_votes_in_both_orders_ties_where_judges_do() -> None:
    split = row(swapped([0, 1]), id="item-0", prompt="Question 0")
    [found] = combine({"a": [split], "b": judged([0]), "c": [split]}, Rule()).rows
    assert (found["winner"], found["agreement"]) == (None, 2 / 3)
