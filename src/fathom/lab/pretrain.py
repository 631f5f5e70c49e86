"""Makes the small base model: `python -m fathom.lab.pretrain DIR` (about 12 minutes of one core).

The base model must be able both to judge principles and to solve, before training can choose between them. A model
trained on rationales only learns to end a solution at one of the two given answers, which is a rationalization. So
there are four kinds of texts:

- exercises: the task without responses, and its solution;
- kinship: a comparison and a question about the verb of its task, answered by other verbs of the topic;
- comparisons whose prompt names a style, with a rationale of that style;
- comparisons with the plain prompt, with a rationale of a style drawn at random, whatever the verb.

Kinship is asked in the frame of a comparison, so that the model learns to attend to the verb when it begins to judge.
Asked in a text of its own, it carried over less to judging. No label is used, and no text says which domain or style a
topic has: that is left to fine-tuning and RLVR. The verdict of every rationale follows from its own text, right or
wrong. No expression has a step with held-out operands.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch.nn.functional import cross_entropy

from fathom.judges.mix import MixJudge
from fathom.lab import base, world
from fathom.rationale import Rationale, render
from fathom.results.provenance import provenance, write_json

IGNORED = -100
STYLES: tuple[world.Style, ...] = ("vanilla", "breadth", "depth", "depth")
"""Depth occurs twice: its texts are a third as long as those of breadth, and its arithmetic is hardest to learn."""

Text = tuple[str, str]
"""A prompt and its completion."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    steps: int = 1500
    rationales: int = 48
    """Rationales per batch."""
    exercises: int = 96
    """Exercises per batch; they are short."""
    kinship: int = 32
    """Questions about kin per batch."""
    learning_rate: float = 2e-3
    warm_up: int = 200
    seed: int = 0


def exercises(rng: random.Random) -> Iterator[Text]:
    for item in _items(rng):
        yield f"{item.verb} {item.expression}", "\n".join(item.expression.steps)


def kinship(rng: random.Random) -> Iterator[Text]:
    """A comparison, and three verbs of the topic of its verb."""
    for item in _items(rng):
        yield base.kinship_prompt(item.comparison), " ".join(rng.sample(world.kin(item.verb), 3))


def rationales(rng: random.Random) -> Iterator[Text]:
    for item in _items(rng):
        style = rng.choice(STYLES)
        judge = MixJudge(style=rng.choice((style, "mix")), trained=True)
        yield judge.ask(item.comparison)[0]["content"], render(_written(item, style, rng))


def _written(item: world.Item, style: world.Style, rng: random.Random) -> Rationale:
    if style == "vanilla":
        return world.at_sight(item, world.noticed(None, rng))
    return world.rationale(item, style, rng)


def _items(rng: random.Random) -> Iterator[world.Item]:
    for block in count():
        yield from world.items(256, seed=rng.getrandbits(32), prefix=f"pretraining-{block}")


def pretrain(settings: Settings, out: Path) -> None:
    """Train from random weights, and save the checkpoint, its tokenizer and `pretraining.json` in `out`."""
    words, model = base.tokenizer(), base.untrained(settings.seed)
    fit(model, words, settings)
    model.save_pretrained(out)
    words.save_pretrained(out)
    write_json(out / "fathom.json", {"name": "mix", "style": "mix", "trained": True})
    write_json(out / "pretraining.json", provenance(asdict(settings), ()))


def fit(model: Any, words: Any, settings: Settings) -> None:
    """Train `model`, whose tokenizer `words` has a chat template, in place on texts of the small world."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings))
    rng = random.Random(settings.seed)
    kinds = (
        (exercises(rng), settings.exercises),
        (kinship(rng), settings.kinship),
        (rationales(rng), settings.rationales),
    )
    for _ in track(range(settings.steps), "pre-training"):
        texts = [text for kind, number in kinds for text in islice(kind, number)]
        _backward(model, [_encode(words, text) for text in texts], words.pad_token_id)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


def _rate(step: int, settings: Settings) -> float:
    """Linear warm-up, then a cosine down to 2 % of the learning rate."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    return min((step + 1) / settings.warm_up, 0.98 * cosine + 0.02)


def _encode(words: Any, text: Text) -> tuple[list[int], list[int]]:
    """Token ids and labels; the prompt is excluded from the loss."""
    chat = [{"role": "user", "content": text[0]}]
    prompt = words.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    completion = [*words.encode(text[1], add_special_tokens=False), words.eos_token_id]
    return prompt + completion, [IGNORED] * len(prompt) + completion


def _backward(model: Any, rows: list[tuple[list[int], list[int]]], pad: int) -> None:
    """Accumulate the gradient of the mean token loss, in micro-batches of similar length to save padding."""
    tokens = sum(label != IGNORED for _, labels in rows for label in labels)
    rows = sorted(rows, key=lambda row: len(row[0]))
    for micro in _cut(rows):
        longest = len(micro[-1][0])
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row, _ in micro])
        labels = torch.tensor([row + [IGNORED] * (longest - len(row)) for _, row in micro])[:, 1:]
        counted = labels != IGNORED
        logits = model(input_ids=ids).logits[:, :-1][counted]
        loss = cross_entropy(logits, labels[counted], reduction="sum") / tokens
        loss.backward()  # type: ignore[no-untyped-call]


def _cut(rows: list[Any]) -> Iterable[list[Any]]:
    """Split rows, sorted by length, where the length increases by more than a quarter."""
    start = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or len(rows[end][0]) > 1.25 * len(rows[start][0]):
            yield rows[start:end]
            start = end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    settings = vars(parser.parse_args())
    pretrain(Settings(**{name: value for name, value in settings.items() if name != "out"}), settings["out"])


if __name__ == "__main__":
    main()
