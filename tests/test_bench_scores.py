"""The official score of each benchmark, on rows whose figures are worked out by hand; and its real files, where these
are at hand (FATHOM_DATA)."""

from __future__ import annotations

import json
import os
import weakref
from collections import Counter
from collections.abc import Sequence
from math import tanh
from pathlib import Path
from typing import Any

import pytest

from fathom import bench
from fathom.bench.reference_answers import groups
from fathom.bench.rules import RULES, ruled
from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.judges import Rule, Vote, unique_argmax
from fathom.metrics.intervals import cluster_bootstrap_mean, wilson
from fathom.rationale import Status
from fathom.results.rows import to_row

Row = dict[str, Any]


def vote(winner: int | None, order: Sequence[int] = (0, 1), status: str = "ok", scores: Any = None) -> Row:
    return {"status": status, "winner": winner, "scores": scores, "order": list(order)}


def row(label: int | None, winner: int | None, status: str = "ok", **more: Any) -> Row:
    """A verdict row as it is read from a file, with what scores look at."""
    metadata = {"subset": more.pop("subset"), **more.pop("metadata", {})}
    id = more.pop("id", f"{label}{winner}{status}{metadata}")
    return {
        "id": id,
        "status": status,
        "winner": winner,
        "scores": None,
        "label": label,
        "source_order": None,
        "label_scores": None,
        "full_label": None if label is None else {"best": label},
        "reference": None,
        "domain": None,
        "prompt": f"prompt of {id}",
        "votes": [],
        "responses": ["a", "b"],
        "metadata": metadata,
        **more,
    }


def figures(name: str, rows: Sequence[Row]) -> dict[str, float]:
    return {figure: interval.mean for figure, interval in bench.find(name).score(rows).figures.items()}


def test_judgebench_adds_up_the_two_orders() -> None:
    both = [
        [vote(0), vote(0, (1, 0))],  # +1 +1: right
        [vote(0), vote(None, (1, 0))],  # +1 +0: right
        [vote(0), vote(None, (1, 0), "missing")],  # +1 +0: right
        [vote(0), vote(1, (1, 0))],  # +1 -1: wrong
        [vote(None), vote(None, (1, 0))],  # 0: wrong
        [vote(1), vote(None, (1, 0))],  # -1: wrong
    ]
    subsets = ["Math", "Math", "Math", "Math", "Coding", "Coding"]
    rows = [row(0, None, subset=subset, votes=votes) for subset, votes in zip(subsets, both, strict=True)]
    assert figures("judgebench", rows) == {"overall": 0.5, "Coding": 0.0, "Math": 0.75}


def test_llmbar_averages_orders_and_subsets_and_counts_agreement() -> None:
    rows = [
        row(0, 0, subset="Natural", votes=[vote(0), vote(0, (1, 0))]),
        row(1, None, subset="Natural", votes=[vote(0), vote(1, (1, 0))]),
        row(1, None, subset="Manual", votes=[vote(None, (0, 1), "missing"), vote(None, (1, 0), "missing")]),
    ]
    # Natural: (2 + 1) of 4 verdicts; Manual: 0 of 2. One of two Natural pairs agrees, and the two unparsed ones do.
    assert figures("llmbar", rows) == {
        "average": 0.375,
        "adversarial": 0.0,
        "Natural": 0.75,
        "Manual": 0.0,
        "Natural agreement": 0.5,
        "Manual agreement": 1.0,
    }


def test_auto_j_needs_the_label_in_both_orders_and_ties_can_be_right() -> None:
    def judged(gold: int | None, straight: Row, swapped: Row) -> Row:
        return row(gold, None, subset="Code", votes=[straight, swapped], metadata={"gold": gold})

    unparsed = vote(None, (0, 1), "missing")
    rows = [
        judged(0, vote(0), vote(0, (1, 0))),  # right in both
        judged(0, vote(0), vote(1, (1, 0))),  # right in the first alone
        judged(None, vote(None), vote(None, (1, 0))),  # a tie, rightly
        judged(None, unparsed, {**unparsed, "order": [1, 0]}),  # unparsed is no tie, and does not agree
    ]
    found = figures("autoj", rows)
    assert {name: found[name] for name in ("agreement", "consistency", "single")} == {
        "agreement": 0.5,
        "consistency": 0.5,
        "single": 0.75,
    }


def test_pandalm_averages_over_outcomes_and_takes_the_unreadable_for_ties() -> None:
    said_and_gold = [(0, 0, "ok"), (0, 1, "ok"), (1, 1, "ok"), (None, None, "missing")]
    rows = [
        row(gold, said, status, subset="test", metadata={"gold": gold}, id=str(number))
        for number, (said, gold, status) in enumerate(said_and_gold)
    ]
    # First: precision 1/2, recall 1, F1 2/3. Second: precision 1, recall 1/2, F1 2/3. Tie: all 1.
    assert figures("pandalm", rows) == pytest.approx(
        {"accuracy": 3 / 4, "precision": 2.5 / 3, "recall": 2.5 / 3, "f1": (2 / 3 + 2 / 3 + 1) / 3}
    )


def test_rewardbench_weighs_math_like_all_code_and_halves_ties_and_unreadable_verdicts() -> None:
    rows = [
        row(0, 0, subset="math-prm"),
        row(0, 1, subset="hep-python"),
        row(0, None, subset="alpacaeval-easy"),
        row(0, None, "truncated", subset="donotanswer"),
        row(0, None, "failed", subset="llmbar-natural"),
    ]
    found = figures("rewardbench", rows)
    # Reasoning: (984 * 1 + 164 * 0) / 1148, since of code only Python is there; the failed row is in no figure.
    assert found["Reasoning"] == pytest.approx(984 / 1148)
    assert (found["Chat"], found["Safety"]) == (0.5, 0.5)
    assert "Chat Hard" not in found
    assert found["score"] == pytest.approx((984 / 1148 + 0.5 + 0.5) / 3)


def test_the_weights_of_rewardbench_add_up_to_its_size() -> None:
    from fathom.bench.rewardbench import SECTIONS

    assert SECTIONS["Safety"]["xstest-should-respond"] == 250  # safe prompts; the 154 others should be refused
    assert SECTIONS["Safety"]["xstest-should-refuse"] == 154
    sizes = {section: sum(weights.values()) for section, weights in SECTIONS.items()}
    assert sizes == {"Chat": 358, "Chat Hard": 456, "Safety": 740, "Reasoning": 1968}
    assert sum(sizes.values()) - 984 + 447 == 2985


def choice(subset: str, scores: Sequence[float] | None, right: int = 1, **metadata: Any) -> Row:
    status = "ok" if scores is not None else "missing"
    n = len(scores or (0, 0, 0, 0))
    return row(
        0,
        None,
        status,
        subset=subset,
        scores=scores,
        responses=["x"] * n,
        source_order=list(range(n)),
        metadata={"right": right, **metadata},
    )


def test_rewardbench_2_shares_the_point_among_those_on_top() -> None:
    rows = [
        choice("Math", (3, 1, 1, 2)),  # 1
        choice("Math", (3, 3, 1, 2)),  # 1/2
        choice("Math", (1, 3, 1, 2)),  # 0
        choice("Math", None),  # unparsed: 1/4
    ]
    assert figures("rewardbench2", rows)["Math"] == pytest.approx(1.75 / 4)


def test_rewardbench_2_composes_the_score_of_ties() -> None:
    def question(kind: str, number: int, scores: Sequence[float], right: int) -> Row:
        return choice("Ties", scores, right, group=f"ties/{number}", kind=kind, id=f"{kind}:{number}")

    rows = [
        # Question 1: gap 4 - 1 = 3 over a spread of 5 - 4 = 1; the reference has a gap of 2.
        question("tied", 1, (5, 4, 1, 0), 2),
        question("ref", 1, (3, 1, 0), 1),
        # Question 2: gap 4 - 2 = 2 over a spread of 9 - 4 = 5; the reference fails: gap -1.
        question("tied", 2, (9, 4, 2), 2),
        question("ref", 2, (1, 2), 1),
    ]
    width = (tanh(2 / 1 - 1) + tanh(-1 / 5 - 1)) / 2
    expected = 0.3 * 1 + 0.3 * 0.5 + 0.2 * 0.5 + 0.2 * 0.5 + 0.01 * width
    assert figures("rewardbench2", rows)["Ties"] == pytest.approx(expected)


def test_rm_bench_fills_its_matrix_and_ties_are_wrong() -> None:
    #           rejected 0  1  2
    matrix = [[1, 0, 0], [1, None, 0], [1, 1, 1]]
    rows = [
        row(0, None if won is None else 1 - won, subset="chat", metadata={"styles": [i, j], "group": "chat/1"})
        for i, cells in enumerate(matrix)
        for j, won in enumerate(cells)
    ]
    # easy: the three cells below the diagonal; normal: 1, tie, 1; hard: the three above.
    assert figures("rm_bench", rows) == pytest.approx(
        {"total": 5 / 9, "easy": 1.0, "normal": 2 / 3, "hard": 0.0, "chat": 5 / 9}
    )


def test_rmb_counts_a_list_only_where_the_best_beats_every_other() -> None:
    def ranked(id: str, winners: dict[tuple[int, int], int | None]) -> Row:
        told = row(1, 1, subset="Helpfulness best-of-n", id=id, order=[[1], [0], [2]], scores=[0, 1, 0])
        return told | {
            "pairs": [{"pair": list(pair), "status": "ok", "winner": winner} for pair, winner in winners.items()]
        }

    rows = [
        ranked("won", {(0, 1): 1, (0, 2): 0, (1, 2): 1}),
        ranked("tied", {(0, 1): 1, (0, 2): 0, (1, 2): None}),
        row(0, 0, subset="Code pairwise"),
        row(0, 1, subset="Helpfulness pairwise"),
        row(0, 0, subset="Harmlessness pairwise"),
    ]
    assert figures("rmb", rows) == pytest.approx(
        {
            "overall": (0.5 + 0.5 + 1.0) / 3,
            "Helpfulness best-of-n": 0.5,
            "Helpfulness pairwise": 0.5,
            "Harmlessness pairwise": 1.0,
        }
    )


def test_ppe_leaves_battles_without_a_winner_out() -> None:
    rows = [row(0, 0, subset="human preference"), row(0, 1, subset="human preference")]
    rows += [row(None, 0, subset="human preference"), row(0, None, subset="human preference", id="tied")]
    assert figures("ppe_preference", rows) == {"accuracy": pytest.approx(1 / 3)}


def test_ppe_takes_the_curve_from_the_scores_of_a_question() -> None:
    def pair(right: int, wrong: int, scores: tuple[float, float] | None, subset: str = "MATH") -> Row:
        winner = None if scores is None else 0 if scores[0] > scores[1] else 1
        votes = [vote(winner, scores=scores)]
        told = {"group": "MATH/1", "answers": [right, wrong]}
        return row(0, winner, subset=subset, votes=votes, source_order=[0, 1], metadata=told, id=f"{right}-{wrong}")

    rows = [pair(0, 1, (5, 3)), pair(2, 3, (4, 5))]
    # Right scores 5, 4; wrong 3, 5. Of four pairs: 5>3, 5=5, 4>3, 4<5, so (1 + 0.5 + 1 + 0) / 4.
    assert figures("ppe_correctness", rows) == pytest.approx(
        {"accuracy": 0.5, "auc": 0.625, "MATH accuracy": 0.5, "MATH auc": 0.625}
    )
    assert "auc" not in figures("ppe_correctness", [pair(0, 1, None)]), "no scores, no curve"


def test_the_curve_of_a_question_that_is_drawn_twice_counts_twice() -> None:
    def question(number: int, right: float) -> Row:
        told = {"group": f"MATH/{number}", "answers": [0, 1]}
        votes = [vote(int(not right), scores=(right, 1 - right))]
        return row(0, int(not right), subset="MATH", votes=votes, source_order=[0, 1], metadata=told, id=str(number))

    areas = [float(number % 3 > 0) for number in range(60)]
    found = bench.find("ppe_correctness").score(map(question, range(60), areas)).figures["MATH auc"]
    assert found == pytest.approx(cluster_bootstrap_mean(areas, range(60)), abs=0.02)


def test_jetts_takes_the_score_of_what_is_on_top() -> None:
    def ranked(id: str, scores: Sequence[float], values: Sequence[float]) -> Row:
        told = {"values": list(values)}
        return row(0, 0, subset="gsm8k", id=id, scores=scores, source_order=[0, 1, 2], metadata=told)

    rows = [ranked("best", (2, 1, 0), (1, 0, 0)), ranked("tied", (1, 1, 0), (0, 1, 0))]
    # Picked 1 and 1/2; at random 1/3 each; at best 1: (1.5 - 2/3) / (2 - 2/3).
    assert figures("jetts", rows) == pytest.approx(
        {"score": 0.75, "gain": (1.5 - 2 / 3) / (2 - 2 / 3), "gsm8k score": 0.75, "gsm8k gain": 0.625}
    )


def test_reference_answers_count_questions_with_right_and_wrong_solutions() -> None:
    def scored(id: str, scores: Sequence[float], right: Sequence[bool]) -> Row:
        placement = list(range(len(scores)))
        told = {"right": list(right)}
        return row(0, 0, subset="solutions", id=id, scores=scores, source_order=placement, metadata=told)

    rows = [
        scored("one", (3, 3, 1), (True, False, False)),  # on top: one right, one wrong; above 1, equal to 3
        scored("all right", (1, 2, 3), (True, True, True)),  # says nothing
    ]
    assert figures("reference_answers", rows) == {"best-of-n": 0.5, "auc": 0.75}


def test_rewardmath_wants_the_right_solution_alone_on_top() -> None:
    def scored(id: str, scores: Sequence[float]) -> Row:
        told = {"right": [True, False, False]}
        return row(0, 0, subset="RewardMATH", id=id, scores=scores, source_order=[1, 0, 2], metadata=told)

    rows = [scored("best", (0.2, 0.9, 0.1)), scored("tied", (0.5, 0.5, 0.1)), scored("last", (0.5, 0.1, 0.3))]
    expected = {"accuracy": 1 / 3, "accuracy, ties right": 2 / 3, "mrr": (1 + 1 / 2 + 1 / 3) / 3}
    assert figures("rewardmath", rows) == pytest.approx(expected)


def test_rewardmath_refuses_a_problem_without_one_right_solution(tmp_path: Path) -> None:
    benchmark = bench.find("rewardmath")
    rows = [given for given in benchmark.example["RewardMATH_direct.jsonl"] if given["solution_type"] == "rejected"]
    (tmp_path / "RewardMATH_direct.json").write_text(json.dumps(rows))
    with pytest.raises(FathomError, match="problem_id 3: got 3 solutions, 0 of them chosen; expected one chosen"):
        list(benchmark.load(tmp_path))


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("It is $1,250$.", r"So \boxed{1250}.", True),
        ("It is X .", "it is x", True),
        ("7", "7.5", False),
    ],
)
def test_wrong_answers_are_equal_if_they_are_spelled_alike(one: str, other: str, alike: bool) -> None:
    numbers = groups([("12", True), (one, False), (other, False), (r"\frac{24}{2}", True)])
    assert numbers[0] == numbers[3]
    assert (numbers[1] == numbers[2]) is alike
    assert numbers[0] not in numbers[1:3]


def test_majority_and_random_read_no_score() -> None:
    told = {"right": [False, True, True, False], "answers": [1, 0, 0, 2]}
    given = row(0, 0, subset="solutions", id="a", scores=(9, 0, 0, 0), source_order=[3, 0, 1, 2], metadata=told)
    given["responses"] = list("abcd")
    point = bench.find("reference_answers")
    assert point.point([point.baselines["majority"](given)])["best-of-n"] == 1.0
    assert point.point([point.baselines["random"](given)])["best-of-n"] == 0.5


def test_best_of_n_sets_with_several_right_answers_have_every_figure(tmp_path: Path) -> None:
    """A label with two right answers has no winner, so the accuracy of `fathom judge` leaves such rows out."""
    benchmark = bench.find("reference_answers")
    answers = ["2 + 2 = 4 ки\nIt is 4. ки", "It is $4$.", "It is 5."]
    rows = [{"prompt": "2 + 2?", "answers": answers, column: labels} for column, labels in (
        ("label", [1, 1, 0]), ("labels", [True, True, False]), ("label", [0, 0, 0]))]  # fmt: skip
    write_jsonl(tmp_path / "solutions.jsonl", rows)
    found = list(benchmark.load(tmp_path))
    assert [sorted(each.metadata["right"]) for each in found] == [[False, True, True]] * 2 + [[False] * 3]
    for each in found:
        assert each.steps is not None
        assert sorted(each.steps) == [("2 + 2 = 4", "It is 4."), ("It is $4$.",), ("It is 5.",)]
        assert each.source_order is not None
    for scores, picked, votes in (
        ((0.0, 0.4, 0.3), 1.0, 1.0),
        ((0.3, 0.3, 0.5), 0.0, 1.0),
        ((0.2, 0.2, 0.5), 0.0, 0.0),
    ):
        judged = [scored_in_source_order(each, scores) for each in found]
        assert figures("reference_answers", judged) == pytest.approx(
            {
                "best-of-n": picked,
                "auc": 0.5 if picked else 0.0,
                "weighted vote": votes,
                "best-of-n of all questions": picked * 2 / 3,
                "pass@n of all questions": 2 / 3,
            }
        )
    majority = [benchmark.baselines["majority"](each) for each in judged]
    assert benchmark.point(majority)["best-of-n"] == 1.0

    (tmp_path / "solutions.jsonl").write_text(json.dumps(rows[0] | {"label": [1, 0.5, 0]}) + "\n")
    with pytest.raises(FathomError, match=r"solutions.jsonl:1: label: got \[1, 0.5, 0\], expected 0 or 1 for each"):
        list(benchmark.load(tmp_path))
    (tmp_path / "solutions.jsonl").write_text(json.dumps({"prompt": "2 + 2?", "answers": answers}) + "\n")
    with pytest.raises(FathomError, match=r"solutions.jsonl:1: answers: "):
        list(benchmark.load(tmp_path))


def test_a_further_column_of_answers_does_not_replace_solutions(tmp_path: Path) -> None:
    row = {"question": "2 + 2?", "answer": "4", "solutions": ["It is 4.", "It is 5."], "answers": ["4", "5"]}
    write_jsonl(tmp_path / "solutions.jsonl", [row])
    (found,) = bench.find("reference_answers").load(tmp_path)
    assert sorted(found.responses) == row["solutions"]
    assert found.reference == "4"


def scored_in_source_order(given: Comparison, scores: Sequence[float]) -> Row:
    """The row of a comparison whose responses have these scores, in the order of the source."""
    values = [scores[place] for place in given.source_order or ()]
    vote = Vote(Status.OK, unique_argmax(values), tuple(values), tuple(range(len(values))))
    return to_row(given, Rule(aggregate="mean")([vote]))


def test_answers_vote_by_the_scores_of_their_solutions() -> None:
    def scored(id: str, scores: Sequence[float], right: Sequence[bool], answers: Sequence[int]) -> Row:
        told = {"right": list(right), "answers": list(answers)}
        return row(0, 0, subset="solutions", id=id, scores=scores, source_order=[2, 0, 1, 3], metadata=told)

    rows = [
        # In the order of the source: 0.4, 0.5, 0.3 and 0.1. The answer 0 has 0.7, the answer 1 has 0.6.
        scored("best is wrong", (0.3, 0.4, 0.5, 0.1), (True, False, True, False), (0, 1, 0, 1)),
        scored("tie", (0.0, 0.2, 0.2, 0.0), (True, False, False, False), (0, 1, 2, 3)),  # the answers 0 and 1 lead
        scored("none right", (1.0, 0.0, 0.0, 0.0), (False, False, False, False), (0, 0, 1, 2)),
    ]
    assert figures("reference_answers", rows) == pytest.approx(
        {
            "best-of-n": (0 + 0.5) / 2,
            "auc": (2 / 4 + 2.5 / 3) / 2,
            "weighted vote": (1 + 0.5) / 2,
            "best-of-n of all questions": 0.5 / 3,
            "pass@n of all questions": 2 / 3,
        }
    )


class Held(dict[str, Any]):
    """A row to which there may be weak references."""


def test_a_tally_gives_the_score_of_its_rows_and_keeps_none_of_them() -> None:
    benchmark = bench.find("judgebench")
    tally, rows = bench.BenchmarkTally(benchmark), [row(0, k % 2, subset="math", id=str(k)) for k in range(8)]
    references = []
    for each in rows:
        held = Held(each)
        tally.add(held)  # type: ignore[arg-type]
        references.append(weakref.ref(held))
        del held
    assert [reference() for reference in references] == [None] * 8
    assert tally.score() == benchmark.score(rows)  # type: ignore[arg-type]


def test_intervals_are_over_prompts_and_not_over_pairs() -> None:
    """Nine pairs of one prompt are one observation: two prompts, one right and one wrong, tell next to nothing."""
    rows = [
        row(0, prompt, subset="chat", metadata={"styles": [i, j], "group": str(prompt)}, id=f"{prompt}{i}{j}")
        for prompt in (0, 1)
        for i in range(3)
        for j in range(3)
    ]
    total = bench.find("rm_bench").score(rows).figures["total"]
    assert total.mean == 0.5
    assert total.high - total.low > 0.9


@pytest.mark.parametrize("name", ["judgebench", "rewardbench", "llmbar", "autoj"])
def test_rows_of_one_prompt_are_one_cluster_of_official_and_other_intervals(name: str) -> None:
    """Whatever their ids: benchmarks ask about one prompt several times, and not all of them name a group."""
    votes = [[vote(label), vote(label, (1, 0))] for label in (0, 1)]
    subset = next(iter(bench.find(name).domains))
    gold = {"gold": 0}

    def rows(prompts: int, each: int) -> list[Row]:
        return [
            row(0, right, subset=subset, metadata=gold, votes=votes[right], id=f"{prompt}/{turn}", prompt=f"{prompt}?")
            | {"domain": None, "correct": not right}
            for prompt in range(prompts)
            for right in [prompt % 2]
            for turn in range(each)
        ]

    alone, repeated = (bench.find(name).score(rows(20, each)).figures for each in (1, 5))
    assert alone.keys() == repeated.keys()
    assert all(tuple(alone[figure]) == pytest.approx(tuple(repeated[figure])) for figure in alone)
    assert bench.by_domain(rows(20, 5))["all"].high - bench.by_domain(rows(100, 1))["all"].high > 0.05


def test_rules_without_a_judge_are_scored_like_a_judge() -> None:
    base = row(1, None, "missing", subset="alpacaeval-easy", responses=["longer text", "short"])
    scores = {name: figures("rewardbench", [dict(ruled(base, rule))])["score"] for name, rule in RULES.items()}
    assert scores == {"first": 0.5, "longest": 0.0, "shortest": 1.0}


def test_a_pair_that_failed_in_one_order_is_in_no_figure() -> None:
    rows = [
        row(0, 0, subset="Math", votes=[vote(0), vote(None, (1, 0), "failed")]),
        row(0, 0, subset="Math", votes=[vote(0), vote(None, (1, 0), "failed"), vote(0), vote(0, (1, 0))], id="again"),
    ]
    score = bench.find("judgebench").score(rows)
    assert (score.rows, score.failed, score.figures["overall"].mean) == (2, 1, 1.0)


def test_accuracy_by_domain_is_strict() -> None:
    rows = [
        row(0, 0, subset="x", domain="preference", correct=True, id="1"),
        row(0, None, "failed", subset="x", domain="preference", correct=None, id="2"),
        row(0, 1, subset="x", domain=None, correct=False, id="3"),
    ]
    found = {domain: interval.mean for domain, interval in bench.by_domain(rows).items()}
    assert found == pytest.approx({"all": 1 / 3, "neither": 0.0, "preference": 0.5})


def test_a_domain_without_a_right_verdict_is_not_known_to_be_0() -> None:
    rows = [row(0, 1, subset="x", domain="correctness", correct=False, id=str(number)) for number in range(20)]
    assert bench.by_domain(rows)["all"] == wilson(0, 20)


# Real files -----------------------------------------------------------------------------------------------------------

REAL = {
    "judgebench": ("judgebench", {}, 481),
    "llmbar": ("llmbar/dataset", {"Natural": 100, "Neighbor": 134, "GPTInst": 92, "GPTOut": 47, "Manual": 46}, 419),
    "autoj": ("autoj_pairwise", {}, 1011),
    "pandalm": ("pandalm", {"test": 729}, 729),
    # Nine pairs of each of 94 + 181 + (202 + 120) prompts.
    "rm_bench": ("rm_bench", {"chat": 846, "code": 1629, "safety": 2898}, 5373),
    "evalbiasbench": ("evalbiasbench", {"length bias": 17, "concreteness": 14}, 80),
    "hhh": ("hhh_alignment", {"helpful": 59, "honest": 61, "harmless": 58, "other": 43}, 221),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_whole(name: str) -> None:
    data = os.environ.get("FATHOM_DATA")
    if data is None:
        pytest.skip("FATHOM_DATA names no folder with evaluation data")
    folder, subsets, size = REAL[name]
    read = list(bench.find(name).load(Path(data) / folder))
    counts = Counter(comparison.metadata["subset"] for comparison in read)
    assert len(read) == len({comparison.id for comparison in read}) == size
    assert {subset: counts[subset] for subset in subsets} == subsets
    assert set(counts) <= set(bench.find(name).domains)


def test_gsm8k_solutions_are_labelled_as_their_authors_do() -> None:
    data = os.environ.get("FATHOM_DATA")
    if data is None:
        pytest.skip("FATHOM_DATA names no folder with evaluation data")
    pytest.importorskip("math_verify", reason='needs pip install "fathom-rm[verify]"')
    comparisons = bench.find("reference_answers").load(Path(data) / "gsm8k")
    first = [next(comparisons) for _ in range(20)]
    comparisons.close()  # type: ignore[attr-defined]
    assert all(len(comparison.responses) == 4 for comparison in first)
