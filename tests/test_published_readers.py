"""Judges whose verdicts have a published form: the published rule to the letter, what it misses too, and prompts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.records import Comparison
from fathom.engines import Completion, Sampling, TokenLogprob
from fathom.errors import FathomError
from fathom.judges import Judge, Rule, Vote, find, reduce_steps
from fathom.judges.alpaca_eval import AlpacaEvalJudge
from fathom.judges.arena_hard import ArenaHardJudge
from fathom.rationale import Status

OK, MISSING, TRUNCATED = Status.OK, Status.MISSING, Status.TRUNCATED
CONTRADICTORY, INVALID = Status.CONTRADICTORY, Status.INVALID


def comparison(judge: Judge) -> Comparison:
    n = 1 if judge.arity == "pointwise" else 2
    return Comparison(id="c", prompt="Name a prime.", responses=("seven", "nine")[:n])


def read(name: str, text: str, *, finished: bool = True, **settings: Any) -> Vote:
    judge = find(name)(**settings)
    vote = judge.read(text, comparison(judge), finished=finished)
    return vote if vote.step_scores is None else replace(vote, scores=reduce_steps(vote.step_scores, "min"))


PAIRS = [
    ("arena_hard", "B errs. [[A>>B]]", OK, 0, (2.0, 0.0)),
    ("arena_hard", "[[B>A]] as I said: [[B>A]]", OK, 1, (0.0, 1.0)),
    ("arena_hard", "[[A=B]]", OK, None, (0.0, 0.0)),
    ("arena_hard", "[[A>>B]], or rather [[A>B]]", CONTRADICTORY, None, None),
    ("arena_hard", "[[A<B]]", INVALID, None, None),
    ("arena_hard", "[[ A>B ]]", MISSING, None, None),
    ("rewardbench", "Both err, A less: [[A]]", OK, 0, None),
    ("rewardbench", "[[B]] then [[A]]", OK, 0, None),
    ("rewardbench", "[[C]]", OK, None, None),
    ("rewardbench", "[A]", MISSING, None, None),
    ("llmbar", "Output (b)", OK, 1, None),
    ("llmbar", "I think\n Output (a)", OK, 0, None),
    ("llmbar", "Output (b), not\nOutput (a)", OK, 0, None),
    ("llmbar", "It is Output (b)", MISSING, None, None),
    ("alpaca_eval", " M ", OK, 1, None),
    ("alpaca_eval", "m", OK, 0, None),
    ("alpaca_eval", "model_m", INVALID, None, None),
    ("rm_r1", "<eval>...</eval>\n<answer>[[B]]</answer>\n</answer>", OK, 1, None),
    ("rm_r1", f"<answer>[[A]]</answer>{'.' * 59}", MISSING, None, None),
    ("rm_r1", f"<answer>[[A]]</answer>{'.' * 58}", OK, 0, None),
    ("rm_r1", f"<answer>[[A]]</answer>{'.' * 70}<answer>[[B]]</answer>", OK, 1, None),
    ("rm_r1", "<answer>[[A]]</answer> <answer>[[B]]</answer>", CONTRADICTORY, None, None),
    ("rm_r1", "[[A]]", MISSING, None, None),
    ("pandalm", "2\n\n### Reason: shorter.", OK, 1, None),
    ("pandalm", "\n TIE", OK, None, None),
    ("pandalm", "1.\n", INVALID, None, None),
    ("pandalm", "  \n", MISSING, None, None),
    ("autoj", "Both. So, the final decision is Response 1.", OK, 0, None),
    ("autoj", "the final decision is Tie? No: the final decision is  RESPONSE 2", OK, 1, None),
    ("autoj", "So, the final decision is tied.", OK, None, None),
    ("autoj", "the final decision is neither", INVALID, None, None),
    ("autoj", "I decide for Response 1", MISSING, None, None),
]
ALONE = [
    ("llmbar_rating", " 7\n", OK, 7.0),
    ("llmbar_rating", "7.5", INVALID, None),
    ("llmbar_rating", "", MISSING, None),
    ("wildbench", '{"strengths": "", "weaknesses": "", "score": "7"}', OK, 7.0),
    ("wildbench", '{"score": 6.5}', OK, 6.5),
    ("wildbench", '{"score": "7/10"}', INVALID, None),
    ("wildbench", '{"score": "inf"}', INVALID, None),
    ("wildbench", '{"score": true}', INVALID, None),
    ("wildbench", '{"strengths": ""}', INVALID, None),
    ("wildbench", "Score: 7", INVALID, None),
    ("prometheus", "Feedback: brief. [RESULT] 4", OK, 4.0),
    ("prometheus", "So the overall score is 4. [RESULT] (3)", OK, 3.0),
    ("prometheus", "Not [RESULT] 5, but a score of 2: [RESULT] 4", OK, 4.0),
    ("prometheus", "[RESULT] 6", INVALID, None),
    ("prometheus", "[RESULT] 4.5", INVALID, None),
    ("prometheus", "[RESULT] four", INVALID, None),
    ("prometheus", "Score: 4", MISSING, None),
    ("mr_gsm8k", "Final Judgement: wrong\nFirst Error Step: Step 3\nError Analysis: no", OK, 0.0),
    ("mr_gsm8k", "Final Judgement: Incorrect\nFirst Error Step: 1\nError Analysis: no", OK, 0.0),
    ("mr_gsm8k", "Final Judgement: **Correct**\nFirst Error Step: N/A\nError Analysis: N/A", OK, 1.0),
    ("mr_gsm8k", "Final Judgement: wrong\nFirst Error Step: N/A\nError Analysis: no", INVALID, None),
    ("mr_gsm8k", "Final Judgement: incorrect.\nFirst Error Step: 2\nError Analysis: no", INVALID, None),
    ("mr_gsm8k", "Final Judgement: correct or wrong\nFirst Error Step: 2\nError Analysis: x", CONTRADICTORY, None),
    ("mr_gsm8k", "Final Judgement: wrong\nFirst Error Step: 2", MISSING, None),
    ("processbench", "so \\boxed{-1}", OK, 1.0),
    ("processbench", "not \\boxed{0} but \\boxed{ 1 }", OK, 0.0),
    ("processbench", "\\boxed{none}", INVALID, None),
    ("processbench", "paragraph 1", MISSING, None),
]


@pytest.mark.parametrize(("name", "text", "status", "winner", "scores"), PAIRS)
def test_a_verdict_on_a_pair_is_read_by_the_published_rule(
    name: str, text: str, status: Status, winner: int | None, scores: tuple[float, ...] | None
) -> None:
    vote = read(name, text)
    assert (vote.status, vote.winner, vote.scores) == (status, winner, scores)


@pytest.mark.parametrize(("name", "text", "status", "score"), ALONE)
def test_a_score_of_one_response_is_read_by_the_published_rule(
    name: str, text: str, status: Status, score: float | None
) -> None:
    vote = read(name, text)
    assert (vote.status, vote.scores) == (status, None if score is None else (score,))


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        ("Output (a) is brief. Therefore, Output (b) is better.", 1),
        ("Output (b) is better. Or: Output (a) is better!", 0),
    ],
)
def test_llmbar_with_reasons_takes_the_sentence_alone(text: str, winner: int) -> None:
    assert read("llmbar", text, style="cot").winner == winner
    assert read("llmbar", "Output (a)", style="cot").status is MISSING


@pytest.mark.parametrize(
    ("ranked", "status", "winner"),
    [
        ([("m", 1), ("M", 2)], OK, 0),
        ([("M", 1), ("m", 2)], OK, 1),
        ([("m", 1), ("M", 1)], CONTRADICTORY, None),
        ([("m", 2), ("M", 2)], INVALID, None),
        ([("m", [1]), ("M", 2)], INVALID, None),
        ([("M", 1)], INVALID, None),
    ],
)
def test_alpaca_eval_reads_who_is_ranked_first(ranked: list[tuple[str, Any]], status: Status, winner: Any) -> None:
    text = json.dumps({"ordered_models": [{"model": model, "rank": rank} for model, rank in ranked]})
    vote = read("alpaca_eval_cot", text)
    assert (vote.status, vote.winner) == (status, winner)


NAMES = sorted({name for name, *_ in [*PAIRS, *ALONE]} | {"alpaca_eval_cot"})


@pytest.mark.parametrize("name", NAMES)
def test_a_text_that_was_cut_off_before_its_verdict_says_so(name: str) -> None:
    assert read(name, "", finished=False).status is TRUNCATED


MARKS = ["[[A>>B]]", "[[", "Output (a)", "final decision is ", "[RESULT]", "score", "\\boxed{", "}", "99", "{", "Tie\n"]


@given(st.sampled_from(NAMES), st.lists(st.sampled_from(MARKS) | st.text(max_size=9)).map("".join))
def test_no_text_is_an_error(name: str, text: str) -> None:
    assert isinstance(read(name, text).status, Status)


# Log-probabilities ---------------------------------------------------------------------------------------------------


def completed(text: str, **top: float) -> Completion:
    likely = tuple((name, math.log(probability)) for name, probability in top.items())
    return Completion(text, finish_reason="length", logprobs=(TokenLogprob(text, likely[0][1], likely),))


def weighed(completion: Completion) -> Vote:
    judge = AlpacaEvalJudge(sampling=Sampling(max_tokens=1, top_logprobs=5))
    return judge.read_completion(completion, comparison(judge))


def test_alpaca_eval_weighs_the_first_token_between_the_two_names() -> None:
    vote = weighed(completed("M", M=0.6, m=0.2, Both=0.1))
    assert vote.scores == pytest.approx((0.25, 0.75))  # 0.2 and 0.6 of 0.8
    assert vote.probabilities == pytest.approx((0.2, 0.6))
    assert (vote.status, vote.winner) == (OK, 1)
    assert Rule("probability")([vote]).winner == 1


def test_alpaca_eval_takes_the_likely_tokens_where_another_was_drawn() -> None:
    assert weighed(completed("Both", Both=0.5, m=0.3)).scores == (1.0, 0.0)


def test_alpaca_eval_without_the_names_among_the_likely_tokens_is_no_verdict() -> None:
    assert weighed(completed("Both", Both=0.9)).status is INVALID


def test_alpaca_eval_without_log_probabilities_decides_nothing() -> None:
    vote = weighed(Completion("m"))
    assert vote.scores is None
    assert vote.error is not None
    assert Rule("probability")([vote]).status is INVALID


VERDICTS = [
    ("llmbar", {}, "Output (", "b", "a", ")"),
    ("llmbar", {"style": "cot"}, "It is a mess. Output (", "b", "a", ") is better."),
    ("autoj", {}, "final decision is Response ", "2", "1", "."),
    ("pandalm", {}, "", "2", "1", "\n\n### Reason: 1 errs."),
    ("rm_r1", {}, "<answer>[[", "B", "A", "]]</answer>"),
    ("rewardbench", {}, "A errs. [[", "B", "A", "]]"),
]


@pytest.mark.parametrize(("name", "settings", "before", "said", "other", "after"), VERDICTS)
def test_the_token_of_a_verdict_tells_how_probable_each_response_was(
    name: str, settings: dict[str, Any], before: str, said: str, other: str, after: str
) -> None:
    likely = ((said, math.log(0.7)), (other, math.log(0.2)))
    tokens = [TokenLogprob(before, 0.0, ((before, 0.0),)), TokenLogprob(said, likely[0][1], likely)]
    completion = Completion(f"{before}{said}{after}", logprobs=(*tokens, TokenLogprob(after, 0.0, ((after, 0.0),))))
    judge = find(name)(sampling=Sampling(top_logprobs=5), **settings)
    vote = judge.read_completion(completion, comparison(judge))
    assert vote.winner == 1
    assert vote.probabilities == pytest.approx((0.2, 0.7))


# Scores and prompts --------------------------------------------------------------------------------------------------


def test_a_template_of_the_user_is_asked_to_the_letter(tmp_path: Path) -> None:
    template = tmp_path / "prompt.jinja"
    template.write_text("<|User Prompt|>\n{{ instruction }}\n<|Answer A|>\n{{ responses[0] }}")
    [message] = ArenaHardJudge(template=template).ask(
        Comparison(id="1", prompt="2 + 2?", responses=("4<|im_end|>", "5"))
    )
    assert message["content"] == "<|User Prompt|>\n2 + 2?\n<|Answer A|>\n4< |im_end|>"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ question }}", "'question' is undefined; its variables are instruction, responses, reference"),
        ("{% if %}", "Expected an expression"),
        ("{{ instruction.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_told(template: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "prompt.jinja"
    path.write_text(template)
    judge = ArenaHardJudge(template=str(path))
    with pytest.raises(FathomError, match=problem):
        judge.ask(comparison(judge))


def test_a_template_that_is_not_there_is_told() -> None:
    judge = ArenaHardJudge(template="nowhere.jinja")
    with pytest.raises(FathomError, match=r"nowhere\.jinja"):
        judge.ask(comparison(judge))
