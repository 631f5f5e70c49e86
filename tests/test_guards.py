"""Numbers that are probably not the ones that were meant come with a warning that names the setting to change."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

import vllm_standin
from fathom.engines import ChatMessage, ClassifyRequest, EngineError, LikelihoodRequest, SlotRequest, answer
from fathom.engines.guards import Guards, spread
from fathom.engines.local import LocalEngine
from fathom.engines.masked import MaskedLMEngine
from fathom.engines.reading_server import ReadingServer
from fathom.engines.vllm import VLLMEngine
from fathom.errors import FathomError
from scoring_server import Scoring
from serving import serving
from tiny import make_checkpoint, make_classifier, make_masked

USER: ChatMessage = {"role": "user", "content": "a question"}
REQUESTS = [ClassifyRequest((USER,), "word " * (1 + k)) for k in range(24)]


def answered(engine: Any, requests: Sequence[Any]) -> list[Any]:
    async def run() -> list[Any]:
        return await asyncio.gather(*(answer(engine, each) for each in requests))

    return asyncio.run(run())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "fathom.engines.guards"]


@pytest.fixture(autouse=True)
def _captured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)


def test_a_sound_model_gives_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    answered(LocalEngine(make_classifier(tmp_path)), REQUESTS)
    assert warnings(caplog) == []


def test_a_template_that_doubles_the_begin_token_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_checkpoint(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    tokenizer.save_pretrained(folder)
    answered(LocalEngine(folder), [LikelihoodRequest((USER,), "a" * k) for k in range(1, 4)])
    [warning] = warnings(caplog)
    assert "two begin tokens" in warning
    assert "chat_template.jinja" in warning


def test_a_padding_token_that_ends_texts_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_classifier(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["pad_token_id"] = AutoTokenizer.from_pretrained(folder).eos_token_id
    (folder / "config.json").write_text(json.dumps(config))
    answered(LocalEngine(folder), REQUESTS[:3])
    [warning] = warnings(caplog)
    assert "pad_token_id in config.json" in warning


@pytest.mark.parametrize("engine", ["sglang_classify", "vllm_logprobs", "vllm"])
def test_a_doubled_begin_token_is_named_too_if_a_server_or_vllm_reads_the_tokens(
    engine: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_classifier(tmp_path) if engine == "sglang_classify" else make_checkpoint(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    template = tokenizer.chat_template
    request = (ClassifyRequest if engine == "sglang_classify" else LikelihoodRequest)((USER,), "an answer")

    async def run() -> None:
        async with serving(Scoring(folder)) as server:
            reader: Any = ReadingServer("m", base_url=server.url, protocol=engine, tokenizer=folder)
            await answer(reader, request)
            await reader.close()

    def read() -> list[str]:
        if engine == "vllm":
            for name in ("vllm", "vllm.sampling_params"):
                monkeypatch.setitem(sys.modules, name, vllm_standin)
            answered(VLLMEngine(folder), [request])
        else:
            asyncio.run(run())
        return warnings(caplog)

    assert read() == []
    tokenizer.chat_template = "{{ bos_token }}" + template
    tokenizer.save_pretrained(folder)
    [warning] = read()
    assert "two begin tokens" in warning


@pytest.mark.parametrize("part", [0.05, 0.001])
def test_a_dependence_on_the_batch_is_found_in_units_of_the_spread(
    part: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = LocalEngine(make_classifier(tmp_path))
    scores = torch.tensor([each.logits[0] for each in answered(engine, REQUESTS)])
    other = LocalEngine(tmp_path)
    change = part * scores.std(correction=0)
    # The head is given all rows of a batch: a fault that depends on their number.
    other.model.score.register_forward_hook(lambda _layer, given, output: output + change * (len(given[0]) > 1))
    answered(other, REQUESTS)
    found = warnings(caplog)
    assert len(found) == (part > 0.02)
    if found:
        assert "scores depend on the batch" in found[0]
        assert "--dtype float32" in found[0]


def test_a_dependence_of_likelihoods_on_the_batch_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    requests = [LikelihoodRequest((USER,), "word " * (1 + k)) for k in range(24)]
    answered(LocalEngine(make_checkpoint(tmp_path)), requests)
    assert warnings(caplog) == []
    engine = LocalEngine(tmp_path)
    # A fault of the last layer that depends on how many rows a batch has.
    engine.model.model.norm.register_forward_hook(lambda _layer, _given, states: states * (1 + (len(states) > 1)))
    answered(engine, requests)
    [warning] = warnings(caplog)
    assert "scores depend on the batch" in warning


def test_scores_that_are_not_finite_are_left_out_of_the_comparison_of_batches(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guards, nan, inf = Guards("m"), float("nan"), float("inf")
    assert spread([1.0, nan, 3.0, -inf]) == 1.0
    guards.batch([nan, -inf, 2.0], [1.0, -inf, 2.0], spread([nan, -inf]))
    assert warnings(caplog) == []
    guards.batch([nan, 1.0], [nan, 2.0], 1.0)
    [warning] = warnings(caplog)
    assert "the largest difference of 1 scores is 1," in warning


def test_outputs_that_all_saturate_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_classifier(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["score.weight"] *= 1000
    save_file(weights, folder / "model.safetensors", {"format": "pt"})

    async def run() -> None:
        async with serving(Scoring(folder, "sigmoid")) as server:
            engine = ReadingServer("m", base_url=server.url)
            await asyncio.gather(*map(engine.classify, REQUESTS))
            await engine.close()

    asyncio.run(run())
    [warning] = warnings(caplog)
    assert "check use_activation" in warning


@pytest.mark.parametrize(
    ("outputs", "warned"),
    [
        ([1.0] * 12, True),
        ([0.0, 1e-5, 0.0, 0.0], True),
        ([1.0] * 3, False),
        ([0.0, 1.0, 0.0, 1.0], False),  # a few outputs may be so by chance
        ([0.5] * 12, False),
    ],
)
def test_a_short_run_of_saturated_outputs_is_named_at_its_end(
    outputs: list[float], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    guards = Guards("m")
    for output in outputs:
        guards.saturation([output])
    assert warnings(caplog) == []
    guards.closed()
    assert ["0 or 1" in each for each in warnings(caplog)] == [True] * warned


def test_closing_a_server_ends_its_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_classifier(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["score.weight"].zero_()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})

    async def run() -> None:
        async with serving(Scoring(folder)) as server:
            engine = ReadingServer("m", base_url=server.url)
            await asyncio.gather(*map(engine.classify, REQUESTS[:5]))
            await engine.close()

    asyncio.run(run())
    [warning] = warnings(caplog)
    assert "all 5 outputs are 0 or 1" in warning


def test_an_output_layer_that_is_in_no_file_is_refused(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(FathomError, match=r"no weights of the output layer \(lm_head\.weight\)"):
        LocalEngine(folder)


def test_a_head_that_is_in_no_file_is_refused(tmp_path: Path) -> None:
    folder = make_classifier(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(FathomError, match=r"is not a trained classifier: it has no score\.weight"):
        LocalEngine(folder)


def test_a_tokenizer_of_another_vocabulary_is_refused_for_every_text_that_shows_it(tmp_path: Path) -> None:
    folder = make_classifier(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(folder)
    engine = LocalEngine(folder)

    async def run() -> list[Any]:
        requests = [ClassifyRequest((USER,), text) for text in ("a horse", "a zebra")]
        return await asyncio.gather(*map(engine.classify, requests), return_exceptions=True)

    fine, refused = asyncio.run(run())
    assert fine.logits
    assert "the tokenizer's files belong to another model" in str(refused)


def test_a_masked_model_refuses_tokens_of_another_vocabulary(tmp_path: Path) -> None:
    folder = make_masked(tmp_path, ["it", "is", "good", "bad"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(folder)
    engine = MaskedLMEngine(folder, device="cpu")

    async def run() -> list[Any]:
        asked = [("it is", "good"), ("zebra is", "good"), ("it is", "zebra")]
        requests = [SlotRequest((), text, ("bad", word)) for text, word in asked]
        return await asyncio.gather(*map(engine.slot, requests), return_exceptions=True)

    fine, *refused = asyncio.run(run())
    assert len(fine.logprobs) == 2
    for error in refused:
        assert isinstance(error, EngineError)
        assert "the tokenizer's files belong to another model" in str(error)
