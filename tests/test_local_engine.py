"""The local engine: batching changes nothing but the speed."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom.cli import app
from fathom.engines import Completion, EngineError, Request, Sampling
from fathom.engines.chat import encode_chat
from fathom.engines.checkpoints import fingerprint
from fathom.engines.decoding import draw
from fathom.engines.local import LocalEngine
from fathom.engines.scoring import Scorer
from fathom.errors import FathomError
from tiny import BEGIN, make_checkpoint


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> LocalEngine:
    """In double precision, so that equal texts do not hang on the processor.

    Batches of other shapes round differently. Another token is chosen where the two best, or a random number and the
    edge between two tokens, are nearer to each other than that: in float32 once in 10^5 tokens, which a suite of tests
    meets every few runs; here once in 10^8, because logits are float32 in the end.
    """
    return LocalEngine(checkpoint, dtype="float64")


def ask(text: str, sample: int = 0, **sampling: object) -> Request:
    return Request(({"role": "user", "content": text},), Sampling(**{"max_tokens": 24, **sampling}), sample)  # type: ignore[arg-type]


def together(engine: LocalEngine, requests: list[Request]) -> list[Completion]:
    async def run() -> list[Completion]:
        return await asyncio.gather(*map(engine.complete, requests))

    return asyncio.run(run())


def one_by_one(engine: LocalEngine, requests: list[Request]) -> list[Completion]:
    return [together(engine, [request])[0] for request in requests]


def assert_same(left: list[Completion], right: list[Completion]) -> None:
    for a, b in zip(left, right, strict=True):
        assert (a.text, a.finish_reason, a.usage) == (b.text, b.finish_reason, b.usage)
        for x, y in zip(a.logprobs or (), b.logprobs or (), strict=True):
            assert x.token == y.token
            assert x.logprob == pytest.approx(y.logprob, abs=1e-4)


@settings(max_examples=10, deadline=None)
@given(
    texts=st.lists(st.text(alphabet="ab 世\n", min_size=1, max_size=60), min_size=2, max_size=6),
    samples=st.integers(1, 3),
    temperature=st.sampled_from([0.0, 0.7, 1.5]),
    top_p=st.sampled_from([1.0, 0.6]),
)
def test_what_a_request_writes_does_not_depend_on_its_neighbours(
    engine: LocalEngine, texts: list[str], samples: int, temperature: float, top_p: float
) -> None:
    requests = [
        ask(text, sample, temperature=temperature, top_p=top_p, logprobs=True, seed=len(text), max_tokens=12)
        for text in texts
        for sample in range(samples)
    ]
    assert_same(together(engine, requests), one_by_one(engine, requests))


def test_small_batches_write_what_one_large_batch_writes(engine: LocalEngine, checkpoint: Path) -> None:
    requests = [ask("x" * n, sample, temperature=1.0) for n in (3, 50, 7, 120) for sample in range(4)]
    small = LocalEngine(checkpoint, dtype="float64", max_batch=3, max_batch_tokens=150)
    assert_same(together(engine, requests), together(small, requests))


def test_greedy_text_is_what_transformers_generates(engine: LocalEngine) -> None:
    requests = [ask(text, max_tokens=40) for text in ("short", "somewhat longer than the first", "世界")]
    for request, completion in zip(requests, together(engine, requests), strict=True):
        prompt = torch.tensor([encode_chat(engine.tokenizer, request.messages)])
        expected = engine.model.generate(prompt, max_new_tokens=40, do_sample=False)[0, prompt.shape[1] :]
        assert completion.text == engine.tokenizer.decode(expected, skip_special_tokens=True)
        assert completion.usage.completion_tokens == len(expected)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logprobs_are_those_of_one_forward_pass_over_the_whole_text(engine: LocalEngine, temperature: float) -> None:
    requests = [ask("a" * n, temperature=temperature, top_p=0.9, logprobs=True) for n in (2, 9, 33)]
    for request, completion in zip(requests, together(engine, requests), strict=True):
        prompt = encode_chat(engine.tokenizer, request.messages)
        assert completion.logprobs is not None
        written = engine.tokenizer.convert_tokens_to_ids(_tokens(engine, request))
        with torch.inference_mode():
            logits = engine.model(torch.tensor([prompt + written])).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1).gather(1, torch.tensor(written)[:, None])[:, 0].tolist()
        assert [entry.logprob for entry in completion.logprobs] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_most_likely_tokens_are_those_of_one_forward_pass_over_the_whole_text(
    engine: LocalEngine, temperature: float
) -> None:
    requests = [ask("a" * n, temperature=temperature, top_p=0.9, top_logprobs=3) for n in (2, 9, 33)]
    for request, completion in zip(requests, together(engine, requests), strict=True):
        prompt = encode_chat(engine.tokenizer, request.messages)
        assert completion.logprobs is not None
        written = engine.tokenizer.convert_tokens_to_ids(_tokens(engine, request))
        with torch.inference_mode():
            logits = engine.model(torch.tensor([prompt + written])).logits[0, len(prompt) - 1 : -1]
        logprobs, tokens = logits.log_softmax(-1).topk(3)
        for entry, likely, names in zip(completion.logprobs, logprobs.tolist(), tokens.tolist(), strict=True):
            assert [logprob for _, logprob in entry.top] == pytest.approx(likely, abs=1e-4)
            assert [token for token, _ in entry.top] == [engine.tokenizer.decode([token]) for token in names]


def test_asking_for_the_most_likely_tokens_changes_no_text(engine: LocalEngine) -> None:
    plain, asked = together(engine, [ask("hello", temperature=1.0, top_logprobs=n) for n in (0, 20)])
    assert (asked.text, asked.finish_reason, asked.usage) == (plain.text, plain.finish_reason, plain.usage)
    assert plain.logprobs is None


@pytest.mark.parametrize("count", [-1, 21])
def test_more_likely_tokens_than_servers_give_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 20"):
        Sampling(top_logprobs=count)


def _tokens(engine: LocalEngine, request: Request) -> list[str]:
    """The tokens of a completion, from the decoder itself: half a character has no text of its own."""
    from fathom.engines.decoding import Row, decode

    row = Row(tuple(encode_chat(engine.tokenizer, request.messages)), f"0:{request.sample}".encode())
    steps = decode(engine.model, [row], request.sampling, ends=engine.ends, context=engine.context)
    [(_, written)] = [pair for finished in steps for pair in finished]
    tokens: list[str] = engine.tokenizer.convert_ids_to_tokens(written.tokens)
    return tokens


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    probabilities = [0.5, 0.3, 0.15, 0.05]
    n = 20_000
    logits = torch.tensor(probabilities).log().expand(n, -1)
    uniform = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    counts = Counter(draw(logits, Sampling(temperature=1.0), uniform).tolist())
    for token, probability in enumerate(probabilities):
        assert counts[token] / n == pytest.approx(probability, abs=4 * math.sqrt(0.25 / n))
    # The fewest tokens that reach 0.75 are the first two, renormalised to 5/8 and 3/8.
    nucleus = Counter(draw(logits, Sampling(temperature=1.0, top_p=0.75), uniform).tolist())
    assert set(nucleus) == {0, 1}
    assert nucleus[0] / n == pytest.approx(5 / 8, abs=4 * math.sqrt(0.25 / n))


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_a_token_without_probability_is_never_drawn(uniform: float) -> None:
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]])
    for top_p in (1.0, 0.9):
        token = draw(logits, Sampling(temperature=1.0, top_p=top_p), torch.tensor([uniform], dtype=torch.float64))
        assert token.item() in {1, 3}


def test_samples_and_seeds_differ_and_repeat(engine: LocalEngine) -> None:
    requests = [ask("hello", sample, temperature=1.0, seed=seed) for seed in (0, 1) for sample in range(4)]
    texts = [completion.text for completion in together(engine, requests)]
    assert len(set(texts)) == len(texts)
    assert texts == [completion.text for completion in together(engine, requests)]


def test_a_longer_limit_continues_the_same_text(engine: LocalEngine) -> None:
    short, long = together(engine, [ask("hello", temperature=1.0, max_tokens=n, logprobs=True) for n in (5, 20)])
    assert short.logprobs is not None
    assert long.logprobs is not None
    assert short.finish_reason == "length"
    assert [entry.token for entry in long.logprobs[:5]] == [entry.token for entry in short.logprobs]


def test_the_end_token_stops_a_text_and_is_not_part_of_it(engine: LocalEngine) -> None:
    completions = together(engine, [ask("hi", sample, temperature=1.5, max_tokens=200) for sample in range(48)])
    stopped = [completion for completion in completions if completion.finish_reason == "stop"]
    assert stopped
    assert all("<|end|>" not in completion.text for completion in completions)
    assert all(completion.usage.completion_tokens == 200 for completion in completions if completion not in stopped)


def test_rows_that_end_early_leave_the_others_as_they_are(engine: LocalEngine) -> None:
    # Eight of some 260 tokens, nearly equally likely, stop a text: after 33 tokens on average, in 150 almost surely.
    sampling = {"temperature": 1.5, "max_tokens": 150, "stop": tuple("abcdefgh"), "logprobs": True}
    requests = [ask("y" * sample, sample, **sampling) for sample in range(1, 13)]
    completions = together(engine, requests)
    assert sum(completion.finish_reason == "stop" for completion in completions) >= 4, "so that rows are dropped"
    assert_same(completions, one_by_one(engine, requests))


def test_a_text_ends_before_its_stop_string(engine: LocalEngine) -> None:
    [free] = together(engine, [ask("hello", temperature=1.0, seed=3, max_tokens=60)])
    stop = next(text for text in (free.text[i : i + 2] for i in range(4, 50)) if text.isascii() and text.strip())
    [cut] = together(engine, [ask("hello", temperature=1.0, seed=3, max_tokens=60, stop=("\0never", stop))])
    assert cut.text == free.text[: free.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert cut.usage.completion_tokens < free.usage.completion_tokens


def test_a_prompt_that_is_too_long_fails_alone(engine: LocalEngine) -> None:
    async def run() -> list[Completion | BaseException]:
        requests = [ask("fine"), ask("x" * 5000), ask("fine too")]
        return await asyncio.gather(*map(engine.complete, requests), return_exceptions=True)

    first, second, third = asyncio.run(run())
    assert isinstance(first, Completion)
    assert isinstance(third, Completion)
    assert isinstance(second, EngineError)
    assert "5004 tokens" in str(second)
    assert "4096" in str(second)
    assert not second.retryable


def test_a_text_ends_where_the_model_can_read_no_further(tmp_path: Path) -> None:
    small = LocalEngine(make_checkpoint(tmp_path / "small", context=16))
    [completion] = together(small, [ask("0123456", temperature=0.5, max_tokens=50)])
    assert completion.usage.prompt_tokens + completion.usage.completion_tokens <= 16
    assert completion.finish_reason == "length" or completion.usage.completion_tokens < 6


def test_a_row_at_the_end_of_the_context_does_not_break_the_rows_beside_it() -> None:
    """Positions of a GPT-2 are a table: there is none beyond the context, also for rows that are computed along."""
    from transformers import GPT2Config, GPT2LMHeadModel

    from fathom.engines.decoding import Row, decode

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    rows = [Row(tuple(range(1, 15))), *(Row((n, 2)) for n in range(5, 12))]
    steps = decode(GPT2LMHeadModel(config).eval(), rows, Sampling(max_tokens=12), ends=set(), context=16)
    assert sorted((index, len(written.tokens)) for finished in steps for index, written in finished) == [
        (0, 2),
        *((index, 12) for index in range(1, 8)),
    ]


def test_a_failure_of_the_model_does_not_leave_those_waiting_who_came_while_it_ran(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(checkpoint)
    decode_batch = engine._decode

    async def run() -> tuple[str, str]:
        loop = asyncio.get_running_loop()
        late: list[asyncio.Task[Completion]] = []

        async def come_late() -> None:
            late.append(asyncio.create_task(engine.complete(ask("late"))))
            await asyncio.sleep(0)

        def broken(*_: object) -> None:
            asyncio.run_coroutine_threadsafe(come_late(), loop).result()
            monkeypatch.setattr(engine, "_decode", decode_batch)
            raise RuntimeError("the model broke")

        monkeypatch.setattr(engine, "_decode", broken)
        (first,) = await asyncio.gather(engine.complete(ask("first")), return_exceptions=True)
        return str(first), (await asyncio.wait_for(late[0], 60)).text

    first, late = asyncio.run(run())
    assert first == "the model broke"
    assert late == one_by_one(engine, [ask("late")])[0].text


def test_an_engine_goes_on_in_another_event_loop_after_the_first_was_closed(checkpoint: Path) -> None:
    engine = LocalEngine(checkpoint)
    loop = asyncio.new_event_loop()
    first = loop.run_until_complete(engine.complete(ask("hello")))
    loop.close()
    assert asyncio.run(asyncio.wait_for(engine.complete(ask("hello")), 60)) == first


def test_a_prompt_begins_with_exactly_one_begin_token(engine: LocalEngine, tmp_path: Path) -> None:
    begin = engine.tokenizer.convert_tokens_to_ids(BEGIN)
    assert engine.tokenizer("hello")["input_ids"].count(begin) == 1, "this tokenizer adds its own as well"
    assert encode_chat(engine.tokenizer, [{"role": "user", "content": "hello"}]).count(begin) == 1
    plain = LocalEngine(make_checkpoint(tmp_path / "base", chat_template=None))
    tokens = encode_chat(plain.tokenizer, [{"role": "system", "content": "be"}, {"role": "user", "content": "do"}])
    assert plain.tokenizer.decode(tokens) == BEGIN + "be\n\ndo\n\n"


def test_other_weights_have_another_identity_and_copies_the_same(checkpoint: Path, tmp_path: Path) -> None:
    again, other = make_checkpoint(tmp_path / "again"), make_checkpoint(tmp_path / "other", seed=1)
    assert fingerprint(str(checkpoint)) == fingerprint(str(again))
    assert fingerprint(str(checkpoint)) != fingerprint(str(other))


def test_identity_names_the_checkpoint_and_its_precision(checkpoint: Path) -> None:
    for dtype in ("float32", "bfloat16"):
        assert LocalEngine(checkpoint, dtype=dtype).identity.startswith(f"local:{checkpoint}:{dtype}:")
    assert LocalEngine(checkpoint).identity == LocalEngine(checkpoint, dtype="float32").identity


def test_no_checkpoint_is_said_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(FathomError, match="there is no folder"):
        LocalEngine(tmp_path / "nowhere")
    with pytest.raises(FathomError, match="not a checkpoint"):
        LocalEngine(tmp_path)


def test_a_batch_that_nobody_waits_for_is_stopped(engine: LocalEngine) -> None:
    steps: list[int] = []
    hook = engine.model.register_forward_hook(lambda *_: steps.append(1))

    async def run() -> Completion:
        tasks = [asyncio.create_task(engine.complete(ask("x" * n, max_tokens=4000))) for n in range(16)]
        while len(steps) < 20 and not all(task.done() for task in tasks):
            await asyncio.sleep(0.001)
        assert [task.cancel() for task in tasks].count(True) > 1
        return await engine.complete(ask("next", max_tokens=3))

    assert asyncio.run(run()).usage.completion_tokens == 3
    hook.remove()
    assert len(steps) < 2000


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)], ids=["run", "dry run"])
@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--device", "cuda:99", r"--device cuda:99: torch finds (no GPU|\d+ GPUs.*) here; expected auto, or cpu"),
        ("--device", "toaster", "--device toaster: expected auto, cpu, cuda"),
        ("--dtype", "float7", "--dtype float7: expected auto, float32, bfloat16"),
        ("--dtype", "int8", "--dtype int8: expected auto, float32, bfloat16"),
    ],
)
def test_a_device_or_precision_that_is_not_there_is_refused_in_one_line(
    option: str, value: str, said: str, dry_run: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "Task", "response_a": "yes", "response_b": "no"}\n')
    arguments = ["judge", str(tmp_path / "pairs.jsonl"), "--model", "mini", option, value, *dry_run]
    with pytest.raises(FathomError, match=said):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


@pytest.mark.parametrize(("device", "dtype"), [("cuda:99", "auto"), ("auto", "float7")])
def test_a_classifier_refuses_the_same(device: str, dtype: str, checkpoint: Path) -> None:
    with pytest.raises(FathomError, match="expected auto"):
        Scorer(checkpoint, device=device, dtype=dtype)
