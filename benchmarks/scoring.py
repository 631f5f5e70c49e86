"""Scores and one-token judgments of the local engine, against plain loops over the same model, in CPU seconds.

    python benchmarks/scoring.py pairs --pairs 2000          # a small classifier against RewardBench's loop
    python benchmarks/scoring.py judgments --prompts 48      # SmolLM2-135M against a length-sorted forward pass

`pairs`: the responses of a pair have a common prompt, and lengths are log-normal. The other side is the loop of
RewardBench's `run_rm.py`, rebuilt: batches of 8 texts in the order of the file, padded to the longest, chosen and
rejected responses separately. Both sides tokenize, and their scores must agree to 1e-4.

`judgments`: prompts of 64 to 512 tokens, each answered with one token and its log-probability. The other side sorts the
prompts by length and applies the output layer to the last position only.

Runs of both sides alternate. Take the ratios, not the figures: they hold for one machine, and one thread of it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from fathom.engines import ClassifyRequest, Request, Sampling
from fathom.engines.chat import encode_chat, encode_conversation
from fathom.engines.checkpoints import resolve
from fathom.engines.loading import fastest_dtype
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError

Turns = list[dict[str, str]]
MEDIAN, SPREAD, LONGEST = 90, 1.0, 700
"""Words of a response: log-normal with this median and this standard deviation of the logarithm, cut at LONGEST."""
BATCH = 8
"""Texts in a batch of RewardBench's loop."""


def classifier(folder: Path) -> str:
    """A small classifier with random weights and the tokenizer of the shipped model."""
    tokenizer = AutoTokenizer.from_pretrained(resolve("mini"))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=4096,
        pad_token_id=tokenizer.pad_token_id,
        num_labels=1,
    )
    LlamaForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


def texts(pairs: int, words: Sequence[str]) -> list[list[Turns]]:
    """The conversations with the chosen response, and those with the rejected one."""
    draw = random.Random(0)

    def written(median: float) -> str:
        length = min(LONGEST, max(1, round(draw.lognormvariate(0, SPREAD) * median)))
        return " ".join(draw.choices(words, k=length))

    prompts = [written(MEDIAN / 3) for _ in range(pairs)]
    return [
        [[{"role": "user", "content": text}, {"role": "assistant", "content": written(MEDIAN)}] for text in prompts]
        for _ in range(2)
    ]


def rewardbench(model: Any, tokenizer: Any, sides: list[list[Turns]]) -> list[float]:
    scores = []
    for side in sides:
        for start in range(0, len(side), BATCH):
            ids = [{"input_ids": encode_conversation(tokenizer, turns)} for turns in side[start : start + BATCH]]
            with torch.inference_mode():
                scores += model(**tokenizer.pad(ids, padding_side="right", return_tensors="pt")).logits[:, 0].tolist()
    return scores


def ours(engine: LocalEngine, sides: list[list[Turns]]) -> list[float]:
    async def scored() -> list[float]:
        requests = [ClassifyRequest(tuple(turns[:1]), turns[1]["content"]) for side in sides for turns in side]  # type: ignore[arg-type]
        return [result.logits[0] for result in await asyncio.gather(*map(engine.classify, requests))]

    return asyncio.run(scored())


def plain_judgments(model: Any, tokenizer: Any, prompts: list[Any], max_tokens: int) -> list[float]:
    """The log-probability of the likeliest next token after each prompt."""
    encoded = [encode_chat(tokenizer, prompt) for prompt in prompts]
    likeliest = [0.0] * len(prompts)
    for places in batches(sorted(range(len(prompts)), key=lambda place: len(encoded[place])), encoded, max_tokens):
        ids = [{"input_ids": encoded[place]} for place in places]
        with torch.inference_mode():
            padded = tokenizer.pad(ids, padding_side="left", return_tensors="pt")
            logits = model(**padded, logits_to_keep=1, use_cache=False).logits[:, -1].float()
        for place, value in zip(places, logits.log_softmax(-1).max(-1).values.tolist(), strict=True):
            likeliest[place] = value
    return likeliest


def batches(places: list[int], encoded: list[list[int]], max_tokens: int) -> list[list[int]]:
    found: list[list[int]] = [[]]
    for place in places:
        if found[-1] and (len(found[-1]) + 1) * len(encoded[place]) > max_tokens:
            found.append([])
        found[-1].append(place)
    return found


def our_judgments(engine: LocalEngine, prompts: list[Any]) -> list[float]:
    sampling = Sampling(max_tokens=1, top_logprobs=20)

    async def answered() -> list[float]:
        completions = await asyncio.gather(*(engine.complete(Request(prompt, sampling)) for prompt in prompts))
        return [completion.logprobs[0].top[0][1] for completion in completions if completion.logprobs]

    return asyncio.run(answered())


def timed(run: Callable[[], list[float]]) -> tuple[float, list[float]]:
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def compare(names: tuple[str, str], sides: tuple[Callable[[], list[float]], ...], runs: int, work: float) -> None:
    """Print the rate of both sides in each run, and the median ratio of the first to the second."""
    ratios, apart = [], 0.0
    for number in range(runs):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        results = {side: timed(sides[side]) for side in order}
        rates = [work / results[side][0] for side in (0, 1)]
        ratios.append(rates[0] / rates[1])
        apart = max(abs(one - other) for one, other in zip(results[0][1], results[1][1], strict=True))
        print(
            f"run {number + 1}: {names[0]} {rates[0]:.1f}, {names[1]} {rates[1]:.1f}, ratio {ratios[-1]:.2f}",
            flush=True,
        )
    spread = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
    print(f"median ratio {spread}; largest difference {apart:.1e}")


def pairs(count: int, runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = classifier(Path(folder))
        tokenizer, engine = AutoTokenizer.from_pretrained(path), LocalEngine(path)
        model = AutoModelForSequenceClassification.from_pretrained(path).eval()
        words = [word.strip("Ġ") for word in tokenizer.get_vocab() if word.strip("Ġ").isalpha()]
        sides = texts(count, words)
        print(f"{count} pairs, pairs per CPU second")
        both = (lambda: ours(engine, sides), lambda: rewardbench(model, tokenizer, sides))
        compare(("Fathom", "RewardBench's loop"), both, runs, count)


def judgments(count: int, runs: int) -> None:
    path, dtype = resolve("smollm2"), fastest_dtype("cpu")
    tokenizer, engine = AutoTokenizer.from_pretrained(path), LocalEngine(path, dtype=dtype)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype).eval()
    draw = random.Random(0)
    words = [word for word in tokenizer.get_vocab() if word.isalpha()]
    contents = [" ".join(draw.choices(words, k=draw.randint(20, 200))) for _ in range(count)]
    prompts: list[Any] = [({"role": "user", "content": content},) for content in contents]
    tokens = sum(len(encode_chat(tokenizer, prompt)) for prompt in prompts)
    print(f"{count} prompts, {tokens} tokens, {dtype}, prompt tokens per CPU second")
    both = (lambda: our_judgments(engine, prompts), lambda: plain_judgments(model, tokenizer, prompts, 2**11))
    compare(("Fathom", "length-sorted forward"), both, runs, tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["pairs", "judgments"])
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        pairs(given.pairs, given.runs) if given.part == "pairs" else judgments(given.prompts, given.runs)
    except FathomError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
