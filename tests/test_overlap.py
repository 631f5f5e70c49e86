"""Overlap of rows with training files: by runs of 13 words, whatever the layout, and metrics without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom import Comparison, Label
from fathom.cli import app
from fathom.data.reading import write_jsonl
from fathom.judges import Rule, Vote
from fathom.metrics.overlap import WORDS, runs, shared, texts_of
from fathom.rationale import Status
from fathom.results.rows import to_row
from judged import as_json, written

LONG = "Anna buys two boxes of four red apples each and then eats a single one of the apples. How many has she?"
words = st.lists(st.sampled_from(["a", "b"]), min_size=WORDS, max_size=20)


@pytest.mark.parametrize(
    ("training", "overlaps"),
    [
        (LONG, True),
        (LONG.upper().replace(".", " !"), True),
        (f"Here is a problem: {LONG} Step 1: she has eight.", True),
        (" ".join(LONG.split()[:13]), True),
        (" ".join(LONG.split()[:12]), False),
        ("Ben has three boxes.", False),
        ("", False),
    ],
)
def test_a_problem_overlaps_with_a_text_of_thirteen_of_its_words_in_a_row(training: str, overlaps: bool) -> None:
    assert shared([LONG, "1 + 1?"], [training]) == ({LONG} if overlaps else set())


def test_a_short_problem_overlaps_with_the_same_words_only() -> None:
    assert shared(["2 + 2?", "3 + 3?"], ["2, 2", f"3 + 3? {LONG}"]) == {"2 + 2?"}


@given(words, words)
def test_two_long_texts_overlap_if_they_have_a_run_in_common(one: list[str], other: list[str]) -> None:
    first, second = " ".join(one), " ".join(other)
    common = any(" ".join(one[start : start + WORDS]) in second for start in range(len(one) - WORDS + 1))
    assert shared([first], [second]) == ({first} if common else set())
    assert bool(runs([first]) & runs([second])) == common


def test_every_text_of_a_row_is_found() -> None:
    row = {"question": {"problem": "p"}, "steps": ["a", {"text": "b"}], "label": 1, "none": None}
    assert list(texts_of(row)) == ["p", "a", "b"]


def judged(number: int, prompt: str, right: bool) -> dict[str, Any]:
    solution = Comparison(id=str(number), prompt=prompt, responses=("8",), label=Label(scores=(1.0,)))
    vote = Vote(Status.OK, order=(0,), scores=(float(right),))
    return as_json(to_row(solution, Rule(aggregate="mean")([vote], threshold=0.5)))


@pytest.mark.parametrize(
    "training",
    [
        {"prompt": LONG, "completions": ["8"], "labels": [True]},
        {"question": {"problem": f"{LONG}"}, "label": {"steps": []}},
        {"messages": [{"role": "user", "content": LONG}, {"role": "assistant", "content": "8"}]},
    ],
    ids=["stepwise", "PRM800K", "messages"],
)
def test_metrics_are_also_computed_without_rows_seen_in_training(training: dict[str, Any], tmp_path: Path) -> None:
    rows = [judged(0, LONG, right=True), judged(1, "1 + 1?", right=False), judged(2, "2 + 2?", right=False)]
    path = written(tmp_path / "v.jsonl", rows)
    write_jsonl(tmp_path / "train.jsonl", [{"prompt": "9 + 9?"} | training])
    arguments = ["score", str(path), "--training", str(tmp_path / "train.jsonl"), "--json", str(tmp_path / "f.json")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert f"{path}: 1 of 3 rows overlap with the training files" in done.stderr
    figures = json.loads((tmp_path / "f.json").read_text())
    accuracies = {
        name.removeprefix(str(path)): each["verdicts"]["all"]["accuracy"][0] for name, each in figures.items()
    }
    assert accuracies == {"": pytest.approx(1 / 3), ", 1 rows left out": 0.0}


def test_rows_that_all_overlap_leave_nothing_to_measure(tmp_path: Path) -> None:
    path = written(tmp_path / "v.jsonl", [judged(0, LONG, right=True)])
    write_jsonl(tmp_path / "train.jsonl", [{"text": LONG}])
    arguments = ["score", str(path), "--training", str(tmp_path / "train.jsonl"), "--json", str(tmp_path / "f.json")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "1 of 1 rows overlap" in done.stderr
    assert list(json.loads((tmp_path / "f.json").read_text())) == [str(path)]
