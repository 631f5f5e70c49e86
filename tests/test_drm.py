"""The dimension-level reward: what each dimension is computed from, and their weighted mean."""

from __future__ import annotations

import asyncio
from math import exp
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.records import Comparison
from fathom.engines import (
    Classification,
    ClassifyRequest,
    EngineError,
    Likelihood,
    LikelihoodRequest,
)
from fathom.engines.cache import CachedEngine
from fathom.engines.local import LocalEngine
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Vote
from fathom.judging.choice import make_judge
from fathom.rationale import Status
from fathom.rewards.drm import DimensionReward, confidence, weighted
from fathom.rewards.scalar import ScalarRewardModel
from tiny import make_checkpoint, make_classifier

REASONING, ANSWER = "<think>2 + 2 = 4.\n\n4 + 1 = 5.</think>\n", "5"
QUESTION = "What is 2 + 2 + 1?"
SOLUTION = Comparison(id="1", prompt=QUESTION, responses=(f"{REASONING}{ANSWER}",))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "policy": make_checkpoint(folder / "policy"),
        "reranker": make_classifier(folder / "reranker", labels=1, seed=1),
        "reward_model": make_classifier(folder / "reward", labels=1, seed=2),
        "two": make_classifier(folder / "two", labels=2),
    }


@pytest.fixture(scope="module")
def model(models: dict[str, Path]) -> DimensionReward:
    engine = CachedEngine(LocalEngine(models["policy"]), ":memory:")
    return DimensionReward(engine=engine, reranker=str(models["reranker"]), reward_model=str(models["reward_model"]))


def voted(model: DimensionReward, comparison: Comparison = SOLUTION) -> Vote:
    (vote,) = asyncio.run(model.votes(comparison))
    return vote


def dimensions(vote: Vote) -> dict[str, float]:
    return {name: float(value) for name, value in (part.split() for part in vote.text.split("; "))}


def scalar(folder: Path, prompt: str, response: str) -> float:
    """The logistic function of a scalar reward model's score."""
    judged = asyncio.run(
        ScalarRewardModel(engine=LocalEngine(folder)).votes(Comparison(prompt=prompt, responses=(response,)))
    )
    assert judged[0].scores
    return 1 / (1 + exp(-judged[0].scores[0]))


def test_each_dimension_is_read_by_its_own_model_and_the_score_is_their_mean(
    model: DimensionReward, models: dict[str, Path]
) -> None:
    vote, found = voted(model), dimensions(voted(model))
    read = LocalEngine(models["policy"]).likelihood(
        LikelihoodRequest(({"role": "user", "content": QUESTION},), f"{REASONING}{ANSWER}")
    )
    # The tokens of the tiny model are bytes, and the answer is the last one.
    logprobs = asyncio.run(read).logprobs
    assert len(logprobs) == len(f"{REASONING}{ANSWER}")
    expected = {
        "confidence": exp(sum(logprobs[:-1]) / len(logprobs[:-1]) + logprobs[-1]),
        "relevance": (
            scalar(models["reranker"], QUESTION, REASONING.strip())
            + scalar(models["reranker"], REASONING.strip(), ANSWER)
        )
        / 2,
        "coherence": scalar(models["reward_model"], QUESTION, REASONING.strip()),
    }
    assert found == pytest.approx(expected, abs=1e-4)
    assert list(vote.scores or ()) == pytest.approx([sum(expected.values()) / 3], abs=1e-4)
    assert len({round(value, 3) for value in expected.values()}) == 3


def test_confidence_is_the_mean_over_the_reasoning_and_the_sum_over_the_answer() -> None:
    reading = Likelihood(("4 +", " 1.", " So", " 5", "0"), (-0.1, -0.3, -0.2, -0.4, -0.5))
    assert confidence(reading, "4 + 1. So", "50") == pytest.approx(exp(-0.6 / 3 - 0.9))
    assert confidence(reading, "4 + 1.", "So 50") == pytest.approx(exp(-0.4 / 2 - 1.1))
    for tokens in (("4 + 1. So",), ("4 + 1. So50",), ("",)):
        with pytest.raises(ValueError, match="each need a token of their own"):
            confidence(Likelihood(tokens, (-0.1,)), "4 + 1. So", "50")


POLICY = Likelihood((REASONING, ANSWER), (-0.5, -0.25), usage=Usage(9))
CLASSIFIED = [Classification((score,), usage=Usage(2)) for score in (2.0, -1.0, 0.0)]
"""Of the reranker about reasoning and answer, and of the reward model."""


def test_a_weight_of_the_judge_is_that_of_its_dimension() -> None:
    def logistic(value: float) -> float:
        return 1 / (1 + exp(-value))

    values = {
        "confidence": exp(-0.75),
        "relevance": (logistic(2.0) + logistic(-1.0)) / 2,
        "coherence": 0.5,
    }
    weights = {"confidence": 1.0, "relevance": 3.0, "coherence": 2.0}
    vote = DimensionReward(**weights).read_answers([POLICY, *CLASSIFIED], SOLUTION)
    assert dimensions(vote) == pytest.approx(values, abs=1e-4)
    assert vote.scores == pytest.approx([sum(weights[name] * value for name, value in values.items()) / 6])
    assert vote.usage == Usage(15)


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param(("something", "else"), id="tokens of another text"),
        pytest.param((REASONING[:4], ANSWER), id="tokens of a part of the text"),
    ],
)
def test_a_confidence_that_cannot_be_computed_gives_no_score(tokens: tuple[str, ...]) -> None:
    reading = Likelihood(tokens, (-0.1,) * len(tokens))
    vote = DimensionReward().read_answers([reading, *CLASSIFIED], SOLUTION)
    assert (vote.status, vote.scores) == (Status.INVALID, None)
    assert "the tokens do not spell the text" in (vote.error or "")


def test_a_score_that_is_no_number_is_invalid() -> None:
    broken = [POLICY, *CLASSIFIED[:2], Classification((float("nan"),))]
    vote = DimensionReward().read_answers(broken, SOLUTION)
    assert (vote.status, vote.scores) == (Status.INVALID, None)


@pytest.mark.parametrize("failing", ["reranker", "reward_model"])
def test_a_failed_call_of_another_model_gives_a_failed_vote(
    failing: str, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(LocalEngine):
        async def classify(self, request: ClassifyRequest) -> Classification:
            raise EngineError("out of memory")

    def opened(engine: object, model: str) -> LocalEngine:
        return (Broken if model == failing else LocalEngine)(models[model])

    monkeypatch.setattr("fathom.rewards.drm.opened_beside", opened)
    judge = DimensionReward(engine=LocalEngine(models["policy"]), reranker="reranker", reward_model="reward_model")
    vote = voted(judge)
    assert (vote.status, vote.scores) == (Status.FAILED, None)
    assert "out of memory" in (vote.error or "")


def test_readings_of_all_models_are_kept_in_the_journal(model: DimensionReward) -> None:
    voted(model)
    assert isinstance(model.engine, CachedEngine)
    before = model.engine.misses
    assert before >= 4  # of the policy, two of the reranker, and of the reward model
    voted(model)
    assert model.engine.misses == before


def test_a_dimension_without_weight_needs_no_model(models: dict[str, Path]) -> None:
    engine = LocalEngine(models["policy"])
    alone = DimensionReward(engine=engine, relevance=0, coherence=0)
    assert list(dimensions(voted(alone))) == ["confidence"]
    with pytest.raises(FathomError, match="--judge-option reward_model=MODEL, or leave the dimension out"):
        voted(DimensionReward(engine=engine, relevance=0))
    with pytest.raises(FathomError, match="got 2 outputs of a classifier; expected a model with one output"):
        voted(DimensionReward(engine=engine, relevance=0, reward_model=str(models["two"])))
    with pytest.raises(FathomError, match="weight 0 for all dimensions"):
        DimensionReward(confidence=0, relevance=0, coherence=0)
    with pytest.raises(FathomError, match="relevance"):
        make_judge("drm", relevance=-1)


@pytest.mark.parametrize(
    ("response", "steps", "parts"),
    [
        ("2 + 2 = 4.\n\nSo 5.", None, ("2 + 2 = 4.\n\n", "So 5.")),
        ("a b", ("a", "b"), ("a\n\n", "b")),
        (f"{REASONING}So:\n\n5", None, (REASONING, "So:\n\n5")),
        ("5", None, ("", "5")),
        (REASONING, None, (REASONING, "")),
        ("", None, ("", "")),
    ],
)
def test_the_answer_is_what_follows_the_thought_or_the_last_step(
    response: str, steps: tuple[str, ...] | None, parts: tuple[str, str], model: DimensionReward
) -> None:
    comparison = Comparison(prompt=QUESTION, responses=(response,), steps=None if steps is None else (steps,))
    assert model.parts(comparison) == parts
    lacking = model.decided(comparison)
    assert (lacking is None) == all(parts)
    assert lacking is None or lacking.status is Status.INVALID


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.lists(st.floats(0.01, 10), min_size=3, max_size=3))
def test_the_score_lies_between_the_dimensions(values: list[float], weights: list[float]) -> None:
    named, weighed = (dict(zip("abc", each, strict=True)) for each in (values, weights))
    assert min(values) - 1e-9 <= weighted(named, weighed) <= max(values) + 1e-9
    assert weighted({"a": values[0]}, weighed) == pytest.approx(values[0])
    assert weighted({"a": 1.0, "b": 0.0}, {"a": 3.0, "b": 1.0}) == 0.75
