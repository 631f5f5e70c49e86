"""Two judges on the same items, and the principles that decide: known differences are found, and nothing is made up."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.records import Comparison, Label
from fathom.errors import FathomError
from fathom.judges import Rule, Vote
from fathom.metrics.comparing import compare, compare_all, mcnemar
from fathom.metrics.principles import principles
from fathom.metrics.significance import holm
from fathom.rationale import Rationale, Status, SubVerdict, Unit
from fathom.results.rows import to_row
from judged import as_json, row, vote

RIGHT, WRONG = 0, 1


def run(winners: Sequence[int | Status | None], **fields: Any) -> list[dict[str, Any]]:
    """A vote an item; the label is 0 everywhere."""
    return [
        row([vote(winner)], **{"id": f"item-{n}", "prompt": f"Task {n}", **fields}) for n, winner in enumerate(winners)
    ]


# Two runs -------------------------------------------------------------------------------------------------------------


def test_the_difference_is_that_of_the_items_both_runs_have() -> None:
    a = run([RIGHT, RIGHT, WRONG, WRONG, WRONG])
    b = run([RIGHT, WRONG, RIGHT, RIGHT, None, RIGHT])
    found = compare(a, b)
    assert (found.only_a, found.only_b, found.unlabelled, found.other_prompts) == (0, 1, 0, 0)
    assert (found.all.rows, found.all.right_to_wrong, found.all.wrong_to_right) == (5, 1, 2)
    assert found.all.difference is not None
    assert found.all.difference.mean == pytest.approx(1 / 5)
    assert [(each.id, each.change) for each in found.changed] == [
        ("item-1", "right to wrong"),
        ("item-2", "wrong to right"),
        ("item-3", "wrong to right"),
    ]


@given(
    st.lists(
        st.tuples(*[st.sampled_from([RIGHT, WRONG, None, Status.MISSING])] * 2),
        min_size=2,
        max_size=25,
    )
)
def test_to_exchange_the_runs_turns_the_difference_round(winners: list[tuple[Any, Any]]) -> None:
    a, b = (run(side) for side in zip(*winners, strict=True))
    there, back = compare(a, b).all, compare(b, a).all
    assert there.difference is not None
    assert back.difference is not None
    assert there.difference.mean == -back.difference.mean
    assert there.difference.low <= there.difference.mean <= there.difference.high
    assert there.p == back.p
    assert (there.right_to_wrong, there.wrong_to_right) == (back.wrong_to_right, back.right_to_wrong)
    assert {each.id for each in compare(a, b).changed} == {each.id for each in compare(b, a).changed}


@pytest.mark.parametrize(
    ("before", "after", "low", "high"), [(RIGHT, RIGHT, -0.161, 0.161), (WRONG, RIGHT, 0.678, 1.0)]
)
def test_items_that_all_do_the_same_leave_the_doubt_that_as_many_others_leave(
    before: int, after: int, low: float, high: float
) -> None:
    found = compare(run([before] * 20), run([after] * 20)).all.difference
    # Wilson's bound for 0 of 20 is 0.161: as many may do anything else.
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_unreadable_verdicts_and_ties_are_wrong_on_both_sides() -> None:
    found = compare(run([Status.TRUNCATED, None]), run([RIGHT, WRONG]))
    assert (found.all.wrong_to_right, found.all.right_to_wrong) == (1, 0)


def test_many_items_of_one_prompt_make_the_difference_no_surer() -> None:
    draw = random.Random(0)
    verdicts = [(draw.randrange(2), draw.randrange(2)) for _ in range(30)]
    alone = compare(run([a for a, _ in verdicts]), run([b for _, b in verdicts])).all.difference
    repeated = [
        [
            row([vote(each[side])], id=f"{n}-{m}", prompt=f"Task {n}")
            for n, each in enumerate(verdicts)
            for m in range(8)
        ]
        for side in range(2)
    ]
    eightfold = compare(*repeated).all.difference
    assert alone is not None
    assert eightfold is not None
    assert eightfold.high - eightfold.low > 0.95 * (alone.high - alone.low)


def test_groups_are_domains_subsets_and_principles_of_either_run_with_enough_items() -> None:
    def of(winner: int, principle: str) -> list[dict[str, Any]]:
        fields = [
            {"domain": ("preference", "correctness")[n % 2], "metadata": {"subset": f"part {n % 4}"}} for n in range(40)
        ]
        return [
            row([vote(winner, principle=principle if n < 20 else "Rare" if n < 30 else principle)],
                id=str(n), prompt=f"Task {n}", **each)
            for n, each in enumerate(fields)
        ]  # fmt: skip

    found = compare(of(WRONG, "Accuracy"), of(RIGHT, "Clarity"))
    assert {name: group.rows for name, group in found.domains.items()} == {"correctness": 20, "preference": 20}
    assert {name: group.rows for name, group in found.subsets.items()} == {f"part {n}": 10 for n in range(4)}
    assert {name: group.rows for name, group in found.principles.items()} == {"accuracy": 30, "clarity": 30}
    json.dumps(asdict(found))


def test_items_without_a_label_are_counted_and_left_out_and_other_prompts_are_noticed() -> None:
    a = [row([vote(0)], id=str(n), prompt=f"Task {n}", label=None if n == 2 else 0) for n in range(3)]
    b = [row([vote(0)], id=str(n), prompt="Another task" if n == 1 else f"Task {n}") for n in range(3)]
    found = compare(a, b)
    assert (found.unlabelled, found.other_prompts, found.all.rows) == (1, 1, 2)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(FathomError, match="the second run has the id 'item-0' twice"):
        compare(run([0]), run([0]) * 2)
    with pytest.raises(FathomError, match="of 1 and 1 items 0 are in both runs"):
        compare(run([0]), [row([vote(0)], id="other")])
    with pytest.raises(FathomError, match="1 are in both runs, and none of these has a label in both"):
        compare(run([0]), [row([vote(0)], id="item-0", label=None)])


def test_of_several_runs_every_pair_is_compared_on_the_items_that_both_have() -> None:
    runs = {
        "base": run([WRONG] * 12),
        "better": run([RIGHT] * 12),
        "best": run([RIGHT] * 9),
        "same": run([WRONG] * 12),
    }
    found = compare_all(runs)
    assert [(pair.a, pair.b, pair.all.rows) for pair in found] == [
        ("base", "better", 12),
        ("base", "best", 9),
        ("base", "same", 12),
        ("better", "best", 9),
        ("better", "same", 12),
        ("best", "same", 9),
    ]
    assert [pair.p_holm for pair in found] == holm([pair.all.p for pair in found])
    assert found[0].all == compare(runs["base"], runs["better"]).all
    with pytest.raises(FathomError, match="a and b: nothing to compare: of 1 and 1 items 0 are in both runs"):
        compare_all({"a": run([0]), "b": [row([vote(0)], id="other")]})


def test_holms_correction_is_that_of_the_steps_worked_by_hand() -> None:
    # 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04, which may not be below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_stays_between_p_and_bonferronis(values: list[float]) -> None:
    corrected = holm(values)
    assert all(p <= q <= min(1.0, len(values) * p) + 1e-12 for p, q in zip(values, corrected, strict=True))
    order = sorted(range(len(values)), key=values.__getitem__)
    assert [corrected[place] for place in order] == sorted(corrected)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_agrees_with_the_exact_binomial_test(lost: int, won: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(lost, lost + won, 0.5).pvalue if lost + won else 1.0
    assert mcnemar(lost, won) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_takes_any_number_of_changes() -> None:
    assert mcnemar(5000, 5000) == 1.0
    assert 0 < mcnemar(4800, 5200) < 1e-4
    assert mcnemar(0, 5000) == 0.0, "smaller than any floating point number"


def judgebench(file: str) -> list[dict[str, Any]]:
    """Stored verdicts of a judge on JudgeBench in both orders, ties taken as abstentions."""
    if "FATHOM_DATA" not in os.environ:
        pytest.skip("FATHOM_DATA names no folder with evaluation data")
    path = Path(os.environ["FATHOM_DATA"]) / "judgebench" / "outputs_gpt" / file
    letters = {"A>B": 0, "B>A": 1}
    rows = []
    for line in gzip.decompress(path.read_bytes()).splitlines():
        stored = json.loads(line)
        shown = zip(stored["judgments"], ((0, 1), (1, 0)), strict=True)
        votes = [
            Vote(Status.MISSING, order=order)
            if judgment["decision"] is None
            else Vote(Status.OK, winner=letters.get(judgment["decision"]), order=(0, 1)).unpermuted(order)
            for judgment, order in shown
        ]
        comparison = Comparison(
            id=stored["pair_id"],
            prompt=stored["pair_id"],
            responses=("one", "other"),
            label=Label(best=letters[stored["label"]]),
        )
        rows.append(as_json(to_row(comparison, Rule(ties="drop")(votes))))
    return rows


def test_two_published_judges_differ_as_their_published_scores_do() -> None:
    a = judgebench("arena_hard__o1-mini-2024-09-12.jsonl.gz")
    b = judgebench("reward_model__Skywork_Skywork-Reward-Llama-3.1-8B.jsonl.gz")
    found = compare(a, b).all
    assert found.a is not None
    assert found.b is not None
    assert found.difference is not None
    # Tan et al. 2024 (arXiv 2410.12784), tables 2 and 3, in percent of 350 pairs.
    assert (round(100 * found.a.mean, 2), round(100 * found.b.mean, 2)) == (65.71, 62.29)
    assert found.difference.mean == pytest.approx((found.wrong_to_right - found.right_to_wrong) / 350)
    assert found.difference.low < 0 < found.difference.high
    assert found.p > 0.05, "350 pairs do not tell the two apart"


# Principles -----------------------------------------------------------------------------------------------------------


def says(winner: int | None, sides: dict[str, SubVerdict | None], order: Sequence[int] = (0, 1)) -> Vote:
    units = tuple(Unit(name, "A definition.", "A judgment.", side) for name, side in sides.items())
    return Vote(Status.OK, winner=winner, order=tuple(order), rationale=Rationale(units, "", None))


def test_letters_are_those_of_the_order_that_was_shown() -> None:
    votes = [says(0, {"Accuracy": "A"}), says(0, {"Accuracy": "B"}, order=(1, 0))]
    [found] = principles([row(votes, label=0)])
    assert (found.name, found.rows, found.votes, found.sided) == ("accuracy", 1, 2, 2)
    assert found.follows is not None
    assert found.right is not None
    assert (found.follows.mean, found.right.mean) == (1.0, 1.0)


def test_a_principle_that_decides_flips_with_the_verdict_and_one_that_does_not_stays() -> None:
    votes = [says(0, {"Accuracy": "A", "Length": "B"}), says(1, {"Accuracy": "B", "Length": "B"})]
    rows = [row(votes, id=str(n), prompt=f"Task {n}", label=n % 2) for n in range(40)]
    found = {each.name: each for each in principles(rows)}
    decides, stays = found["accuracy"], found["length"]
    assert decides.flips is not None
    assert stays.flips is not None
    assert (decides.flips.mean, stays.flips.mean) == (1.0, 0.0)
    assert stays.follows is not None
    assert stays.follows.mean == 0.5, "half of the votes are for its side, though it decides nothing"
    assert stays.right is not None
    assert stays.right.mean == 0.5


def test_mixed_units_ties_and_unreadable_votes_have_no_part_where_they_name_nobody() -> None:
    votes = [
        says(0, {"Accuracy": "MIXED", "Detail": None}),
        says(None, {"Accuracy": "A"}),
        vote(Status.MISSING),
    ]
    found = {each.name: each for each in principles([row(votes, label=0)])}
    assert (found["accuracy"].votes, found["accuracy"].sided) == (2, 1)
    assert found["accuracy"].follows is None
    assert found["accuracy"].right is not None
    assert found["accuracy"].verdict_right is not None
    assert (found["accuracy"].right.mean, found["accuracy"].verdict_right.mean) == (1.0, 0.0)
    assert (found["detail"].sided, found["detail"].right) == (0, None)


def test_a_principle_named_twice_counts_once_and_has_a_side_only_where_both_agree() -> None:
    twice = says(0, {"Accuracy": "A", "ACCURACY": "B"})
    [found] = principles([row([twice])])
    assert (found.votes, found.sided) == (1, 0)


def test_principles_come_commonest_first_and_are_plain_json() -> None:
    rows = [row([vote(0, principle="Clarity")], id="1")] + [
        row([vote(0, principle="Accuracy")], id=str(n)) for n in range(2)
    ]
    found = principles(rows)
    assert [(each.name, each.rows) for each in found] == [("accuracy", 2), ("clarity", 1)]
    assert json.loads(json.dumps([asdict(each) for each in found]))[0]["follows"][0] == 1.0
