"""The vLLM engine against a stand-in with vLLM's signatures. No run on a GPU stands behind it."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')

import vllm_standin
from fathom import engines
from fathom.engines import Completion, Engine, EngineError, Likelihood, LikelihoodRequest, Request, Sampling
from fathom.engines.local import LocalEngine
from fathom.engines.vllm import VLLMEngine
from fathom.errors import FathomError


@pytest.fixture
def engine(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VLLMEngine]:
    for name in ("vllm", "vllm.sampling_params"):
        monkeypatch.setitem(sys.modules, name, vllm_standin)
    engine = VLLMEngine(checkpoint)
    yield engine
    asyncio.run(engine.close())


def ask(text: str, sample: int = 0, **sampling: object) -> Request:
    return Request(({"role": "user", "content": text},), Sampling(**{"max_tokens": 24, **sampling}), sample)  # type: ignore[arg-type]


def together(engine: Engine, requests: list[Request]) -> list[Completion]:
    async def run() -> list[Completion]:
        return await asyncio.gather(*map(engine.complete, requests))

    return asyncio.run(run())


def test_it_writes_what_the_local_engine_writes_without_chance(engine: VLLMEngine, checkpoint: Path) -> None:
    requests = [ask(text, top_logprobs=3, max_tokens=12) for text in ("short", "somewhat longer", "世界")]
    for mine, theirs in zip(together(engine, requests), together(LocalEngine(checkpoint), requests), strict=True):
        assert (mine.text, mine.finish_reason, mine.usage) == (theirs.text, theirs.finish_reason, theirs.usage)
        for here, there in zip(mine.logprobs or (), theirs.logprobs or (), strict=True):
            assert (here.token, [token for token, _ in here.top]) == (there.token, [token for token, _ in there.top])
            assert here.logprob == pytest.approx(there.logprob, abs=1e-4)
            assert [logprob for _, logprob in here.top] == pytest.approx(
                [logprob for _, logprob in there.top], abs=1e-4
            )


def test_likelihoods_are_those_of_the_local_engine(engine: VLLMEngine, checkpoint: Path) -> None:
    messages: Any = ({"role": "user", "content": "Name a colour."},)
    requests = [LikelihoodRequest(messages, "blue"), LikelihoodRequest(messages, "somewhat longer 世界", end=True)]

    async def read(of: Engine) -> list[Likelihood]:
        return await asyncio.gather(*map(of.likelihood, requests))

    for mine, theirs in zip(asyncio.run(read(engine)), asyncio.run(read(LocalEngine(checkpoint))), strict=True):
        assert (mine.tokens, mine.usage) == (theirs.tokens, theirs.usage)
        assert mine.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (LikelihoodRequest((), "x" * 5000, template="plain"), EngineError, "4096"),
        (LikelihoodRequest((), "", template="plain"), EngineError, "the answer is empty"),
        (
            LikelihoodRequest((), "x", template="plain", soft_values=1.0),
            FathomError,
            "needs an engine with soft_values",
        ),
    ],
)
def test_a_text_that_cannot_be_scored_is_refused(
    engine: VLLMEngine, request_: LikelihoodRequest, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        asyncio.run(engine.likelihood(request_))


def test_requests_run_side_by_side(engine: VLLMEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = engine.engine._decoded

    async def when_all_are_here(*arguments: Any) -> Any:
        while engine.engine.most < 8:
            await asyncio.sleep(0.001)
        return await decoded(*arguments)

    monkeypatch.setattr(engine.engine, "_decoded", when_all_are_here)
    completions = together(engine, [ask(str(n), max_tokens=4) for n in range(8)])  # else this would never end
    assert len(completions) == engine.engine.most == 8


def test_every_sample_and_every_seed_draws_anew_and_the_same_one_the_same(engine: VLLMEngine) -> None:
    requests = [ask("hi", sample, temperature=1.0, seed=seed, max_tokens=8) for seed in (0, 1) for sample in range(3)]
    texts = [completion.text for completion in together(engine, requests)]
    assert len(set(texts)) == len(texts)
    assert texts == [completion.text for completion in together(engine, requests)]


def test_a_token_drawn_from_outside_of_the_most_likely_is_not_among_them(engine: VLLMEngine) -> None:
    [completion] = together(engine, [ask("hi", temperature=1.5, top_logprobs=2, max_tokens=16)])
    assert completion.logprobs is not None
    assert all(len(entry.top) == 2 for entry in completion.logprobs)
    assert any(entry.token not in dict(entry.top) for entry in completion.logprobs)


def test_log_probabilities_come_where_they_are_asked_for(engine: VLLMEngine) -> None:
    plain, told = together(engine, [ask("hi"), ask("hi", logprobs=True)])
    assert plain.logprobs is None
    assert told.logprobs is not None
    assert all(entry.top == () for entry in told.logprobs)


def test_a_text_ends_before_its_stop_string_or_at_its_limit(engine: VLLMEngine) -> None:
    [short, free] = together(engine, [ask("hello", temperature=1.0, seed=3, max_tokens=n) for n in (3, 60)])
    assert (short.finish_reason, short.usage.completion_tokens) == ("length", 3)
    stop = next(text for text in (free.text[i : i + 2] for i in range(4, 50)) if text.isascii() and text.strip())
    [cut] = together(engine, [ask("hello", temperature=1.0, seed=3, max_tokens=60, stop=("\0never", stop))])
    assert (cut.text, cut.finish_reason) == (free.text[: free.text.index(stop)], "stop")
    assert cut.usage.completion_tokens < free.usage.completion_tokens


def test_a_prompt_that_is_too_long_fails_alone(engine: VLLMEngine) -> None:
    async def run() -> list[Completion | BaseException]:
        asked = map(engine.complete, (ask("fine", max_tokens=2), ask("x" * 5000)))
        return await asyncio.gather(*asked, return_exceptions=True)

    fine, failed = asyncio.run(run())
    assert isinstance(fine, Completion)
    assert isinstance(failed, EngineError)
    assert "4096" in str(failed)


def test_no_text_outgrows_the_context(engine: VLLMEngine) -> None:
    engine.context = 20
    [completion] = together(engine, [ask("0123456", temperature=0.5, max_tokens=50)])
    assert completion.usage.prompt_tokens + completion.usage.completion_tokens <= 20


def test_a_request_that_nobody_waits_for_is_aborted(engine: VLLMEngine) -> None:
    async def run() -> None:
        task = asyncio.create_task(engine.complete(ask("hi", max_tokens=4000)))
        while not engine.engine.steps:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while not engine.engine.aborted:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(run(), 60))
    assert engine.engine.steps < 4000


@pytest.mark.parametrize("reason", ["abort", "error", "repetition", None])
def test_a_text_that_vllm_breaks_off_is_a_failure(engine: VLLMEngine, reason: str | None) -> None:
    engine.engine._output = lambda *_: vllm_standin.CompletionOutput(0, "A", [1], 0.0, None, reason)
    with pytest.raises(EngineError, match="aborted the request"):
        together(engine, [ask("hi")])


def test_an_engine_that_died_is_said_in_plain_words(engine: VLLMEngine) -> None:
    engine.engine.errored = True
    with pytest.raises(EngineError, match=r"vLLM failed: VLLMServerError: .* \(see vLLM's log"):
        together(engine, [ask("hi")])


def test_nothing_is_asked_after_closing(engine: VLLMEngine) -> None:
    asyncio.run(engine.close())
    with pytest.raises(EngineError, match="closed"):
        together(engine, [ask("hi")])


def test_identity_names_the_model_its_revision_its_precision_and_what_else_decides(
    engine: VLLMEngine, checkpoint: Path
) -> None:
    others = [VLLMEngine(checkpoint, revision="v2"), VLLMEngine(checkpoint, quantization="fp8")]
    same = VLLMEngine(checkpoint, gpu_memory_utilization=0.5)
    assert engine.identity.startswith(f"vllm:{checkpoint}:None:float32:")
    assert len({engine.identity, same.identity, *(other.identity for other in others)}) == 3
    for each in (*others, same):
        asyncio.run(each.close())


def test_settings_that_vllm_does_not_know_and_models_that_do_not_start_are_said_in_plain_words(
    engine: VLLMEngine, checkpoint: Path
) -> None:
    with pytest.raises(FathomError, match=r"'batch_size'.*AsyncEngineArgs"):
        engines.open("vllm", str(checkpoint), batch_size=3)
    with pytest.raises(FathomError, match=r"cannot start .*: no GPU"):
        engines.open("vllm", str(checkpoint), tensor_parallel_size=2)


def test_without_vllm_the_extra_to_install_is_named(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(FathomError, match=r"fathom-rm\[vllm\]"):
        VLLMEngine(checkpoint)


@pytest.mark.slow
def test_an_installed_vllm_has_the_names_and_parameters_of_the_stand_in() -> None:
    vllm = pytest.importorskip("vllm", reason='needs pip install "fathom-rm[vllm]"')
    from vllm import sampling_params as real
    from vllm.logprobs import Logprob
    from vllm.outputs import CompletionOutput, RequestOutput

    for kind, mine in [
        (vllm.AsyncEngineArgs, vllm_standin.AsyncEngineArgs),
        (real.SamplingParams, vllm_standin.SamplingParams),
        (Logprob, vllm_standin.Logprob),
        (CompletionOutput, vllm_standin.CompletionOutput),
        (RequestOutput, vllm_standin.RequestOutput),
    ]:
        assert {each.name for each in fields(mine)} <= {
            name for base in kind.__mro__ for name in getattr(base, "__annotations__", ())
        }
    for name in ("generate", "from_engine_args", "shutdown"):
        theirs = inspect.signature(getattr(vllm.AsyncLLMEngine, name)).parameters
        assert set(inspect.signature(getattr(vllm_standin.AsyncLLMEngine, name)).parameters) <= set(theirs)
    assert real.RequestOutputKind.FINAL_ONLY.value == vllm_standin.RequestOutputKind.FINAL_ONLY.value
