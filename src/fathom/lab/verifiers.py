"""Trains verifiers of sums from random weights, with and without truncated negatives, and measures what they accept.

    run("truncated", seed=0, settings=Settings(), out=folder)              # folder/truncated.jsonl

Data, training and judging are the library's own; `fathom.lab.reproductions.master_keys` says what comes of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.engines import Sampling
from fathom.engines.local import LocalEngine
from fathom.judges import Verdict, degenerate, judge_all
from fathom.judges.verifier import VerifierJudge
from fathom.lab import arms, sums
from fathom.probes.keys import keys
from fathom.synth import verifying
from fathom.train import recipes, sft
from fathom.train.recipe import SFTRecipe, load

Arm = Literal["plain", "truncated", "truncated, none short"]
ARMS: tuple[Arm, ...] = get_args(Arm)
"""Solutions alone; with truncated negatives; the same, but no solution is next to nothing but the answer."""
RECIPE = "mini_verifier_sft"
TRUTHS: Mapping[str, bool] = {
    "ordinary, right": True,
    "ordinary, wrong": False,
    "long and wrong": False,
    "short and right": True,
}
"""Whether the responses of a set are correct. Those of all other sets, the keys, are not."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The size of the experiment. Training settings are in the recipe `mini_verifier_sft`."""

    questions: int = 8000
    """Training questions, each with a right and a wrong solution."""
    brief: float = 0.2
    """Share of training solutions that consist of little more than the answer."""
    truncated: float = verifying.TRUNCATED
    held_out: int = 300
    """Questions whose solutions are verified, and questions of each control."""
    questions_a_key: int = 15
    """Questions that each key is tried on."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One response: its set, whether the verifier says YES (None if unparsed), and whether the guard refuses it."""

    set: str
    yes: bool | None
    refused: bool

    @property
    def wrong(self) -> float:
        """1 if the verifier is wrong. An unparsed text accepts nothing, and counts as an error on correct responses."""
        truth = TRUTHS.get(self.set, False)
        return float(self.yes is not True) if truth else float(self.yes is True)


def recipe_used() -> Any:
    return yaml.safe_load(recipes.path(RECIPE).read_text("utf-8"))


def run(arm: Arm, seed: int, settings: Settings, out: Path) -> None:
    """Train one verifier, and write its measurements to `out/ARM.jsonl` unless that exists."""
    arms.use_one_thread()
    measured, folder = out / f"{arm}.jsonl", out / arm
    if measured.exists():
        return
    data = _data(arm, seed, settings, folder)
    sums.untrained(seed).save_pretrained(folder / "untrained")
    sums.tokenizer().save_pretrained(folder / "untrained")
    overrides = [f"model={folder / 'untrained'}", f"data={data}", f"output={folder / 'model'}", f"seed={seed}"]
    model = sft.train(load(recipes.path(RECIPE), SFTRecipe, overrides))
    write_jsonl(measured, map(asdict, measure(model, seed, settings)))


def _data(arm: Arm, seed: int, settings: Settings, folder: Path) -> Path:
    write = sums.solution if arm == "truncated, none short" else sums.mixed(settings.brief)
    comparisons = sums.comparisons(settings.questions, seed=seed, prefix="training", write=write)
    truncated = 0.0 if arm == "plain" else settings.truncated
    write_jsonl(folder / "verifier.jsonl", verifying.examples(comparisons, truncated=truncated, seed=seed))
    return folder / "verifier.jsonl"


def measure(model: Path, seed: int, settings: Settings) -> list[Measured]:
    """Verify the seed's responses, which are the same for both arms. The guard is off, and its decision is recorded."""
    asked = list(responses(seed, settings))
    sampling = Sampling(max_tokens=4, seed=seed)
    judge = VerifierJudge(engine=LocalEngine(model), sampling=sampling, trained=True, guard="ask")

    async def judged() -> list[Verdict]:
        return [verdict async for _, verdict in judge_all(judge, (each for _, each in asked), concurrency=256)]

    return [_measured(name, each, verdict) for (name, each), verdict in zip(asked, asyncio.run(judged()), strict=True)]


def responses(seed: int, settings: Settings) -> Iterator[tuple[str, Comparison]]:
    """Single responses to held-out questions, each with the name of its set."""
    wanted = {sums.solution: ("ordinary, right", "ordinary, wrong"), sums.fluent: (None, "long and wrong")}
    for write, names in {**wanted, sums.bare: ("short and right", None)}.items():
        for each in sums.comparisons(settings.held_out, seed=seed, prefix="held-out", write=write):
            yield from ((name, each.subset((place,))) for place, name in enumerate(names) if name)
    for each in sums.comparisons(settings.questions_a_key, seed=seed, prefix="keys"):
        for kind, texts in keys().items():
            yield from ((kind, each.subset((0,)).model_copy(update={"responses": (key,)})) for key in texts)


def _measured(name: str, comparison: Comparison, verdict: Verdict) -> Measured:
    refused = degenerate(comparison.responses[0], comparison.reference) is not None
    return Measured(name, None if verdict.scores is None else verdict.scores[0] == 1, refused)


def read_measured(path: Path) -> list[Measured]:
    return [Measured(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
