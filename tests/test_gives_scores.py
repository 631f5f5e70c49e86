"""A judge of several responses says whether its votes hold scores, and so they do."""

from __future__ import annotations

from typing import Any

import pytest

from fathom.data.records import Comparison
from fathom.judges import find
from fathom.rationale import Status

PAIR = Comparison(id="1", prompt="2 + 2?", responses=("4", "5"))


@pytest.mark.parametrize(
    ("name", "settings", "text", "expected"),
    [
        ("mix", {}, "Final verdict: [[A]]", False),
        ("s2j", {}, "Final verdict: [[A]]", False),
        ("rm_r1", {}, "<answer>[[A]]</answer>", False),
        ("rewardbench", {}, "[[A]]", False),
        ("llmbar", {}, "Output (a)", False),
        ("autoj", {}, "My final decision is Response 1", False),
        ("pandalm", {}, "1", False),
        (
            "alpaca_eval_cot",
            {},
            '{"ordered_models": [{"model": "m", "rank": 1}, {"model": "M", "rank": 2}]}',
            False,
        ),
        ("think_rm", {"labels": "binary"}, "<answer>A</answer>", False),
        ("think_rm", {"labels": "strength"}, "<answer>-2</answer>", True),
        ("arena_hard", {}, "My final verdict is: [[A>>B]]", True),
        ("spct", {}, r"Scores: \boxed{8, 2}", True),
    ],
)
def test_votes_hold_scores_where_their_judge_says_so(
    name: str, settings: dict[str, Any], text: str, expected: bool
) -> None:
    judge = find(name)(**settings)
    vote = judge.read(text, PAIR)
    assert (vote.status, vote.winner) == (Status.OK, 0)
    assert judge.gives_scores is (vote.scores is not None) is expected
