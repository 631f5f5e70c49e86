"""Agreement with people: what annotators say of each other is the ceiling of what a judge can be asked for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.reading import read
from fathom.data.records import Comparison, Label
from fathom.judges import Rule
from fathom.metrics.agreement import cohen_kappa, fleiss_kappa
from fathom.metrics.annotators import Agreement, People
from fathom.metrics.intervals import Interval, wilson
from fathom.rationale import Status
from fathom.report.scoring import score, summary
from fathom.results import runs
from fathom.results.rows import to_row
from judged import as_json, row, swapped, vote, written

TIE = Label(scores=(0.5, 0.5))


def said(*outcomes: int | None) -> dict[str, Label]:
    """What annotators 1, 2, ... say; None is a tie."""
    return {f"annotator{n}": TIE if best is None else Label(best=best) for n, best in enumerate(outcomes, 1)}


def judged(verdict: int | Status | None, *outcomes: int | None, label: int | None = 0, id: str = "1") -> dict[str, Any]:
    return row([vote(verdict)], label=label, annotations=said(*outcomes), id=id, prompt=f"Question {id}")


def agreement(*rows: dict[str, Any]) -> Agreement:
    people = People()
    for each in rows:
        people.add(each)
    return people.agreement


def mean(interval: Interval | None) -> float:
    assert interval is not None
    return interval.mean


def test_the_ceiling_is_how_often_one_annotator_names_what_most_others_name() -> None:
    found = agreement(
        judged(0, 0, 0, 0),  # each of three is like the other two
        judged(0, 0, 0, 1),  # the third is unlike the others; to the first two, the others are divided
    )
    assert (found.cases, mean(found.ceiling)) == (4, 3 / 4)
    assert mean(found.judge) == 1.0


def test_the_judge_is_held_against_the_same_others() -> None:
    found = agreement(judged(1, 0, 0, 0), judged(Status.MISSING, 1, 1, id="2"), judged(None, None, None, id="3"))
    assert (found.cases, mean(found.ceiling)) == (7, 1.0)
    assert mean(found.judge) == 2 / 7


def test_each_annotator_and_the_label_stand_beside_the_judge() -> None:
    rows = [judged(verdict, *outcomes, label=label, id=str(n)) for n, (verdict, outcomes, label) in enumerate(TOLD)]
    found = agreement(*rows)
    assert found.label.agreement == wilson(3, 4)
    assert found.label.kappa == cohen_kappa([0, 1, 1, 0], [0, 1, 0, 0])
    assert [(name, pair.rows, mean(pair.agreement)) for name, pair in found.annotators.items()] == [
        ("annotator1", 4, 3 / 4),
        ("annotator2", 4, 1 / 4),
    ]
    assert found.fleiss == fleiss_kappa([[0, 0], [1, 0], [0, 0], [0, 1]])


TOLD: list[tuple[int, tuple[int, int], int]] = [(0, (0, 0), 0), (1, (1, 0), 1), (1, (0, 0), 0), (0, (0, 1), 0)]


def test_some_rows_may_have_fewer_annotators() -> None:
    found = agreement(judged(0, 0, 0, 0), judged(1, 1, 1, id="2"), judged(0, 0, id="3"))
    assert (found.rows, found.fleiss) == (2, None)
    assert mean(found.alpha) == 1.0
    assert found.annotators["annotator1"].rows == 3


def test_single_responses_are_right_or_wrong_or_rated() -> None:
    def alone(*scores: float, score: float, id: str) -> dict[str, Any]:
        ratings = {f"annotator{n}": {"scores": [each]} for n, each in enumerate(scores)}
        base = {"id": id, "status": "ok", "responses": ["x"], "prompt": id, "metadata": {}}
        judged = {"scores": [score], "rule": {"aggregate": "mean"}, "threshold": 0.5, "label": None}
        return {**base, **judged, "label_scores": None, "votes": [], "annotations": ratings}

    right = agreement(alone(1, 1, score=0.9, id="1"), alone(0, 0, score=0.7, id="2"), alone(0, 0, score=0.1, id="3"))
    assert mean(right.annotators["annotator0"].agreement) == pytest.approx(2 / 3)
    assert (mean(right.ceiling), mean(right.alpha)) == (1.0, 1.0)
    rated = agreement(alone(4, 5, score=0.9, id="1"), alone(1, 2, score=0.2, id="2"))
    assert (rated.fleiss, rated.cases, rated.annotators) == (None, 0, {})
    assert mean(rated.alpha) == pytest.approx(1 - 2 * 0.5 / (2 * 2.5 * 4 / 3))


def test_annotations_follow_the_order_of_the_responses() -> None:
    comparison = Comparison(id="1", prompt="?", responses=("a", "b"), annotations=said(0, None, 1))
    turned = comparison.permuted((1, 0))
    assert turned.annotations == {**said(1, None, 0), "annotator2": TIE}
    assert comparison.subset((0,)).annotations is None
    with pytest.raises(ValueError, match="got best 2"):
        Comparison(id="1", prompt="?", responses=("a", "b"), annotations=said(2))


def test_columns_of_annotators_reach_the_figures(tmp_path: Path) -> None:
    """From a file with a column for each annotator to their agreement: the votes here are those of annotator1."""
    source = written(
        tmp_path / "pairs.jsonl",
        [
            {
                "prompt": f"{n}?",
                "response1": "a",
                "response2": "b",
                "annotator1": one,
                "annotator2": two,
                "annotator3": 1,
            }
            for n, (one, two) in enumerate([(1, 1), (2, 2), (0, 1), (1, 2)])
        ],
    )
    rows = []
    for comparison in read(source):
        assert comparison.annotations is not None
        first = comparison.annotations["annotator1"].winner
        rows.append(as_json(to_row(comparison, Rule()([vote(first)]))))
    found = agreement(*rows)
    assert {name: mean(pair.agreement) for name, pair in found.annotators.items()} == {
        "annotator1": 1.0,
        "annotator2": 0.5,
        "annotator3": 0.5,
    }
    assert found.fleiss == fleiss_kappa([[0, 0, 0], [1, 1, 0], ["tie", 0, 0], [0, 1, 0]])


def test_score_shows_agreement_where_people_said_something(tmp_path: Path) -> None:
    run = written(tmp_path / "run.jsonl", [judged(v, *o, label=y, id=str(n)) for n, (v, o, y) in enumerate(TOLD)])
    shown = CliRunner().invoke(app, ["score", str(run)], env={"COLUMNS": "140"}, catch_exceptions=False).stdout
    for line in ("judge and label", "judge and annotator2", "annotators", "human ceiling", "judge, same majorities"):
        assert f"│ {line} " in shown
    figures = summary(score(runs.open(run).rows()))["agreement"]
    assert figures["annotators"]["annotator2"][0] == 4
    bare = written(tmp_path / "bare.jsonl", [row(swapped([0, 0]), label=None)])
    shown = CliRunner().invoke(app, ["score", str(bare)], env={"COLUMNS": "140"}, catch_exceptions=False).stdout
    assert "agreement with people" not in shown
    labelled = written(tmp_path / "labelled.jsonl", [row([vote(n)], label=n, id=str(n)) for n in (0, 1)])
    command = ["score", str(labelled), "--agreement"]
    shown = CliRunner().invoke(app, command, env={"COLUMNS": "140"}, catch_exceptions=False).stdout
    assert "│ judge and label │ 2    │ 1.000" in shown
    assert "annotators" not in shown


def test_the_annotators_of_pandalm_agree_as_published() -> None:
    """Wang et al. 2024 (arXiv 2306.05087) state Cohen's kappas of about 0.85 between pairs of the three annotators."""
    folder = os.environ.get("FATHOM_DATA")
    if folder is None:
        pytest.skip("FATHOM_DATA names no folder with evaluation data")
    with (Path(folder) / "pandalm" / "labels_all.jsonl").open() as lines:
        labels = [[told[f"annotator{n}"] for n in (1, 2, 3)] for told in map(json.loads, lines)]
    one, two, three = map(list, zip(*labels, strict=True))
    kappas = sorted(mean(cohen_kappa(*pair)) for pair in ((one, two), (one, three), (two, three)))
    assert kappas == pytest.approx([0.85, 0.86, 0.88], abs=0.01)
