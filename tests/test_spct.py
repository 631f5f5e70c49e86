"""The SPCT judge: n responses in one prompt, n scores in one text, and the reward of its paper."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom import ScriptedEngine
from fathom.data.records import Comparison, Label
from fathom.engines import Request
from fathom.judges import Vote, find
from fathom.judges.spct import SPCTJudge
from fathom.ranking import rank
from fathom.rationale import Status
from fathom.voting.wrappers import Repeated, Shuffled


def comparison(n: int, label: Label | None = None) -> Comparison:
    return Comparison(id="c", prompt="Name a prime.", responses=tuple(f"answer {i}" for i in range(n)), label=label)


def written(*scores: object) -> str:
    return (
        "Principle 1: Correctness (70 %)\nDefinition: is it prime?\nPrinciple 2: Brevity (30 %)\n\n"
        f"Analysis: each is looked at.\n\nScores: \\boxed{{{', '.join(map(str, scores))}}}"
    )


def read(text: str, n: int, **settings: bool) -> Vote:
    return SPCTJudge(**settings).read(text, comparison(n))


@given(st.lists(st.integers(1, 10), min_size=1, max_size=8))
def test_scores_are_read_for_any_number_of_responses(scores: list[int]) -> None:
    vote = read(written(*scores), len(scores))
    best = [i for i, score in enumerate(scores) if score == max(scores)]
    assert (vote.status, vote.scores) == (Status.OK, tuple(scores))
    assert vote.winner == (best[0] if len(scores) > 1 and len(best) == 1 else None)


def test_principles_are_kept_with_their_weights() -> None:
    rationale = read(written(3, 4), 2).rationale
    assert rationale is not None
    assert [(unit.principle, unit.definition) for unit in rationale.units] == [
        ("Correctness (70 %)", "is it prime?"),
        ("Brevity (30 %)", ""),
    ]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param("I like the second.", Status.MISSING, id="no scores"),
        pytest.param(written(3), Status.INVALID, id="too few"),
        pytest.param(written(3, 4, 5), Status.INVALID, id="too many"),
        pytest.param(written(0, 4), Status.INVALID, id="below the scale"),
        pytest.param(written(3, 11), Status.INVALID, id="above the scale"),
        pytest.param(written(3, 4.5), Status.INVALID, id="no whole number"),
        pytest.param(written(3, -4), Status.INVALID, id="negative"),
        pytest.param(written("3", "x"), Status.INVALID, id="no number"),
        pytest.param(written("", ""), Status.INVALID, id="blank"),
        pytest.param(written(3, "²"), Status.INVALID, id="a digit of another kind"),
    ],
)
def test_what_is_no_list_of_scores_is_never_a_number(text: str, status: Status) -> None:
    vote = read(text, 2)
    assert (vote.status, vote.scores, vote.winner) == (status, None, None)


def test_a_text_that_was_cut_off_is_truncated() -> None:
    assert SPCTJudge().read("Principle 1: Corr", comparison(2), finished=False).status is Status.TRUNCATED


def test_scores_tried_in_the_critique_give_way_to_the_last_ones() -> None:
    assert read("Analysis: at first \\boxed{9, 1}, but no.\n" + written(2, 8), 2).scores == (2, 8)


def test_one_response_is_scored_0_or_1_where_that_is_asked() -> None:
    assert read("Scores: \\boxed{1}", 1, binary=True).scores == (1,)
    assert read("Scores: \\boxed{7}", 1, binary=True).status is Status.INVALID
    assert read("Scores: \\boxed{0}", 1).status is Status.INVALID
    assert read("Scores: \\boxed{7, 1}", 2, binary=True).scores == (7, 1)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_every_response_is_shown_once_in_its_place(n: int, trained: bool) -> None:
    text = SPCTJudge(trained=trained).ask(comparison(n))[0]["content"]
    places = [text.index(f"Response {i + 1}:\n```\nanswer {i}\n```") for i in range(n)]
    assert places == sorted(places)
    assert f"Response {n + 1}" not in text


def deserved(request: Request) -> str:
    """Scores answer i with (3 i + 2) % 10 + 1, wherever it is shown."""
    text = request.messages[0]["content"]
    shown = sorted((text.index(f"answer {i}\n"), i) for i in range(10) if f"answer {i}\n" in text)
    return written(*((3 * i + 2) % 10 + 1 for _, i in shown))


@given(st.integers(2, 9), st.integers(0, 5), st.integers(1, 5))
def test_votes_in_shuffled_orders_sum_to_what_each_response_deserves(n: int, seed: int, times: int) -> None:
    voter = Repeated(Shuffled(SPCTJudge(engine=ScriptedEngine(deserved)), seed), times)
    verdict = asyncio.run(voter(comparison(n)))
    assert verdict.scores == tuple(times * ((3 * i + 2) % 10 + 1) for i in range(n))
    assert verdict.rule.aggregate == "sum"
    ranking = asyncio.run(rank(voter, comparison(n)))
    assert ranking.scores == verdict.scores


@pytest.mark.parametrize(
    ("scores", "label", "reward"),
    [
        pytest.param((7, 3), Label(best=0), 1.0, id="the best is highest"),
        pytest.param((3, 7), Label(best=0), -1.0, id="another is highest"),
        pytest.param((7, 7), Label(best=0), -1.0, id="a tie is wrong"),
        pytest.param((7, 7, 2), Label(best=0), -1.0, id="a tie at the top of three"),
        pytest.param((9, 2, 2), Label(best=0), 1.0, id="a tie below the top is none"),
        pytest.param((2, 5, 9), Label(scores=(0.1, 0.2, 0.7)), 1.0, id="labelled by scores"),
        pytest.param((1,), Label(scores=(1.0,)), 1.0, id="one response, right"),
        pytest.param((0,), Label(scores=(1.0,)), -1.0, id="one response, wrong"),
        pytest.param((0,), Label(scores=(0.0,)), 1.0, id="one wrong response, found out"),
    ],
)
def test_the_reward_is_equation_11(scores: tuple[int, ...], label: Label, reward: float) -> None:
    judge = SPCTJudge(binary=True)
    told = comparison(len(scores), label)
    assert judge.vote_reward(judge.read(written(*scores), told), told) == reward
    assert judge.vote_reward(judge.read("nothing", told), told) == -1.0


def test_it_is_found_by_its_name() -> None:
    assert find("spct") is SPCTJudge


def test_the_label_never_reaches_the_prompt() -> None:
    asked = [
        SPCTJudge().ask(comparison(3, label))[0]["content"]
        for label in (None, Label(best=1), Label(ranking=(2, 0, 1)), Label(scores=(1.0, 2.0, 3.0)))
    ]
    assert all(one == other for one, other in itertools.pairwise(asked))
