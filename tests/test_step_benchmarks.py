"""Benchmarks of steps: official scores by hand, thresholds, length, and baselines that read no step."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from itertools import product
from math import exp, inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom import Comparison, Label, Rule, Status, Vote, bench
from fathom.bench.mr_gsm8k import mr_score
from fathom.cli import app
from fathom.data.steps import first_error
from fathom.errors import FathomError
from fathom.metrics.step_calibration import StepCalibration
from fathom.metrics.steps import StepTally, Thresholds, has_steps, right_thresholds
from fathom.results.rows import to_row

Row = Any
OF_STEPS = [name for name in bench.names() if bench.find(name).scores_steps]


def row_of(comparison: Comparison, *votes: Sequence[float | None] | None) -> Row:
    """The row of a reward model that casts these votes; None is a vote that cannot be read."""
    cast = [
        Vote(Status.MISSING, order=(0,))
        if scores is None
        else Vote(Status.OK, step_scores=(tuple(scores),), order=(0,))
        for scores in votes
    ]
    return json.loads(json.dumps(to_row(comparison, Rule(aggregate="mean")(cast, threshold=0.5))))


def labels_of(comparison: Comparison) -> tuple[float | None, ...]:
    assert comparison.label is not None
    assert comparison.label.steps is not None
    return comparison.label.steps[0]


def example(name: str, folder: Path) -> list[Comparison]:
    benchmark = bench.find(name)
    for file, rows in benchmark.example.items():
        (folder / file).write_text("\n".join(map(json.dumps, rows)) if file.endswith("l") else json.dumps(rows))
    return list(benchmark.load(folder))


@pytest.mark.parametrize("name", OF_STEPS)
def test_a_perfect_judge_scores_one_and_an_unreadable_one_is_counted(name: str, tmp_path: Path) -> None:
    benchmark, comparisons = bench.find(name), example(name, tmp_path)
    score = benchmark.score(row_of(each, labels_of(each)) for each in comparisons)
    assert score.figures
    assert all(interval.mean == 1 for interval in score.figures.values())
    assert (score.rows, score.failed, score.unparsed, score.absent) == (len(comparisons), 0, {}, ())
    unread = benchmark.score(row_of(each, None) for each in comparisons)
    assert unread.unparsed == {"missing": len(comparisons)}
    assert all(interval.mean < 1 for interval in unread.figures.values())


@pytest.mark.parametrize("name", OF_STEPS)
def test_comparisons_have_stable_ids_steps_and_no_label_in_their_metadata(name: str, tmp_path: Path) -> None:
    comparisons = example(name, tmp_path)
    assert len({each.id for each in comparisons}) == len(comparisons)
    assert all(each.id.startswith(f"{name}/") and each.steps for each in comparisons)
    assert {each.metadata["subset"] for each in comparisons} == set(bench.find(name).domains)


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("processbench", {"id": "1", "problem": "p", "steps": ["a"], "label": 1}, "got 1, expected -1 or the index of"),
        (
            "prmbench",
            {
                "modified_question": "p",
                "modified_process": ["a"],
                "error_steps": [0],
                "classification": "c",
                "idx": "1",
            },
            r"got \[0\], expected numbers counted from 1",
        ),
    ],
)
def test_an_index_counted_from_the_wrong_number_is_refused(
    name: str, row: dict[str, Any], message: str, tmp_path: Path
) -> None:
    for file in bench.find(name).example:
        (tmp_path / file).write_text(json.dumps([row] if file.endswith("json") else row))
    with pytest.raises(FathomError, match=f":1: .*{message}"):
        list(bench.find(name).load(tmp_path))


def solution(id: int, first: int | None, count: int = 3, *, subset: str = "math", lengths: Sequence[int] = ()) -> Any:
    labels = [1.0] * count if first is None else [1.0] * first + [0.0] + [None] * (count - first - 1)
    steps = tuple("x" * (lengths[place] if lengths else 5) for place in range(count))
    metadata = {"benchmark": "processbench", "subset": subset, "final_answer_correct": first is None, "group": id}
    return Comparison(
        id=str(id), prompt=f"{id}?", responses=("\n\n".join(steps),), steps=(steps,),
        label=Label(steps=(tuple(labels),)), metadata=metadata,
    )  # fmt: skip


def test_processbench_is_the_harmonic_mean_of_both_kinds_of_solutions() -> None:
    rows = [
        row_of(solution(1, 1), (0.9, 0.2, 0.9)),  # found
        row_of(solution(2, 1), (0.4, 0.2, 0.9)),  # an earlier step
        row_of(solution(3, None), (0.9, 0.9, 0.5)),  # none: 0.5 is not below the threshold
        row_of(solution(4, None), (0.9, 0.9, 0.9), (0.9, 0.9, 0.9), (0.1, 0.9, 0.9)),  # two of three votes
        row_of(solution(5, None), None),  # unreadable
    ]
    figures = bench.find("processbench").point(rows)
    # Erroneous: 1 of 2. Correct: 2 of 3. F1 = 2 * 1/2 * 2/3 / (1/2 + 2/3) = 4/7
    assert figures == pytest.approx({"average": 4 / 7, "math": 4 / 7, "math, erroneous": 1 / 2, "math, correct": 2 / 3})
    assert bench.find("processbench").point(rows[1:2] + rows[4:])["average"] == 0  # not NaN


def test_prmbench_pools_the_steps_of_all_solutions(tmp_path: Path) -> None:
    circular, confidence = example("prmbench", tmp_path)[:2]
    assert labels_of(circular) == labels_of(confidence) == (1, 0, 0)
    rows = [row_of(circular, (0.9, 0.1, 0.9)), row_of(confidence, (0.1, 0.9, 0.2))]
    figures = bench.find("prmbench").point(rows)
    # Right steps: one kept, one refused. Wrong steps: two refused, two kept.
    # F1 of right steps: 2 * 1 / (2 * 1 + 1 + 2) = 2/5. F1 of wrong steps: 2 * 2 / (2 * 2 + 1 + 2) = 4/7
    assert figures["F1 of right steps"] == pytest.approx(2 / 5)
    assert figures["F1 of wrong steps"] == pytest.approx(4 / 7)
    assert figures["PRMScore"] == pytest.approx((2 / 5 + 4 / 7) / 2)
    assert figures["first error"] == 1 / 2
    # circular: right steps 2 / (2 + 0 + 1), wrong steps 2 / (2 + 0 + 1)
    assert figures["circular"] == pytest.approx(2 / 3)


def test_baselines_score_what_they_know(tmp_path: Path) -> None:
    benchmark = bench.find("processbench")
    rows = [row_of(each, labels_of(each)) for each in example("processbench", tmp_path)]
    outcome = benchmark.point(map(benchmark.baselines["outcome"], rows))
    assert outcome["average"] == 1  # in the example, the last step is the wrong one
    longest = benchmark.point(map(benchmark.baselines["longest"], rows))
    assert longest["gsm8k, correct"] == 0
    many = [row_of(solution(i, i % 3 if i % 2 else None), (1, 1, 1)) for i in range(600)]
    random_ = benchmark.point(map(benchmark.baselines["random"], many))
    # A solution without a wrong step is called right with probability 1/2^3. The first wrong step is at 0, 1 or 2 and
    # is named with probability 1/2, 1/4 or 1/8. Standard errors of 300 rows are at most 0.029.
    assert random_["math, correct"] == pytest.approx(1 / 8, abs=0.1)
    assert random_["math, erroneous"] == pytest.approx(7 / 24, abs=0.1)


# Thresholds and lengths ----------------------------------------------------------------------------------------------


scores = st.lists(st.floats(0, 1) | st.none(), min_size=1, max_size=5)


@given(scores, st.none() | st.integers(0, 5), st.floats(0, 1))
def test_the_thresholds_of_a_solution_are_those_at_which_it_is_judged_rightly(
    steps: list[float | None], true: int | None, threshold: float
) -> None:
    assert (threshold in right_thresholds(steps, true)) == (first_error(steps, threshold) == true)


def test_thresholds_have_the_ends_that_the_scores_give_them() -> None:
    assert right_thresholds((0.9, 0.3, 0.1), 1) == Thresholds(0.3, 0.9)
    assert right_thresholds((0.9, None, 0.4), None) == Thresholds(-inf, 0.4)
    assert 0.5 not in right_thresholds((0.9,), 3)


def test_a_threshold_is_tuned_on_one_subset_and_reported_on_the_others() -> None:
    tally = StepTally()
    for number, subset in enumerate(("gsm8k", "math")):
        tally.add(row_of(solution(10 + number, 1, subset=subset), (0.3, 0.1, 0.3)))
        tally.add(row_of(solution(20 + number, None, subset=subset), (0.4, 0.3, 0.35)))
    assert tally.tunable == ["gsm8k", "math"]
    assert (tally.f1(0.5), tally.best_threshold("gsm8k")) == (0.0, 0.3)
    assert tally.tuned_on("gsm8k") == {"average": 1.0, "math": 1.0}


def test_scores_that_follow_the_length_are_no_better_than_chance_among_steps_of_equal_length() -> None:
    """Wrong steps are longer here. A score of the length separates them, but not within a decile of lengths."""
    draw, by_length, by_truth = random.Random(0), StepTally(), StepTally()
    for number in range(400):
        first = draw.choice([None, 0])
        lengths = [draw.randint(60, 100) if first == 0 else draw.randint(40, 80), 70, 70]
        found = solution(number, first, lengths=lengths)
        by_length.add(row_of(found, [1 / length for length in lengths]))
        by_truth.add(row_of(found, [0.1 if first == 0 else 0.9, 0.9, 0.9]))
    assert by_length.auc == pytest.approx(by_length.auc_of_shortness)
    assert (by_length.auc or 0) > 0.7
    assert by_length.auc_within_length == pytest.approx(0.5, abs=0.15)
    assert (by_truth.auc, by_truth.auc_within_length) == (1.0, 1.0)
    assert by_truth.calibrated.raw.ece == pytest.approx(0.1)


def overconfident(solutions: int, temperature: float) -> StepTally:
    """Steps that are right with the probability p that sigmoid(log-odds / temperature) of the score gives."""
    draw, tally = random.Random(1), StepTally()
    for number in range(solutions):
        odds = [draw.gauss(1.0, 2.0) for _ in range(4)]
        right = [draw.random() < 1 / (1 + exp(-each / temperature)) for each in odds]
        found = solution(number, None, 4).model_copy(update={"label": Label(steps=(tuple(map(float, right)),))})
        tally.add(row_of(found, [1 / (1 + exp(-each)) for each in odds]))
    return tally


@pytest.mark.parametrize("temperature", [2.5, 0.5])
def test_a_temperature_that_was_planted_is_found_and_calibrates_held_out_problems(temperature: float) -> None:
    found = overconfident(1500, temperature).calibrated
    assert found.temperature == pytest.approx(temperature, rel=0.15)
    assert found.tempered is not None
    assert found.tempered.count == found.raw.count == 6000
    # The ECE of a calibrated model on 6,000 steps in ten bins is about 0.01.
    assert (found.tempered.ece or 1) < 0.02 < 0.06 < (found.raw.ece or 0)


def test_no_half_is_calibrated_by_its_own_temperature() -> None:
    """The halves need different temperatures, so that of the other half makes each worse."""
    draw, found = random.Random(2), StepCalibration()
    for number in range(4000):
        odds, temperature = draw.gauss(0.5, 2.0), (4.0, 0.4)[number % 2]
        right = draw.random() < 1 / (1 + exp(-odds / temperature))
        found.add(1 / (1 + exp(-odds)), right=right, problem=number)
    assert found.tempered is not None
    assert (found.tempered.ece or 0) > (found.raw.ece or 1) > 0.05


def test_steps_of_one_problem_are_in_one_half() -> None:
    tally = StepTally()
    for number in range(40):
        tally.add(row_of(solution(number, None), (0.6, 0.7, 0.8)))
    counts = [len(half) for half in tally.calibrated.scores]
    assert sum(counts) == 120
    assert all(count % 3 == 0 and count for count in counts)


def test_verdicts_of_zero_and_one_have_no_temperature() -> None:
    tally = StepTally()
    for number in range(20):
        tally.add(row_of(solution(number, number % 3 or None), (1.0, float(number % 2), 1.0)))
    assert (tally.calibrated.temperature, tally.calibrated.tempered) == (None, None)


def test_scores_are_profiled_by_their_distance_from_the_first_wrong_step() -> None:
    tally = StepTally()
    for number in range(4):
        tally.add(row_of(solution(number, 2, 4), (0.9, 0.8, 0.1 + number / 10, 0.5)))
        tally.add(row_of(solution(10 + number, None, 4), (0.3, 0.3, 0.3, 0.3)))  # has no wrong step
    means = {place: share.interval.mean for place, share in sorted(tally.profile.items()) if share.interval}
    assert means == pytest.approx({-2: 0.9, -1: 0.8, 0: 0.25, 1: 0.5})


def test_the_baselines_of_a_tally_are_those_of_the_benchmark() -> None:
    rows = [row_of(solution(number, number % 4 or None, 4), (0.9, 0.8, 0.7, 0.6)) for number in range(40)]
    tally = StepTally()
    for row in rows:
        tally.add(row)
    benchmark = bench.find("processbench")
    official = {name: benchmark.point(map(rule, rows))["average"] for name, rule in benchmark.baselines.items()}
    assert set(official) == {"random", "longest", "outcome"}
    assert tally.f1_of_baselines == pytest.approx(official)
    other = StepTally()
    other.add(row_of(solution(1, 1).model_copy(update={"metadata": {}}), (0.1, 0.2, 0.3)))
    assert set(other.by_rule) == {"random", "longest"}


def test_rows_without_step_scores_or_step_labels_are_in_no_tally() -> None:
    assert has_steps(row_of(solution(1, 1), (0.1, 0.2, 0.3)))
    assert has_steps(row_of(solution(1, 1), None))
    assert not has_steps(row_of(solution(1, 1).model_copy(update={"label": None}), (0.1, 0.2, 0.3)))
    assert not has_steps(to_row(solution(1, 1), Rule(aggregate="mean")([Vote(Status.OK, scores=(1.0,), order=(0,))])))


def test_fathom_score_shows_the_metrics_of_steps_by_the_model_that_wrote_them(tmp_path: Path) -> None:
    rows = []
    for number, (subset, first) in enumerate(product(("gsm8k", "math"), (None, 1))):
        found = solution(number, first, subset=subset)
        found = found.model_copy(update={"metadata": found.metadata | {"generator": f"model-{number % 2}"}})
        rows.append(row_of(found, (0.9, 0.9, 0.9) if first is None else (0.9, 0.7, 0.9)))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    arguments = ["score", str(tmp_path / "rows.jsonl"), "--json", str(tmp_path / "f.json")]
    shown = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"}, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "AUC within lengths" in shown.output
    steps = json.loads((tmp_path / "f.json").read_text())[str(tmp_path / "rows.jsonl")]["steps"]
    assert list(steps) == ["all", "model-0", "model-1"]
    # At 0.5 no step is wrong, so F1 is 0. Thresholds above 0.7 and up to 0.9 find every error.
    assert (steps["all"]["f1"], steps["all"]["f1_tuned_on_gsm8k"], steps["all"]["auc"]) == (0.0, 1.0, 1.0)


def test_the_mistake_of_a_chain_of_thought_must_be_named_exactly(tmp_path: Path) -> None:
    right, wrong = example("big_bench_mistake", tmp_path)[:2]
    rows = [row_of(right, (1, 1)), row_of(right, (1, 0)), row_of(wrong, (1, 0)), row_of(wrong, (0, 1))]
    assert bench.find("big_bench_mistake").point(rows) == {"average": 0.5, "dyck_languages": 0.5}


def test_the_parts_of_the_mr_score_are_those_of_its_authors(tmp_path: Path) -> None:
    right, wrong = example("mr_gsm8k", tmp_path)[:2]
    rows = [row_of(right, (1, 1)), row_of(right, (1, 1)), row_of(right, None)]
    rows += [row_of(wrong, (1, 0)), row_of(wrong, (0, 1)), row_of(wrong, (1, 1))]
    # Of three right solutions two are called right; of three wrong ones two are called wrong, one at the right step.
    # MCC = (2 * 2 - 1 * 1) / sqrt(3 * 3 * 3 * 3) = 1/3
    parts = {"MR-Score without reasons": (0.2 / 3 + 0.3 / 3) / 0.5, "MCC": 1 / 3, "first wrong step": 1 / 3}
    assert bench.find("mr_gsm8k").point(rows) == pytest.approx(parts)
    assert bench.find("mr_gsm8k").point([*rows[:1], row_of(wrong, (1, 1))])["MCC"] == 0
    assert bench.find("mr_gsm8k").point(rows[3:]) == pytest.approx({"first wrong step": 1 / 3})


@pytest.mark.parametrize(
    ("mcc", "step", "reason", "published"),
    [(63.3, 48.8, 46.3, 50.5), (67.2, 51.7, 48.1, 53.0), (42.0, 19.1, 13.5, 20.9), (14.6, 3.9, 1.8, 5.0)],
)
def test_published_mr_scores_follow_from_their_parts(mcc: float, step: float, reason: float, published: float) -> None:
    """GPT-4-Turbo without and with three examples, Qwen1.5-72B-Chat and MAmmoTH-70B, from the authors' README."""
    assert mr_score(mcc, step, reason) == pytest.approx(published, abs=0.1)  # all four are rounded to 0.1


# Published data ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif("FATHOM_DATA" not in os.environ, reason="FATHOM_DATA is not set")
@pytest.mark.parametrize(
    "name", sorted({*OF_STEPS} - {"socratic_prmbench", "mr_gsm8k"})
)  # FATHOM_DATA does not have all files
def test_the_published_files_are_read_and_have_the_official_labels(name: str) -> None:
    benchmark = bench.find(name)
    rows = []
    for number, found in enumerate(benchmark.load(Path(os.environ["FATHOM_DATA"]) / name)):
        if number % 5 == 0:
            rows.append(row_of(found, labels_of(found)))
    score = benchmark.score(rows)
    assert score.rows > 200
    assert score.absent == ()
    assert next(iter(score.figures.values())).mean == 1
    baselines = {
        each: next(iter(benchmark.point(map(rule, rows)).values())) for each, rule in benchmark.baselines.items()
    }
    assert baselines
    assert max(baselines.values()) < 0.8


@pytest.mark.skipif("FATHOM_DATA" not in os.environ, reason="FATHOM_DATA is not set")
def test_the_wrong_solutions_of_the_graded_critiques_of_mr_gsm8k_are_read() -> None:
    benchmark = bench.find("mr_gsm8k")
    solutions = list(benchmark.load(Path(os.environ["FATHOM_DATA"]) / "mr_gsm8k"))
    assert len({each.id for each in solutions}) == len(solutions) > 300
    score = benchmark.score(row_of(each, labels_of(each)) for each in solutions)
    assert score.absent == ()
    assert {name: figure.mean for name, figure in score.figures.items()} == {"first wrong step": 1}
