"""Published figures come out of the recorded texts; what transcripts lack or have wrongly is no surprise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from math import isnan, nan
from pathlib import Path
from typing import Any

import pytest

from fathom.bench import judgebench as judgebench_bench
from fathom.bench import llmbar as llmbar_bench
from fathom.bench.published import (
    Figure,
    alpaca_eval,
    figures,
    fover,
    gsm8k,
    judgebench,
    llmbar,
    mr_gsm8k,
    names,
    pandalm,
    rewardmath,
    rm_r1,
    wildbench,
)
from fathom.bench.published._page import page
from fathom.bench.published._transcripts import compared, lines, official
from fathom.errors import FathomError
from fathom.judges.arena_hard import ArenaHardJudge
from fathom.judges.prometheus import PrometheusJudge
from fathom.rationale import Status

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
LEAST = {
    "AlpacaEval 2": 15,
    "Auto-J pairwise": 9 * 3,
    "FoVer on ProcessBench": 24 * 2 * 5,
    "GSM8K": 4,
    "JudgeBench": 7 * 5,
    "LLMBar": 247 * 9,
    "MR-GSM8K": 5,
    "PandaLM test set": 2 * 4,
    "RM-Bench": 2,
    "RM-R1's texts": 2,
    "RMB": 1,
    "RewardBench": 5,
    "RewardBench math-prm": 6 * 3,
    "RewardMATH": 11 * 3 + 2 * 6 * 3 + 5 * 2,
    "UniEval": (6 + 3 + 1) * 3,
    "WildBench": 4 * 2,
}
"""How many figures of each benchmark are published and can be computed again."""


def data(*parts: str) -> Path:
    folder = os.environ.get("FATHOM_DATA")
    if folder is None:
        pytest.skip("set FATHOM_DATA to the folder that holds the evaluation data")
    return Path(folder).joinpath(*parts)


@cache
def found(folder: Path) -> list[Figure]:
    return list(figures(folder))


# All of them ---------------------------------------------------------------------------------------------------------


def test_every_published_figure_comes_out() -> None:
    assert [figure for figure in found(data()) if not figure.agrees] == []


def test_no_published_figure_is_passed_over() -> None:
    published = Counter(figure.benchmark for figure in found(data()) if figure.published is not None)
    assert {benchmark: published[benchmark] for benchmark in LEAST if published[benchmark] < LEAST[benchmark]} == {}


def test_the_page_is_what_the_command_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(found(data())), (
        "write it anew: python -m fathom.bench.published --data $FATHOM_DATA --out docs/benchmarks.md"
    )


def test_a_folder_without_transcripts_gives_no_figures(tmp_path: Path) -> None:
    assert list(figures(tmp_path)) == []
    assert len(names()) >= 10


def test_the_command_writes_the_page_and_fails_where_a_figure_differs(tmp_path: Path) -> None:
    folder = tmp_path / "wildbench"
    folder.mkdir()
    (folder / "v2.0625__judge__model.jsonl").write_text(
        json.dumps({"session_id": "1", "parsed_result": {"score": "7"}, "score": "7"})
    )
    (folder / "leaderboard.jsonl").write_text(json.dumps({"model": "model", "score": 6.0}))
    out = tmp_path / "benchmarks.md"
    every = tmp_path / "figures.jsonl"
    where = ["--data", str(tmp_path), "--out", str(out), "--lines", str(every)]
    command = [sys.executable, "-m", "fathom.bench.published", *where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "WildBench, model, by judge, v2.0625, score: published 6.0, recomputed 7.0" in done.stderr
    assert "| WildBench | model, by judge, v2.0625 | score | 6.000000 | 7.000000 | +1.0000 | 1 | 1 |" in out.read_text()
    assert [(figure["name"], figure["ours"]) for figure in map(json.loads, every.open())] == [
        ("score", 7.0),
        ("adjusted_score", 4.0),
    ]


@pytest.mark.parametrize(
    ("published", "ours", "agrees"),
    [(58.44, 58.4416, True), (58.44, 58.4461, False), (nan, nan, True), (0.5, nan, False), (None, 1.0, True)],
)
def test_a_figure_agrees_within_half_a_unit_of_the_last_digit(
    published: float | None, ours: float, agrees: bool
) -> None:
    figure = Figure(
        benchmark="b", run="r", name="n", ours=ours, published=published, tolerance=0.005, rows=1, source="s"
    )
    assert figure.agrees is agrees


# Verdict by verdict --------------------------------------------------------------------------------------------------


def test_every_recorded_decision_of_arena_hards_judges_is_read() -> None:
    judge, statuses = ArenaHardJudge(as_published=True), Counter[Status]()
    for path in sorted(data("judgebench").glob("outputs_*/arena_hard__*")):
        for judgment in (judgment for pair in lines(path) for judgment in pair["judgments"]):
            vote = judge.read(judgment["judgment"]["response"], compared("1"))
            statuses[vote.status] += 1
            decided = {(Status.OK, 0): "A>B", (Status.OK, 1): "B>A", (Status.OK, None): "A=B"}
            assert decided.get((vote.status, vote.winner)) == judgment["decision"]
    assert statuses.total() >= 1120
    assert statuses[Status.CONTRADICTORY] >= 9


def test_the_score_of_judgebench_is_the_published_one_with_an_interval_around_it() -> None:
    path = next(data("judgebench", "outputs_gpt").glob("arena_hard__o1-mini*"))
    overall = judgebench_bench.BENCHMARK.score(map(judgebench.judged_row, lines(path))).figures["overall"]
    assert round(100 * overall.mean, 2) == 65.71
    assert overall.low < overall.mean < overall.high


def test_every_recorded_winner_of_llmbar_is_read() -> None:
    instances = [told for path in sorted(data("llmbar", "runs").glob("*")) for told in lines(path)]
    for told in instances:
        last = told["results"][-1]
        recorded = [{"1": 0, "2": 1, None: None}[last[shown]["winner"]] for shown in ("swap = False", "swap = True")]
        assert list(llmbar.named(llmbar.row(told))) == recorded
    assert len(instances) >= 21289


def test_the_benchmark_scores_llmbars_runs_as_its_authors_do() -> None:
    scored = 0
    for (subset, evaluator), rows in llmbar.runs(data("llmbar")):
        name, told = subset.split("/")[-1], llmbar.statistics(rows)
        if name in llmbar_bench.SUBSETS and "Rating" not in evaluator:
            ours = official(llmbar_bench.BENCHMARK, rows)
            assert 100 * ours[name] == pytest.approx(told["correct_average"])
            assert ours[f"{name} agreement"] == pytest.approx(told["equal"] / len(rows))
            scored += 1
    assert scored >= 200


def test_every_preference_of_alpaca_eval_that_is_read_is_the_recorded_one() -> None:
    read = 0
    for path in sorted(data("alpaca_eval", "annotations").glob("*/*")):
        for annotation in lines(path):
            row = alpaca_eval.reader(path.parent.name)(annotation)
            recorded = nan if annotation["preference"] is None else annotation["preference"]
            assert alpaca_eval.preference(row) == pytest.approx(recorded, abs=1e-4, nan_ok=True)
            read += row["status"] == "ok"
    assert read >= 7233 + 4002


def test_every_score_of_wildbench_is_read() -> None:
    results = [result for path in sorted(data("wildbench").glob("v*")) for result in lines(path)]
    assert len(results) > 1000
    for result in results:
        assert wildbench.row(result)["votes"][0]["scores"] == (float(result["score"]),)


def test_every_score_after_feedback_is_read_whatever_scores_the_feedback_names() -> None:
    judge, read = PrometheusJudge(), 0
    for path in sorted(data("gpt4_absolute_feedback").glob("*.jsonl*")):
        for told in lines(path):
            for feedback, score in zip(told["gpt4_feedback"], told["gpt4_score"], strict=True):
                vote = judge.read(f"Feedback: {feedback} [RESULT] {score}", compared("1", n=1))
                assert vote.scores == (float(score),)
                read += 1
    assert read >= 960


def test_gsm8ks_rule_for_answers_misses_no_more_than_one_solution() -> None:
    questions = list(lines(next(data("gsm8k").glob("*solutions*"))))
    assert len(questions) > 900
    missed = [
        (question["question"], model)
        for question in questions
        for model in gsm8k.models(question)
        if gsm8k.is_correct(question[model]["solution"], question["ground_truth"]) != question[model]["is_correct"]
    ]
    assert len(missed) <= gsm8k.KNOWN_EXCEPTIONS


def test_every_first_wrong_step_is_read() -> None:
    critiques = [told for path in sorted(data("mr_gsm8k").glob("*eval_results*")) for told in lines(path)]
    rows = [mr_gsm8k.row(told) for told in critiques]
    assert [mr_gsm8k.step(row) for row in rows] == [row["metadata"]["step"] for row in rows]
    assert len(rows) >= 525


def test_every_verdict_of_rm_r1_is_read_as_its_authors_read_it() -> None:
    transcripts = list(lines(data("rm_r1", "rmb_transcripts.jsonl")))
    assert len(transcripts) >= 8
    assert [int(rm_r1.row(told)["correct"]) for told in transcripts] == [told["results"] for told in transcripts]


# What transcripts lack -----------------------------------------------------------------------------------------------


def annotation(raw: Any, preference: float | None = 1.5, **more: Any) -> dict[str, Any]:
    return {"_index": 1, "dataset": "d", "preference": preference, "raw_completion": raw, **more}


def token(**logprobs: float) -> dict[str, Any]:
    top = [{"token": name, "logprob": logprob} for name, logprob in logprobs.items()]
    return {"logprobs": {"content": [top[0] | {"top_logprobs": top}]}, "text": top[0]["token"]}


@pytest.mark.parametrize(
    ("recorded", "preference"),
    [(1.2, 1.2), (1.8, 1.8)],  # M has 0.2 of 1, shown second or first
)
def test_alpaca_evals_order_is_the_one_that_fits_the_recorded_preference(recorded: float, preference: float) -> None:
    row = alpaca_eval.weighted(annotation(token(m=-0.223143551, M=-1.609437912), recorded))
    assert alpaca_eval.preference(row) == pytest.approx(preference)
    assert row["status"] == "ok"


@pytest.mark.parametrize("raw", [None, {}, {"logprobs": None}, token(The=-0.1)])
def test_without_log_probabilities_the_recorded_preference_counts(raw: Any) -> None:
    row = alpaca_eval.weighted(annotation(raw, 1.3))
    assert row["status"] != "ok"
    assert alpaca_eval.win_rate([row]) == pytest.approx(30)


def test_a_row_without_any_preference_is_in_no_win_rate() -> None:
    rows = [alpaca_eval.weighted(annotation(None, preference)) for preference in (2.0, None, -1, 3)]
    assert alpaca_eval.win_rate(rows) == 100


def test_a_draw_recorded_as_0_is_half_a_win() -> None:
    """As AlpacaEval 1 recorded draws, and where both outputs are the same."""
    rows = [read(annotation(None, 0)) for read in (alpaca_eval.weighted, alpaca_eval.ranked)]
    assert [alpaca_eval.preference(row) for row in rows] == [1.5, 1.5]
    assert alpaca_eval.win_rate([*rows, alpaca_eval.ranked(annotation(None, 2.0))]) == pytest.approx(100 * 2 / 3)


def test_an_annotator_that_no_judge_reads_is_named() -> None:
    with pytest.raises(FathomError, match=r"annotator chatgpt_fn; expected .*weighted_"):
        alpaca_eval.reader("chatgpt_fn")


RANKED = {"ordered_models": [{"model": "M", "rank": 1}, {"model": "m", "rank": 2}]}


@pytest.mark.parametrize(
    ("raw", "names", "preference"),
    [
        (RANKED, {"m": "output_1", "M": "output_2"}, 2),
        (RANKED, {"M": "output_1", "m": "output_2"}, 1),
        (RANKED, {"M": "output_2"}, 1.5),
        (RANKED, None, 1.5),
        (None, None, 1.5),
        ({"ordered_models": None}, {"m": "output_1", "M": "output_2"}, 1.5),
    ],
)
def test_alpaca_evals_ranks_are_told_by_the_outputs_that_the_names_stood_for(
    raw: Any, names: Any, preference: float
) -> None:
    row = alpaca_eval.ranked(annotation(raw, referenced_models=names))
    assert alpaca_eval.preference(row) == preference


def test_an_older_row_without_a_completion_column_counts_as_recorded() -> None:
    older = annotation(None, 1.25)
    del older["raw_completion"]
    assert alpaca_eval.preference(alpaca_eval.weighted(older)) == 1.25
    assert alpaca_eval.preference(alpaca_eval.ranked(older)) == 1.25


def instance(evaluator: str, result: dict[str, Any], label: int = 1) -> dict[str, Any]:
    return {"_subset": "LLMBar/Natural", "_evaluator": evaluator, "_index": 0, "label": label, "results": [result]}


def shown(straight: str, swapped: str, **more: str) -> dict[str, Any]:
    texts = {"swap = False": straight, "swap = True": swapped}
    return {name: {"completion": [text, "stop"], "winner": None, **more} for name, text in texts.items()}


@pytest.mark.parametrize(
    ("scores", "named"),
    [(("7", "3"), (0, 0)), (("3", "7"), (1, 1)), (("5", "5"), (1, 0)), (("", "5"), (0, 1)), (("7.5", "1"), (0, 1))],
)
def test_llmbars_ratings_name_the_higher_and_what_the_authors_say_of_the_rest(
    scores: tuple[str, str], named: tuple[int, int]
) -> None:
    first, second = ([score, "stop"] for score in scores)
    assert llmbar.named(llmbar.row(instance("GPT-4/Rating", {"score_1": first, "score_2": second}))) == named


@pytest.mark.parametrize(
    ("evaluator", "more", "named"),
    [
        ("GPT-4/CoT", {}, (1, 0)),
        ("GPT-4/Swap", {}, (1, 0)),
        ("GPT-4/Swap", {"prompt": "Two opinions ..."}, (0, 1)),
        ("GPT-4/Swap_CoT", {"prompt": "Two opinions ..."}, (1, 0)),
        ("PaLM2/CoT", {}, (0, 1)),
        ("GPT-4/Vanilla", {}, (0, 1)),
    ],
)
def test_llmbars_evaluators_are_read_as_their_configurations_say(
    evaluator: str, more: dict[str, str], named: tuple[int, int]
) -> None:
    text = "Output (a) is brief. Therefore, Output (b) is better."
    assert llmbar.named(llmbar.row(instance(evaluator, shown(text, text, **more)))) == named


def test_a_completion_that_is_null_names_nothing() -> None:
    nothing = {name: {"completion": None, "winner": None} for name in ("swap = False", "swap = True")}
    assert llmbar.named(llmbar.row(instance("GPT-4/Vanilla", nothing))) == (None, None)
    told = {"pair_id": "1", "source": "livecodebench", "label": "B>A", "judge_name": "arena_hard"}
    row = judgebench.judged_row(told | {"judgments": [{"judgment": None, "decision": None}] * 2})
    assert row["status"] == "failed"


def test_llmbars_statistics_count_verdicts_in_each_order() -> None:
    texts = [("Output (a)", "Output (b)"), ("Output (a)", "Output (a)"), ("Output (b)", "?")]
    labels = (1, 2, 1)
    rows = [
        llmbar.row(instance("GPT-4/Vanilla", shown(*pair), label)) for pair, label in zip(texts, labels, strict=True)
    ]
    # Named: a a, a b, b and nothing; right: yes yes, no yes, no no.
    told = llmbar.statistics(rows)
    assert (told["correct_False"], told["correct_True"], told["correct_both"], told["equal"]) == (1, 2, 1, 1)
    assert told["correct_average"] == pytest.approx(50)


def test_kappa_is_agreement_beyond_chance() -> None:
    # 3 of 4 agree; by chance 1/2 x 3/4 + 1/2 x 1/4 = 1/2 would: (0.75 - 0.5) / 0.5.
    assert llmbar.kappa([1, 1, 0, 0], [1, 1, 0, 1]) == pytest.approx(0.5)
    assert isnan(llmbar.kappa([1, 1], [1, 1]))


def test_judgebench_reads_what_reward_models_decided() -> None:
    judgments = [{"judgment": {"scores": [1.0, 2.0]}, "decision": "B>A"}, {"judgment": None, "decision": None}]
    told = {"pair_id": "1", "source": "livecodebench", "label": "B>A", "judge_name": "reward_model"}
    row = judgebench.judged_row(told | {"judgments": judgments})
    assert [(vote["status"], vote["winner"], vote["order"]) for vote in row["votes"]] == [
        ("ok", 1, (0, 1)),
        ("missing", None, (1, 0)),
    ]


@pytest.mark.parametrize(("result", "winner"), [("2", 1), (0, None), ("Tie", None), ("garbage", None)])
def test_pandalms_columns_are_read_as_the_text_they_were_cut_from(result: Any, winner: int | None) -> None:
    row = pandalm.row({"idx": 1, "x_result": result, "x_reason": "r", "x_reference": "f"}, 1)
    assert row["winner"] == winner
    assert row["status"] == ("invalid" if result == "garbage" else "ok")


@pytest.mark.parametrize(
    ("solution", "correct"),
    [
        ("so 1,000 + 1\nA: 1,001", True),
        ("A: $1001.", True),
        ("A: 1001.0", False),
        ("it is 1001", False),
        ("A: none", False),
    ],
)
def test_gsm8k_compares_final_numbers_letter_by_letter(solution: str, correct: bool) -> None:
    assert gsm8k.is_correct(solution, "1000 + 1\n#### 1001") is correct


def test_rewardmath_ranks_the_right_solution_behind_those_that_share_its_score() -> None:
    told = rewardmath.ways([{"score": [2, 1, 0]}, {"score": [2, 2, 1]}, {"score": [0, 1, 2]}])
    # Alone on top, shared, last: ranks 1, 2, 3.
    assert told == {
        "normal": {
            "accuracy": pytest.approx(100 / 3),
            "accuracy, ties right": pytest.approx(200 / 3),
            "mrr": pytest.approx((1 + 1 / 2 + 1 / 3) / 3),
        }
    }


def test_rewardmath_makes_one_score_of_the_steps_scores_in_six_ways() -> None:
    told = rewardmath.ways([{"score": [[0.9, 0.4], [0.5, 0.5]]}])
    right = {way for way, values in told.items() if values["accuracy"] == 100}
    # 0.4 < 0.5, 0.9 > 0.5, 0.36 > 0.25, 0.6 > 0.5, 0.65 > 0.5, 0.4 < 0.5
    assert right == {"max", "prod", "geometric_mean", "mean"}
    assert set(told) - right == {"min", "last"}


def test_rewardmath_counts_an_unreadable_verdict_on_a_pair_as_lost() -> None:
    problems = [
        {"score": ["A", "B"], "chosen_position": ["A", "B"]},
        {"score": ["A", None], "chosen_position": ["A", "B"]},
        {"score": ["A", "A"], "chosen_position": ["B", "B"]},
    ]
    # 0, 1 and 2 pairs lost.
    mrr = (1 + 1 / 2 + 1 / 3) / 3
    assert rewardmath.ways(problems) == {"pairwise": {"accuracy": pytest.approx(100 / 3), "mrr": pytest.approx(mrr)}}


def test_fover_calls_right_what_scores_above_the_threshold() -> None:
    rows = [fover.row(score, right) for score, right in [(0.9, True), (0.5, True), (0.5, False), (0.1, False)]]
    # Above 0.5: the first alone. Pairs of right and wrong: 0.9 wins both, 0.5 ties and wins.
    assert fover.measured(rows, 0.5) == {
        "auroc": pytest.approx(3.5 / 4),
        "accuracy": 0.75,
        "f1": pytest.approx(2 / 3),
        "precision": 1.0,
        "recall": 0.5,
    }
    assert isnan(fover.area([0.9], []))
