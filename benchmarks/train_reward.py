"""The tokens a second of `fathom train reward` beside TRL's RewardTrainer: python benchmarks/train_reward.py

    python benchmarks/train_reward.py --runs 5 --steps 20       # about an hour on one core
    python benchmarks/train_reward.py --runs 3 --steps 3        # about six minutes

Both train the same model, of 10 million parameters, on the same 2,000 pairs of random tokens, with one thread and TRL's
batch of 8 pairs. Lengths are log-normal from 32 to 1,024 tokens, independent within a pair. TRL draws pairs at random;
Fathom sorts them by length within pools of 50 batches. Padding is not counted as tokens. Runs are paired: each has a
seed of its own, used by both, and the order of the two alternates. Time is CPU time of `Trainer.train`. Besides, both
are given the same batches, and their losses are compared.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from math import exp
from pathlib import Path
from statistics import median
from typing import Any

import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast, PrinterCallback
from trl import RewardConfig, RewardTrainer

from fathom.train.batches import by_length
from fathom.train.recipe import RewardRecipe
from fathom.train.scalar_trainer import ScalarTrainer

SHORTEST, LONGEST, VOCABULARY, BATCH = 32, 1024, 1024, 8
MEDIAN, SPREAD = (SHORTEST * LONGEST) ** 0.5, 0.866  # the bounds are two standard deviations from the median
SLICE = 64
"""Pairs of the comparison of losses."""

Pair = tuple[list[int], list[int]]


def pairs(count: int, seed: int) -> list[Pair]:
    rng = random.Random(seed)

    def text() -> list[int]:
        length = min(LONGEST, max(SHORTEST, round(MEDIAN * exp(SPREAD * rng.gauss(0, 1)))))
        return [rng.randrange(1, VOCABULARY) for _ in range(length)]

    return [(text(), text()) for _ in range(count)]


def model(seed: int) -> Any:
    torch.manual_seed(seed)
    return LlamaForSequenceClassification(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=320,
            intermediate_size=864,
            num_hidden_layers=8,
            num_attention_heads=5,
            num_key_value_heads=5,
            max_position_embeddings=LONGEST,
            pad_token_id=0,
            num_labels=1,
        )
    )


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models

    words = {"<pad>": 0} | {str(number): number for number in range(1, VOCABULARY)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="1")), pad_token="<pad>", eos_token="1"
    )


def settings(folder: Path, steps: int, seed: int, **changes: Any) -> Any:
    return RewardConfig(
        output_dir=str(folder),
        max_steps=steps,
        seed=seed,
        per_device_train_batch_size=BATCH,
        learning_rate=1e-4,
        max_length=None,
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        report_to="none",
        disable_tqdm=True,
        logging_steps=1,
        save_strategy="no",
        **changes,
    )


def trls(data: list[Pair], folder: Path, steps: int, seed: int, **changes: Any) -> Any:
    return RewardTrainer(
        model=model(seed),
        args=settings(folder, steps, seed, **changes),
        train_dataset=Dataset.from_list([{"chosen_ids": better, "rejected_ids": worse} for better, worse in data]),
        processing_class=tokenizer(),
    )


def fathoms(data: list[Pair], folder: Path, steps: int, seed: int) -> Any:
    rows = [{"texts": list(pair), "pairs": [[0, 1, 1.0]], "order": [], "places": 0, "values": []} for pair in data]
    return ScalarTrainer(
        recipe=RewardRecipe(model="-", data="-", output="-", seed=seed),
        model=model(seed),
        args=settings(folder, steps, seed, remove_unused_columns=False),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer(),
    )


def tokens_a_second(trainer: Any) -> float:
    """Over the steps of training; both trainers count the tokens of their batches without padding."""
    trainer.remove_callback(PrinterCallback)
    begun = time.process_time()
    trainer.train()
    counted = [entry["num_tokens"] for entry in trainer.state.log_history if "num_tokens" in entry]
    return float(counted[-1] / (time.process_time() - begun))


def losses(trainer: Any) -> list[float]:
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def largest_difference(folder: Path, steps: int) -> float:
    """The largest relative difference between the losses of both, on the same batches of short texts."""
    data = [pair for pair in pairs(2000, 0) if max(map(len, pair)) < 128][:SLICE]
    order = by_length([max(map(len, pair)) for pair in data], batch_size=BATCH, pool=50, seed=0, epoch=0)
    theirs = losses(trls([data[place] for place in order], folder, steps, 0, train_sampling_strategy="sequential"))
    ours = losses(fathoms(data, folder, steps, 0))
    return max(abs(a - b) / a for a, b in zip(theirs, ours, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        print(f"parameters: {sum(each.numel() for each in model(0).parameters()) / 1e6:.1f} million")
        print(f"losses on the same batches: largest relative difference {largest_difference(Path(folder), 4):.1e}")
        ratios = []
        for seed in range(chosen.runs):
            data = pairs(2000, seed)
            makers = {"fathom": fathoms, "TRL": trls}
            rates = {}
            for name in sorted(makers, reverse=bool(seed % 2)):
                rates[name] = tokens_a_second(makers[name](data, Path(folder), chosen.steps, seed))
            ratios.append(rates["fathom"] / rates["TRL"])
            shown = ", ".join(f"{name} {rate:.0f}" for name, rate in sorted(rates.items()))
            print(f"seed {seed}: tokens a CPU second: {shown}; ratio {ratios[-1]:.2f}", flush=True)
        print(f"ratio: median {median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}; expected at least 1.25")


if __name__ == "__main__":
    main()
