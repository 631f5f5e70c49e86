"""Completions per second of `LocalEngine`, and of `model.generate` on the same prompts in one batch.

    python benchmarks/local_engine.py --rows 64 128 256 --samples 1 8

The model is the small world's, with random weights, so almost every row runs to --max-tokens: both sides compute the
same number of tokens. Take the ratios, not the figures: they hold for one machine, and one thread of it.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fathom.engines import Request, Sampling
from fathom.engines.chat import encode_chat
from fathom.engines.local import LocalEngine
from fathom.judges.mix import MixJudge
from fathom.lab import base, world


def requests(rows: int, samples: int, max_tokens: int) -> list[Request]:
    judge = MixJudge(trained=True)
    prompts = [tuple(judge.ask(item.comparison)) for item in world.items(rows // samples, seed=0)]
    sampling = Sampling(temperature=1.0, max_tokens=max_tokens)
    return [Request(prompt, sampling, sample) for prompt in prompts for sample in range(samples)]


def ours(engine: LocalEngine, asked: list[Request]) -> float:
    async def run() -> int:
        completions = await asyncio.gather(*map(engine.complete, asked))
        return sum(completion.usage.completion_tokens for completion in completions)

    start = time.perf_counter()
    tokens = asyncio.run(run())
    return tokens / (time.perf_counter() - start)


def theirs(path: str, asked: list[Request]) -> float:
    """Tokens per second of `generate`; rows that end early are counted to their end, as on the other side."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
    sampling = asked[0].sampling
    start = time.perf_counter()
    prompts = [{"input_ids": encode_chat(tokenizer, request.messages)} for request in asked]
    batch = tokenizer.pad(prompts, padding_side="left", return_tensors="pt")
    output = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        do_sample=True,
        temperature=sampling.temperature,
        max_new_tokens=sampling.max_tokens,
    )
    seconds = time.perf_counter() - start
    written = output[:, batch["input_ids"].shape[1] :]
    return int((written != tokenizer.pad_token_id).sum()) / seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--max-tokens", type=int, default=130)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as path:
        base.tokenizer().save_pretrained(path)
        base.untrained(seed=0).save_pretrained(path)
        engine = LocalEngine(path, max_batch=max(arguments.rows))
        print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {arguments.max_tokens} tokens a row")
        print("rows  samples  completions/s  tokens/s  generate tokens/s  ratio")
        for rows in arguments.rows:
            for samples in arguments.samples:
                asked = requests(rows, samples, arguments.max_tokens)
                mine, other = ours(engine, asked), theirs(path, asked)
                rate = mine / arguments.max_tokens
                print(f"{rows:4}  {samples:7}  {rate:13.1f}  {mine:8.0f}  {other:17.0f}  {mine / other:5.2f}")


if __name__ == "__main__":
    main()
