"""The reward says +1 for the right verdict and -1 for everything else; what is logged beside it adds up."""

from __future__ import annotations

import pickle
from collections import defaultdict
from dataclasses import dataclass, field
from math import log
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.records import Comparison, Domain, Label
from fathom.engines import Completion, TokenLogprob
from fathom.errors import FathomError
from fathom.judges import JUDGES, Judge, Vote, solving_reward, strength_reward, verdict_reward
from fathom.judges.mix import MixJudge
from fathom.judges.yes_no import YesNoJudge
from fathom.rationale import Rationale, Status, Unit, render
from fathom.train.rewards import JudgeReward

JUDGE = MixJudge(trained=True)


def comparison(best: int = 0, domain: Domain | None = None) -> Comparison:
    return Comparison(id="1", prompt="2 + 2?", responses=("4", "5"), label=Label(best=best), domain=domain)


def called(texts: list[str], items: list[Comparison], **changes: Any) -> tuple[list[float], dict[str, list[float]]]:
    """The rewards and what was logged, of a call like TRL's."""
    logged: dict[str, list[float]] = defaultdict(list)
    call = {
        "prompts": [JUDGE.ask(item) for item in items],
        "completions": [[{"role": "assistant", "content": text}] for text in texts],
        "completion_ids": [[5, 2]] * len(texts),
        "comparison": [item.model_dump_json() for item in items],
        "trainer_state": None,
        "log_metric": lambda name, value: logged[name].append(value),
    }
    reward = JudgeReward(JUDGE, max_completion_length=8, end_token_ids={2})
    return reward(**(call | changes)), logged


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        pytest.param("Final verdict: [[A]]", 1.0, id="right"),
        pytest.param("Final verdict: [[B]]", -1.0, id="wrong"),
        pytest.param("Final verdict: [[tie]]", -1.0, id="a tie"),
        pytest.param("Response A is clearly better.", -1.0, id="no verdict"),
        pytest.param("[[A]] or [[B]]", -1.0, id="a menu"),
        pytest.param("[[A]]\n\n[[B]]", -1.0, id="two verdicts"),
        pytest.param("", -1.0, id="nothing"),
    ],
)
def test_the_reward_is_plus_one_for_the_right_verdict_and_minus_one_for_all_else(text: str, reward: float) -> None:
    assert called([text], [comparison(best=0)])[0] == [reward]


@given(status=st.sampled_from(Status), winner=st.sampled_from([None, 0, 1]), best=st.sampled_from([0, 1]))
def test_only_a_readable_vote_for_the_labels_winner_is_rewarded(status: Status, winner: int | None, best: int) -> None:
    vote = Vote(status, winner=winner if status is Status.OK else None)
    assert verdict_reward(vote, Label(best=best)) == (1.0 if status is Status.OK and winner == best else -1.0)


TRAINABLE = {name for name in JUDGES.names() if issubclass(JUDGES.find(name), Judge)} - {"flip", "self_prm", "slot"}


@pytest.mark.parametrize("name", sorted(TRAINABLE))
def test_every_judge_refuses_to_reward_a_vote_without_a_label(name: str) -> None:
    judge = JUDGES.find(name)()
    unlabelled = comparison().model_copy(update={"label": None})
    with pytest.raises(FathomError, match="comparison '1' has no label"):
        judge.vote_reward(Vote(Status.OK, winner=0), unlabelled)
    with pytest.raises(FathomError, match="comparison '1' has no label"):
        judge.check_label(unlabelled)


def test_a_judge_without_an_engine_says_that_it_needs_one() -> None:
    with pytest.raises(FathomError, match="MixJudge has no engine"):
        list(MixJudge().run([comparison()]))


def test_a_label_without_a_winner_cannot_reward() -> None:
    with pytest.raises(ValueError, match="the label names no winner"):
        verdict_reward(Vote(Status.OK, winner=0), Label(scores=(1.0, 1.0)))


def test_a_rating_has_no_reward_for_a_single_response() -> None:
    single = Comparison(id="1", prompt="Why?", responses=("So.",), label=Label(scores=(1.0,)))
    with pytest.raises(FathomError, match="comparison '1': the label scores a single response"):
        JUDGES.find("prometheus")().check_label(single)


def test_every_completion_is_read_against_its_own_comparison() -> None:
    texts = ["Final verdict: [[A]]", "Final verdict: [[A]]", "Final verdict: [[B]]"]
    assert called(texts, [comparison(0), comparison(1), comparison(1)])[0] == [1.0, -1.0, 1.0]


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        called(["[[A]]", "[[A]]"], [comparison()])


@dataclass(frozen=True, kw_only=True)
class Recording(Judge):
    """Votes A, and keeps whether each text was said to be finished."""

    finished: list[bool] = field(default_factory=list)

    def ask(self, comparison: Comparison) -> Any:
        return []

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        self.finished.append(finished)
        return Vote(Status.OK, winner=0)


def test_a_completion_at_the_limit_without_an_end_token_is_read_as_cut_off() -> None:
    judge, end = Recording(), 2
    reward = JudgeReward(judge, max_completion_length=3, end_token_ids={end})
    tokens = [[7, end], [7, 7, end], [7, 7, 7]]
    reward(completions=["a", "b", "c"], completion_ids=tokens, comparison=[comparison().model_dump_json()] * 3)
    assert judge.finished == [True, True, False]


def test_it_can_be_sent_to_a_worker_process_and_has_the_name_under_which_trl_logs_it() -> None:
    reward = JudgeReward(JUDGE, max_completion_length=8, end_token_ids={2})
    assert pickle.loads(pickle.dumps(reward)) == reward
    assert reward.__name__ == "judge_reward"


def test_accuracy_invalid_votes_and_structures_are_logged_by_domain() -> None:
    breadth = render(Rationale(tuple(Unit(name, judgment="A 3 B 1") for name in "wxyz"), verdict="A"))
    depth = render(Rationale((Unit("correct", judgment="A = 4"),), trace="2 + 2 = 4", verdict="A"))
    items = [comparison(0, "preference"), comparison(1, "preference"), comparison(0, "correctness"), comparison(0)]
    rewards, logged = called([breadth, depth, depth, "I cannot say."], items)
    means = {name: fmean(values) for name, values in logged.items()}

    assert rewards == [1.0, -1.0, 1.0, -1.0]
    assert means["accuracy"] == 2 / 4
    assert means["invalid"] == 1 / 4
    # Of two preference texts one is breadth and one depth; breadth is what fits. The only correctness text is depth.
    assert means["structure/preference/breadth"] == means["structure/preference/depth"] == 1 / 2
    assert means["structure/correctness/depth"] == 1
    assert means["structure/match"] == 2 / 3
    assert means["principles/preference"] == (4 + 1) / 2
    # The trace counts with the first judgment: "2 + 2 = 4" and "A = 4" are 5 + 3 words.
    assert means["words_per_judgment/correctness"] == 8
    assert means["tokens/correctness"] == 2


@pytest.mark.parametrize(
    ("share", "label", "reward"),
    [
        pytest.param(0.8, 1.0, 1.0, id="rather Yes, and right"),
        pytest.param(0.8, 0.0, -1.0, id="rather Yes, and wrong"),
        pytest.param(0.3, 0.0, 1.0, id="rather No, and right"),
        pytest.param(0.5, 1.0, 1.0, id="as much Yes as No is Yes"),
        pytest.param(0.5, 0.0, -1.0, id="as much Yes as No is not No"),
    ],
)
def test_a_share_is_paid_by_the_word_that_it_is_a_share_of(share: float, label: float, reward: float) -> None:
    item = Comparison(id="1", prompt="2 + 2?", responses=("4",), label=Label(scores=(label,)))
    top = (("Yes", log(share)), ("No", log(1 - share)))
    said = Completion("Yes", "length", logprobs=(TokenLogprob("Yes", log(share), top),))
    vote = YesNoJudge().read_completion(said, item)
    assert vote.scores == pytest.approx((share,))
    assert YesNoJudge().vote_reward(vote, item) == reward


@pytest.mark.parametrize("scores", [(9.0, 2.0), (0.5, 0.0), (4.5, 3.0)])
def test_a_strength_that_no_verdict_can_name_is_refused(scores: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=rf"differ by {scores[0] - scores[1]:g}; expected a difference of 1, 2 or 3"):
        strength_reward(Vote(Status.OK, winner=0, scores=(3.0, 0.0)), Label(scores=scores))


@given(
    solved=st.sampled_from([None, False, True]),
    status=st.sampled_from(Status),
    weight=st.floats(0, 1, exclude_max=True),
)
def test_with_the_same_solution_a_vote_that_is_not_right_is_paid_as_a_wrong_one(
    solved: bool | None, status: Status, weight: float
) -> None:
    wrong, unreadable = Vote(Status.OK, winner=1), Vote(status)
    paid = [solving_reward(vote, Label(best=0), solved, weight) for vote in (wrong, unreadable)]
    assert paid[0] == paid[1] < solving_reward(Vote(Status.OK, winner=0), Label(best=0), False, weight)
