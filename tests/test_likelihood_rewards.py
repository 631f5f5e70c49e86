"""Rewards from likelihoods: their formulas, their identities, and the same numbers from transformers' own loss."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison, Label, Message
from fathom.engines import BaseEngine, Completion, Likelihood, LikelihoodRequest, Request
from fathom.engines.chat import encode_given
from fathom.engines.local import LocalEngine
from fathom.engines.scripted import ScriptedEngine
from fathom.errors import FathomError
from fathom.judges import EngineRewardModel, Vote, find
from fathom.rationale import Status
from fathom.rewards.endogenous import EndogenousReward, token_rewards
from fathom.rewards.flip import FlipReward, word_f1
from fathom.rewards.follow_up import ASPECTS, FollowUpReward, follow_ups, published_script_score
from tiny import END

NAMES = ["backward", "endogenous", "follow_up", "forward", "genarm", "pmi"]
ANSWERS = ("It is Paris.", "It is in the south of France, I think.")
PAIR = Comparison(id="1", prompt="What is the capital of France?", responses=ANSWERS, label=Label(best=0))
CHAT = Comparison(
    id="2",
    prompt=(
        Message(role="user", content="Name a colour."),
        Message(role="assistant", content="Blue."),
        Message(role="user", content="Another one."),
    ),
    responses=("Green.",),
)


def reading(*logprobs: float, soft: Sequence[float] | None = None) -> Likelihood:
    return Likelihood(tuple("abcdefgh"[: len(logprobs)]), logprobs, None if soft is None else tuple(soft))


def scored(name: str, readings: Sequence[Likelihood], response: str = "abcd", **options: Any) -> float:
    (score,) = voted(name, readings, response, **options).scores or ()
    return score


def voted(name: str, readings: Sequence[Likelihood], response: str = "abcd", **options: Any) -> Vote:
    return find(name)(**options).read_answers(readings, Comparison(prompt="?", responses=(response,)))


# Formulas -------------------------------------------------------------------------------------------------------------


def test_forward_is_the_sum_or_the_mean_of_the_log_probabilities() -> None:
    assert scored("forward", [reading(-1.0, -3.0)], reduce="sum") == -4.0
    assert scored("forward", [reading(-1.0, -3.0)], reduce="mean") == -2.0
    assert scored("genarm", [reading(-1.0, -3.0)]) == -4.0


def test_pmi_subtracts_the_log_probability_without_the_prompt() -> None:
    given_prompt, alone = reading(-1.0, -1.0), reading(-2.0, -3.0)
    assert scored("pmi", [given_prompt, alone]) == 3.0
    assert scored("pmi", [given_prompt, alone], reduce="mean") == 1.5


def test_pmi_of_different_tokens_is_no_score() -> None:
    vote = voted("pmi", [reading(-1.0, -1.0), reading(-2.0)])
    assert (vote.status, vote.scores) == (Status.INVALID, None)


def test_the_text_of_a_vote_has_nats_a_token_and_bits_a_byte() -> None:
    # 4 bytes of text, and 4 log(2) nats: one bit a byte
    text = voted("forward", [reading(*[-math.log(2)] * 4)]).text
    assert text == "log p -2.773 nats, -0.6931 nats a token (4 tokens), 1.0000 bits a byte"


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
@pytest.mark.parametrize("name", NAMES)
def test_a_score_that_is_no_number_is_invalid(name: str, bad: float) -> None:
    model = find(name)()
    count = len(model.requests(PAIR.subset((0,))))
    vote = model.read_answers([reading(bad, -1.0, soft=(0, 0, 0))] * count, PAIR.subset((0,)))
    assert vote.scores is None
    # log p - log p of minus infinity is NaN, too
    assert vote.status is Status.INVALID


@pytest.mark.parametrize("response", ["", "  ", "\n\t\n"])
@pytest.mark.parametrize("name", [*NAMES, "flip"])
def test_a_response_without_text_is_no_score_and_makes_no_call(name: str, response: str) -> None:
    (ask,) = find(name)().plan(Comparison(id="1", prompt="?", responses=(response,)))
    assert ask.vote is not None
    assert (ask.vote.status, ask.vote.scores) == (Status.INVALID, None)


def test_follow_ups_are_praise_minus_complaint_averaged_over_aspects() -> None:
    model = FollowUpReward(aspects=("correctness", "relevance"))
    requests = model.requests(PAIR.subset((0,)))
    praise = [text for aspect in model.aspects for text in follow_ups()[aspect]["positive"]]
    # Praise has -1 nats a token, complaints -2 about correctness and -4 about relevance: means of 1 and 3.
    complaint = dict.fromkeys(follow_ups()["correctness"]["negative"], -2.0) | dict.fromkeys(
        follow_ups()["relevance"]["negative"], -4.0
    )
    readings = [reading(-1.0 if each.answer in praise else complaint[each.answer]) for each in requests]
    assert model.by_aspect(readings) == {"correctness": 1.0, "relevance": 3.0}
    assert model.score(readings) == 2.0
    assert {each.role for each in requests} == {"user"}
    assert all(each.messages[-1] == {"role": "assistant", "content": ANSWERS[0]} for each in requests)


def test_the_prior_of_follow_ups_is_subtracted_and_changes_no_ranking() -> None:
    plain, corrected = FollowUpReward(), FollowUpReward(prior="neutral")
    count = len(plain.requests(PAIR.subset((0,))))
    assert len(corrected.requests(PAIR.subset((0,)))) == 2 * count

    def readings(offset: float) -> list[Likelihood]:
        return [reading(-1.0 - offset * (place % 5)) for place in range(count)]

    prior = readings(0.7)
    differences = [
        plain.score(readings(offset)) - corrected.score([*readings(offset), *prior]) for offset in (0.1, 0.2, 0.4)
    ]
    assert differences == pytest.approx([plain.score(prior)] * 3)


def test_every_aspect_has_as_many_follow_ups_of_both_signs() -> None:
    assert tuple(follow_ups()) == ASPECTS
    assert all(len(each["positive"]) == len(each["negative"]) >= 2 for each in follow_ups().values())


# Prompts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NAMES, "flip"])
def test_requests_do_not_depend_on_the_label(name: str) -> None:
    model = find(name)()
    other = PAIR.model_copy(update={"label": Label(best=1)})
    assert [ask.requests for ask in model.plan(PAIR)] == [ask.requests for ask in model.plan(other)]


@pytest.mark.parametrize("name", ["backward", "flip"])
def test_the_prompt_of_backward_inference_never_shows_the_request(name: str) -> None:
    for comparison in (PAIR.subset((0,)), CHAT):
        (request,) = find(name)().requests(comparison)
        (message,) = request.messages
        assert comparison.request not in message["content"]
        assert comparison.responses[0] in message["content"]
    assert "Name a colour." in message["content"], "earlier turns are context"
    assert getattr(request, "answer", "Another one.") == "Another one."


@pytest.mark.parametrize("name", ["backward", "flip"])
def test_a_conversation_without_a_user_turn_is_invalid_and_the_other_rows_are_scored(name: str) -> None:
    prompt = (Message(role="system", content="Be kind."),)
    comparison = Comparison(id="7", prompt=prompt, responses=("Yes.", "No."))
    engine = ScriptedEngine(["Name a colour."]) if name == "flip" else Likely()
    (_, refused), (_, other) = find(name)(engine=engine).run([comparison, CHAT])
    assert (refused.status, refused.scores, other.status) == (Status.INVALID, None, Status.OK)
    assert "no user turn" in str(refused.votes[0].error)


class Likely(BaseEngine):
    """An engine that gives every text the same log-probabilities."""

    identity = "likely"
    provides = frozenset({"likelihood"})

    async def complete(self, request: Request) -> Completion:
        raise NotImplementedError

    async def likelihood(self, request: LikelihoodRequest) -> Likelihood:
        return reading(-1.0, -2.0)


# Endogenous reward ----------------------------------------------------------------------------------------------------

Logits = st.lists(st.lists(st.floats(-20, 20), min_size=5, max_size=5), min_size=2, max_size=6)
"""At each state, the logits of five tokens. The last state is after the last token."""


def logsumexp(row: Sequence[float]) -> float:
    top = max(row)
    return top + math.log(sum(math.exp(each - top) for each in row))


def of_logits(logits: Sequence[Sequence[float]]) -> Likelihood:
    """The reading of a response whose token at every state is the second one."""
    values = [logsumexp(row) for row in logits]
    return reading(*(row[1] - value for row, value in zip(logits[:-1], values, strict=False)), soft=values)


@given(Logits, st.floats(0.1, 5))
def test_the_endogenous_reward_telescopes(logits: list[list[float]], alpha: float) -> None:
    likelihood = of_logits(logits)
    first, last = logsumexp(logits[0]), logsumexp(logits[-1])
    zero = token_rewards(likelihood, alpha=alpha)
    value = token_rewards(likelihood, alpha=alpha, end_state="value")
    assert len(zero) == len(logits) - 1
    assert sum(zero) == pytest.approx(alpha * (likelihood.total + first), abs=1e-6)
    assert sum(value) == pytest.approx(alpha * (likelihood.total + first - last), abs=1e-6)


@given(Logits, st.data())
def test_a_shift_of_all_logits_of_a_state_changes_tokens_but_the_sum_only_by_the_ends(
    logits: list[list[float]], data: st.DataObject
) -> None:
    shifts = data.draw(st.lists(st.floats(-5, 5), min_size=len(logits), max_size=len(logits)))
    shifted = of_logits([[each + c for each in row] for row, c in zip(logits, shifts, strict=True)])
    plain = of_logits(logits)
    assert shifted.logprobs == pytest.approx(plain.logprobs, abs=1e-6)
    before, after = (token_rewards(each, end_state="value") for each in (plain, shifted))
    expected = [one + here - there for one, here, there in zip(before, shifts, shifts[1:], strict=False)]
    assert after == pytest.approx(expected, abs=1e-6)
    assert sum(after) - sum(before) == pytest.approx(shifts[0] - shifts[-1], abs=1e-6)


@given(st.lists(Logits, min_size=2, max_size=4), st.floats(0.1, 5))
def test_without_an_end_value_responses_rank_as_by_their_log_probability(
    responses: list[list[list[float]]], alpha: float
) -> None:
    start = responses[0][0]  # all responses continue one prompt, so they share the first state
    readings = [of_logits([start, *rows[1:]]) for rows in responses]
    rewards = [EndogenousReward(alpha=alpha).score([each]) for each in readings]
    offsets = [reward / alpha - each.total for reward, each in zip(rewards, readings, strict=True)]
    assert offsets == pytest.approx([logsumexp(start)] * len(readings), abs=1e-6)


def test_soft_values_are_requested_and_needed() -> None:
    (request,) = EndogenousReward().requests(PAIR.subset((0,)))
    assert request.soft_values == 1.0
    with pytest.raises(FathomError, match="request it with soft_values"):
        token_rewards(reading(-1.0))


# FLIP -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inferred", "f1"),
    [
        ("What is the capital of France?", 1.0),
        ("what is a Capital of FRANCE", 1.0),
        # Words without articles: 5 of the request, 3 inferred, 2 shared.
        ("capital of Spain", 2 * 2 / (5 + 3)),
        ("Name something.", 0.0),
        ("?", 0.0),
    ],
)
def test_shared_words_count_as_published(inferred: str, f1: float) -> None:
    assert word_f1(inferred, PAIR.request) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("text", "finished", "status", "score"),
    [
        ('{"REASONING": "It names a city.", "INFERRED INSTRUCTION": "What is the capital of France?"}', True, "ok", 1),
        ('```json\n{"inferred_instruction": "capital\nof Spain"}\n```', True, "ok", 0.5),
        ("<think>a city</think>What is the capital of France?", True, "ok", 1),
        ('{"INFERRED INSTRUCTION": 7} capital of Spain', True, "ok", 2 * 2 / (5 + 6)),
        ('{"INFERRED INSTRUCTION": "What is the cap', False, "truncated", None),
        ("", True, "missing", None),
        ('{"INFERRED INSTRUCTION": " "}', True, "missing", None),
        ("<think>a city", True, "truncated", None),
    ],
)
def test_the_inferred_request_is_read(text: str, finished: bool, status: str, score: float | None) -> None:
    vote = FlipReward().read(text, PAIR.subset((0,)), finished=finished)
    assert vote.status == status
    assert vote.scores == (None if score is None else (pytest.approx(score),))


def test_flip_reads_no_criteria_and_refuses_them() -> None:
    with pytest.raises(FathomError, match="reads no criteria; leave the rubric out"):
        FlipReward(rubric="Prefer short answers.")


def test_flip_reads_one_completion_for_each_response() -> None:
    completion = Completion('{"INFERRED INSTRUCTION": "capital of Spain"}')
    vote = FlipReward().read_completion(completion, PAIR.subset((0,)))
    assert vote.scores == (0.5,)


# With a model ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> LocalEngine:
    return LocalEngine(checkpoint, device="cpu", dtype="float64")


def loss(engine: LocalEngine, request: LikelihoodRequest) -> tuple[float, int]:
    """Transformers' own loss of the answer, summed, and the number of its tokens. It computes the loss in float32."""
    import torch

    prompt, answer = encode_given(engine.tokenizer, request)
    ids = torch.tensor([[*prompt, *answer]])
    labels = torch.tensor([[-100] * len(prompt) + list(answer)])
    with torch.no_grad():
        mean = float(engine.model(input_ids=ids, labels=labels).loss)
    return mean * len(answer), len(answer)


@pytest.mark.parametrize("options", [{"reduce": "sum"}, {"reduce": "sum", "end": True}, {"reduce": "mean"}])
def test_forward_equals_transformers_own_loss(engine: LocalEngine, options: dict[str, Any]) -> None:
    model = find("forward")(engine=engine, **options)
    verdict = asyncio.run(model(PAIR))
    expected = []
    for place in range(2):
        (request,) = model.requests(PAIR.subset((place,)))
        total, count = loss(engine, request)
        expected.append(-total / (count if options["reduce"] == "mean" else 1))
    assert verdict.scores == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["forward", "pmi", "backward", "endogenous", "genarm"])
def test_the_end_of_the_turn_is_scored_only_if_asked_for(engine: LocalEngine, name: str) -> None:
    for end in (False, True):
        requests = find(name)(end=end).requests(PAIR.subset((0,)))
        for request in requests:
            likelihood = asyncio.run(engine.likelihood(request))
            assert (likelihood.tokens[-1] == END) is end


def test_pmi_and_backward_are_differences_of_transformers_losses(engine: LocalEngine) -> None:
    for name, signs in (("pmi", (-1, 1)), ("backward", (-1,))):
        model = find(name)(engine=engine, reduce="sum")
        verdict = asyncio.run(model(PAIR))
        expected = []
        for place in range(2):
            requests = model.requests(PAIR.subset((place,)))
            expected.append(sum(sign * loss(engine, each)[0] for sign, each in zip(signs, requests, strict=True)))
        assert verdict.scores == pytest.approx(expected, abs=1e-4)


def test_the_endogenous_reward_is_the_summed_log_probability_plus_a_constant(engine: LocalEngine) -> None:
    endogenous = asyncio.run(find("endogenous")(engine=engine)(PAIR)).scores
    forward = asyncio.run(find("forward")(engine=engine, reduce="sum")(PAIR)).scores
    assert endogenous is not None
    assert forward is not None
    offsets = [one - other for one, other in zip(endogenous, forward, strict=True)]
    assert offsets[0] == pytest.approx(offsets[1], abs=1e-6)
    assert abs(offsets[0]) > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_every_reward_judges_pairs_and_single_responses(engine: LocalEngine, name: str) -> None:
    model: EngineRewardModel = find(name)(engine=engine)
    verdict = asyncio.run(model(PAIR))
    assert verdict.status is Status.OK
    assert verdict.winner in (0, 1)
    alone = asyncio.run(model(PAIR.subset((1,))))
    assert verdict.scores is not None
    assert alone.scores == pytest.approx((verdict.scores[1],), abs=1e-6)
    assert all(vote.text for vote in verdict.votes[0].per_response)


def test_the_published_script_of_follow_ups_is_reproduced_and_is_no_likelihood(engine: LocalEngine) -> None:
    import torch

    follow_up = "That is correct."
    messages = [*({"role": "user", "content": PAIR.request}, {"role": "assistant", "content": ANSWERS[0]})]
    ids = engine.tokenizer.apply_chat_template(
        [*messages, {"role": "user", "content": follow_up}], return_tensors="pt", return_dict=True
    )["input_ids"]
    own = engine.tokenizer(follow_up, return_tensors="pt").input_ids
    with torch.no_grad():
        logits = engine.model(input_ids=ids).logits
    # The lines of run_llama3.py:
    last = logits[0, -own.shape[1] :, :]
    expected = last[0, own[0]].mean().item()
    assert published_script_score(logits[0].tolist(), own[0].tolist()) == pytest.approx(expected)
    shuffled = own[0].flip(0).tolist()
    assert published_script_score(logits[0].tolist(), shuffled) == pytest.approx(expected), "order does not matter"
    shifted = (logits[0] + 1.0).tolist()
    assert published_script_score(shifted, own[0].tolist()) == pytest.approx(expected + 1.0), "no softmax"


@pytest.mark.parametrize("name", ["forward", "pmi", "endogenous"])
def test_the_command_line_finds_them_and_shows_length_baselines(name: str, checkpoint: Path, tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    rows = [
        {"id": f"p{n}", "prompt": f"Task {n}", "response_a": "yes " * (n + 1), "response_b": "no", "label": "AB"[n % 2]}
        for n in range(3)
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "v.jsonl"
    arguments = ["judge", str(source), "--model", str(checkpoint), "--judge", name, "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(written) == 3
    assert all(len(row["scores"]) == 2 for row in written)
    assert "bits a byte" in str(written[0]) or name == "follow_up"
    shown = CliRunner().invoke(app, ["score", str(out)])
    assert "longer" in shown.output
    assert "shorter" in shown.output
