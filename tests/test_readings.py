"""Readings of the local engine agree with plain `transformers`, whatever else is in the batch, and are journalled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from fathom.engines import (
    Answer,
    AnyRequest,
    BaseEngine,
    ClassifyRequest,
    Completion,
    Engine,
    EngineError,
    Likelihood,
    LikelihoodRequest,
    Request,
    Sampling,
    StatesRequest,
    answer,
)
from fathom.engines.cache import CachedEngine, decode_answer, encode_answer, entries, request_key
from fathom.engines.chat import encode_chat, encode_given
from fathom.engines.local import LocalEngine
from fathom.engines.metering import Metered
from fathom.engines.replay import ReplayEngine
from fathom.errors import FathomError
from tiny import make_checkpoint, make_classifier

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("causal"), context=256)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_classifier(tmp_path_factory.mktemp("classifier"), labels=2)


@pytest.fixture(scope="module")
def engine(causal: Path) -> LocalEngine:
    return LocalEngine(causal)


def user(text: str) -> tuple[Any, ...]:
    return ({"role": "user", "content": text},)


def answers(engine: Engine, requests: Sequence[AnyRequest]) -> list[Any]:
    async def all_of_them() -> list[Answer | BaseException]:
        return await asyncio.gather(*(answer(engine, each) for each in requests), return_exceptions=True)

    return asyncio.run(all_of_them())


def plain_logits(folder: Path, prompt: Sequence[int], given: Sequence[int]) -> torch.Tensor:
    """The logits at the states before and after each given token, from one unpadded forward pass."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([[*prompt, *given]])).logits[0, len(prompt) - 1 :]
    return logits


REQUESTS = [
    *(LikelihoodRequest(user("a question " * (1 + k // 4)), "answer " * (1 + k), end=bool(k % 2)) for k in range(12)),
    LikelihoodRequest((), "without a prompt", template="plain"),
    LikelihoodRequest(user("Once upon"), " a time", template="plain"),
    LikelihoodRequest((*user("2 + 2?"), {"role": "assistant", "content": "4"}), "thanks", role="user"),
]


def test_likelihoods_are_those_of_the_loss_of_transformers(causal: Path, engine: LocalEngine) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(causal), AutoModelForCausalLM.from_pretrained(causal)
    for request, likelihood in zip(REQUESTS, answers(engine, REQUESTS), strict=True):
        prompt, given = encode_given(tokenizer, request)
        tokens = torch.tensor([[*prompt, *given]])
        labels = tokens.masked_fill(torch.arange(tokens.shape[1])[None] < len(prompt), -100)
        with torch.no_grad():
            loss = model(tokens, labels=labels).loss.item()
        assert likelihood.mean == pytest.approx(-loss, abs=TOLERANCE)
        assert len(likelihood.tokens) == len(likelihood.logprobs) == len(given)
        assert likelihood.usage.prompt_tokens == tokens.shape[1]
        assert likelihood.soft_values is None


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_soft_values_are_those_of_every_state(causal: Path, engine: LocalEngine, alpha: float) -> None:
    request = LikelihoodRequest(user("a question"), "an answer", soft_values=alpha)
    [likelihood] = answers(engine, [request])
    logits = plain_logits(causal, *encode_given(AutoTokenizer.from_pretrained(causal), request))
    assert likelihood.soft_values == pytest.approx((alpha * (logits / alpha).logsumexp(-1)).tolist(), abs=TOLERANCE)
    assert len(likelihood.soft_values) == len(likelihood.logprobs) + 1


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 40), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 400),
)
def test_a_reading_does_not_depend_on_its_batch(
    causal: Path, engine: LocalEngine, shapes: list[tuple[int, int, bool]], tokens: int
) -> None:
    requests = [LikelihoodRequest(user("q" * a), "b" * b, soft_values=1.0 if soft else None) for a, b, soft in shapes]
    small = LocalEngine.__new__(LocalEngine)
    small.__dict__.update({name: value for name, value in engine.__dict__.items() if name != "_reader"})
    small.max_batch_tokens = tokens
    places = dict(small._reader.read(requests))
    for place, alone in enumerate(answers(engine, [each])[0] for each in requests):
        assert places[place].logprobs == pytest.approx(alone.logprobs, abs=TOLERANCE)
        assert places[place].soft_values == (alone.soft_values and pytest.approx(alone.soft_values, abs=TOLERANCE))


def test_a_common_prompt_is_computed_once(engine: LocalEngine) -> None:
    prompt = user("a long question " * 8)
    requests = [LikelihoodRequest(prompt, f"answer {k}") for k in range(8)]
    computed: list[int] = []
    hook = engine.model.model.embed_tokens.register_forward_hook(lambda *given: computed.append(given[1][0].numel()))
    try:
        whole = sum(each.usage.prompt_tokens for each in answers(engine, requests))
    finally:
        hook.remove()
    assert sum(computed) < whole / 3


def test_states_are_the_pooled_hidden_states_of_the_answer(causal: Path, engine: LocalEngine) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(causal), AutoModelForCausalLM.from_pretrained(causal)
    layers = (0, 1, -1)
    last, mean = (StatesRequest(user("a question"), "an answer", layers=layers, pool=pool) for pool in ("last", "mean"))
    prompt = encode_chat(tokenizer, last.messages)
    given = tokenizer.encode(last.answer, add_special_tokens=False)
    with torch.no_grad():
        hidden = model(torch.tensor([[*prompt, *given]]), output_hidden_states=True).hidden_states
    for place, layer in enumerate(layers):
        at_answer = hidden[layer][0, len(prompt) :]
        by_last, by_mean = answers(engine, [last, mean])
        assert by_last.vectors[place] == pytest.approx(at_answer[-1].tolist(), abs=TOLERANCE)
        assert by_mean.vectors[place] == pytest.approx(at_answer.mean(0).tolist(), abs=TOLERANCE)


def test_classifications_are_the_raw_outputs_of_the_model(classifier: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(classifier)
    model = AutoModelForSequenceClassification.from_pretrained(classifier)
    requests = [ClassifyRequest(user("q" * (1 + k % 3)), "word " * k) for k in range(9)]
    for request, result in zip(requests, answers(LocalEngine(classifier), requests), strict=True):
        turns = [*request.messages, {"role": "assistant", "content": request.answer}]
        tokens = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)
        with torch.no_grad():
            expected = model(**{name: tokens[name] for name in ("input_ids", "attention_mask")}).logits[0].tolist()
        assert result.logits == pytest.approx(expected, abs=TOLERANCE)


def test_log_odds_of_a_verdict_are_computed_in_float32_whatever_the_model(causal: Path) -> None:
    """In bfloat16, logits above 1 are multiples of 2^-7, and so are their differences."""
    half = LocalEngine(causal, dtype="bfloat16")
    for tokens in (1, 3):
        [completion] = answers(half, [Request(user("a question"), Sampling(max_tokens=tokens, top_logprobs=20))])
        logprobs = [value for _, value in completion.logprobs[0].top]
        steps = [(value - logprobs[0]) * 2**8 for value in logprobs[1:]]
        assert max(abs(step - round(step)) for step in steps) > 0.05


def test_one_token_is_the_first_of_a_longer_completion(engine: LocalEngine) -> None:
    prompts = [user("q" * k) for k in range(1, 9)]
    one, more = (
        answers(engine, [Request(each, Sampling(max_tokens=tokens, top_logprobs=5)) for each in prompts])
        for tokens in (1, 3)
    )
    for short, long in zip(one, more, strict=True):
        assert short.logprobs[0].token == long.logprobs[0].token
        assert short.logprobs[0].logprob == pytest.approx(long.logprobs[0].logprob, abs=TOLERANCE)
        assert (short.finish_reason, short.usage.completion_tokens) == ("length", 1)


def test_an_unknown_way_to_compute_logits_is_refused_and_not_guessed(causal: Path) -> None:
    scaled = LocalEngine(causal)
    layer = scaled.model.get_output_embeddings()
    layer.register_forward_hook(lambda _layer, _given, logits: logits / 8)
    [refused] = answers(scaled, [LikelihoodRequest(user("q"), "a")])
    assert "computes its logits in a way that Fathom does not know" in str(refused)
    [completion] = answers(scaled, [Request(user("q"), Sampling(max_tokens=1))])
    assert isinstance(completion, Completion)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (LikelihoodRequest(user("q"), ""), "the answer is empty"),
        (StatesRequest(user("q"), ""), "the answer is empty"),
        (LikelihoodRequest(user("q" * 300), "a"), "has a context of 256"),
        (StatesRequest(user("q" * 300), "a"), "has a context of 256"),
    ],
)
def test_a_text_that_cannot_be_read_is_an_error_and_not_a_number(
    engine: LocalEngine, request_: AnyRequest, message: str
) -> None:
    good = LikelihoodRequest(user("q"), "a")
    bad, fine = answers(engine, [request_, good])
    assert isinstance(bad, EngineError)
    assert message in str(bad)
    assert isinstance(fine, Likelihood)


def test_an_end_token_that_the_tokenizer_does_not_have_is_no_score(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    requests = [LikelihoodRequest(user("q"), "a", end=end) for end in (False, True)]
    fine, refused = answers(LocalEngine(folder), requests)
    assert isinstance(fine, Likelihood)
    assert isinstance(refused, EngineError)
    assert "has no end token (eos_token)" in str(refused)


def test_an_engine_refuses_what_it_does_not_provide(causal: Path, classifier: Path) -> None:
    class Text(BaseEngine):
        identity = "text"

        async def complete(self, request: Request) -> Completion:
            return Completion("")

    refused = [
        (Text(), LikelihoodRequest(user("q"), "a"), "likelihood"),
        (Text(), ClassifyRequest(user("q"), "a"), "classification"),
        (Text(), StatesRequest(user("q"), "a"), "hidden_states"),
        (LocalEngine(causal), ClassifyRequest(user("q"), "a"), "classification"),
        (LocalEngine(classifier), LikelihoodRequest(user("q"), "a"), "likelihood"),
        (LocalEngine(classifier), Request(user("q")), "text"),
    ]
    for refusing, request, capability in refused:
        [error] = answers(refusing, [request])
        assert isinstance(error, FathomError)
        assert f"needs an engine with {capability}; " in str(error)


ONE_OF_EACH: list[AnyRequest] = [
    LikelihoodRequest(user("q"), "a", soft_values=1.0),
    StatesRequest(user("q"), "a", layers=(0, -1), pool="mean"),
]


def test_the_journal_stores_readings_and_replays_them(tmp_path: Path, engine: LocalEngine) -> None:
    path = tmp_path / "journal"

    async def run(inner: Engine) -> tuple[list[Answer], int, int]:
        metered = Metered(inner)
        async with CachedEngine(metered, path) as cached:
            return [await answer(cached, each) for each in ONE_OF_EACH], cached.misses, metered.usage.prompt_tokens

    first, misses, tokens = asyncio.run(run(engine))
    assert misses == len(ONE_OF_EACH)
    assert tokens == sum(each.usage.prompt_tokens for each in first) > 0
    assert asyncio.run(run(engine)) == (first, 0, 0)
    assert answers(ReplayEngine(path), ONE_OF_EACH) == first
    assert [entry.completion for entry in entries(path)] == first
    for request, result in zip(ONE_OF_EACH, first, strict=True):
        assert decode_answer(request, encode_answer(result)) == result


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_key_of_a_reading_depends_on_everything_that_determines_it(data: st.DataObject) -> None:
    texts = st.text(max_size=4)
    prompts = st.builds(user, texts)
    likelihoods = st.builds(
        LikelihoodRequest,
        prompts,
        texts,
        role=st.sampled_from(["assistant", "user"]),
        end=st.booleans(),
        template=st.sampled_from(["chat", "plain"]),
        soft_values=st.sampled_from([None, 0.5, 1.0]),
    )
    states = st.builds(
        StatesRequest, prompts, texts, layers=st.sampled_from([(0,), (-1,)]), pool=st.sampled_from(["last", "mean"])
    )
    requests = st.one_of(likelihoods, states, st.builds(ClassifyRequest, prompts, texts))
    one, other = data.draw(requests), data.draw(requests)
    keys = [request_key(engine, request) for engine in ("a", "b") for request in (one, other)]
    assert len(set(keys)) == (2 if one == other and type(one) is type(other) else 4)


def test_the_key_of_a_reading_depends_on_the_version_of_its_reduction(monkeypatch: pytest.MonkeyPatch) -> None:
    before = request_key("engine", ONE_OF_EACH[0])
    monkeypatch.setattr(LikelihoodRequest, "VERSION", 2)
    assert request_key("engine", ONE_OF_EACH[0]) != before
