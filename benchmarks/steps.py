"""The time to score steps, beside two loops of reference code: python benchmarks/steps.py

    python benchmarks/steps.py --runs 3         # about ten minutes on one core

500 solutions of 4 to 40 steps, ten to a problem, are scored by a small random model with two classes, on one thread:

- one forward pass per step on the whole prefix, without a cache, as RLHFlow's evaluator does;
- batches of eight solutions in the order of the file, padded to the longest;
- Fathom's local engine: one pass, sorted by length, the problem once for its solutions.

Time is CPU time. Rendering and tokenizing count for Fathom only. All scores are compared. Runs are paired, and the
order of the three alternates.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForTokenClassification, PreTrainedTokenizerFast

from fathom.engines import StepRequest
from fathom.engines.local import LocalEngine
from fathom.engines.steps import Rendered, render
from fathom.process.conventions import find

WORDS = 500
PROBLEM = (40, 120)
"""The range of words of a problem."""
STEP = (6, 30)
STEPS = (4, 40)
SOLUTIONS_OF_A_PROBLEM = 10
BATCH = 8
CONVENTION = find("token_classes").convention
Solution = tuple[str, tuple[str, ...]]
Scores = list[list[float]]


def checkpoint(folder: Path, seed: int) -> Path:
    words = {"<pad>": 0, "\n": 1} | {f"w{number}": number + 2 for number in range(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<pad>").save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        initializer_range=0.2,
        pad_token_id=0,
        num_labels=2,
    )
    LlamaForTokenClassification(config).save_pretrained(folder)
    return folder


def solutions(count: int, seed: int) -> list[Solution]:
    draw = random.Random(seed)

    def text(words: tuple[int, int]) -> str:
        return " ".join(f"w{draw.randrange(WORDS)}" for _ in range(draw.randint(*words)))

    problems = [text(PROBLEM) for _ in range(-(-count // SOLUTIONS_OF_A_PROBLEM))]
    return [
        (problems[number // SOLUTIONS_OF_A_PROBLEM], tuple(text(STEP) for _ in range(draw.randint(*STEPS))))
        for number in range(count)
    ]


@torch.inference_mode()
def one_pass_per_step(model: Any, rendered: Sequence[Rendered]) -> Scores:
    return [
        [model(torch.tensor([each.tokens[: at + 1]])).logits[0, -1].softmax(-1)[1].item() for at in each.positions]
        for each in rendered
    ]


@torch.inference_mode()
def padded(model: Any, rendered: Sequence[Rendered]) -> Scores:
    scores = []
    for start in range(0, len(rendered), BATCH):
        batch = rendered[start : start + BATCH]
        longest = max(len(each.tokens) for each in batch)
        gaps = [longest - len(each.tokens) for each in batch]
        ids = torch.tensor([[*each.tokens, *[0] * gap] for each, gap in zip(batch, gaps, strict=True)])
        mask = torch.tensor([[1] * (longest - gap) + [0] * gap for gap in gaps])
        probabilities = model(ids, attention_mask=mask).logits.softmax(-1)[..., 1]
        scores += [row[list(each.positions)].tolist() for row, each in zip(probabilities, batch, strict=True)]
    return scores


def by_fathom(engine: LocalEngine, found: Sequence[Solution]) -> Scores:
    async def all_of_them() -> Scores:
        requests = (
            StepRequest(({"role": "user", "content": problem},), "", steps, CONVENTION) for problem, steps in found
        )
        answers = await asyncio.gather(*map(engine.steps, requests))
        return [[score for score in each.scores if score is not None] for each in answers]

    return asyncio.run(all_of_them())


def timed(run: Callable[[], Scores]) -> tuple[float, Scores]:
    start = time.process_time()
    scores = run()
    return time.process_time() - start, scores


def largest_difference(one: Scores, other: Scores) -> float:
    pairs = zip(one, other, strict=True)
    return max(abs(a - b) for first, second in pairs for a, b in zip(first, second, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--solutions", type=int, default=500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    ratios: dict[str, list[float]] = {"one pass per step": [], "padded batches": []}
    for seed in range(given.runs):
        with tempfile.TemporaryDirectory() as folder:
            engine = LocalEngine(checkpoint(Path(folder), seed))
        found = solutions(given.solutions, seed)
        rendered = [render(engine.tokenizer, *each, CONVENTION) for each in found]
        ways: list[tuple[str, Callable[[], Scores]]] = [
            ("fathom", lambda engine=engine, found=found: by_fathom(engine, found)),
            ("padded batches", lambda engine=engine, rendered=rendered: padded(engine.model, rendered)),
            ("one pass per step", lambda engine=engine, rendered=rendered: one_pass_per_step(engine.model, rendered)),
        ]
        by_fathom(engine, found[:20])  # the first forward pass of a process is slower
        seconds, scores = {}, {}
        for name, run in ways if seed % 2 == 0 else ways[::-1]:
            seconds[name], scores[name] = timed(run)
        for name, values in ratios.items():
            values.append(seconds[name] / seconds["fathom"])
            apart = largest_difference(scores[name], scores["fathom"])
            both = f"{name} {seconds[name]:.1f} s, fathom {seconds['fathom']:.1f} s"
            print(f"seed {seed}: {both}, scores within {apart:.1e}")
    for name, values in ratios.items():
        print(f"{name}: {median(values):.2f} times the CPU time of fathom ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
