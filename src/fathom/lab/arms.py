"""Trains and measures the arms that the paper compares, in the small world.

An arm is a training set for fine-tuning: vanilla rationales (`base`), breadth for all, depth for all, or breadth for
preference and depth for correctness (`mix`). Fine-tuning, RLVR and a third set of measurements have verbs of their own
(`world.split`). Synthesis, training and judging use the library's own code, as for a model of any size.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from fathom import synth
from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison, Domain, Label
from fathom.engines import Sampling
from fathom.engines.local import LocalEngine
from fathom.judges import Judge, Verdict
from fathom.judges.mix import MixJudge
from fathom.lab import reinforcement, world
from fathom.lab.teacher import Teacher
from fathom.train import recipes, sft
from fathom.train.recipe import RLVRRecipe, SFTRecipe, load

Arm = Literal["base", "breadth", "depth", "mix", "breadth_16", "mix_16", "mix_random"]
Stage = Literal["sft", "rlvr"]

ARMS: tuple[Arm, ...] = get_args(Arm)
STAGES: tuple[Stage, ...] = ("sft", "rlvr")
DOMAINS: tuple[Domain, ...] = get_args(Domain)
RATIONALES: Mapping[Arm, synth.Arm] = {
    "base": "vanilla",
    "breadth": "breadth",
    "depth": "depth",
    "mix": "mix",
    "breadth_16": "breadth",
    "mix_16": "mix",
    "mix_random": "mix",
}
"""The arm of `fathom synth` that makes each arm's rationales."""
MANY: frozenset[Arm] = frozenset({"breadth_16", "mix_16"})
"""Arms whose rationales are merged from `Settings.many_samples` samples. They are fine-tuned only."""
RANDOM: Arm = "mix_random"
"""A control: the mix, with labels in RLVR that are drawn at random, so that its rewards say nothing about structure.

It repeats the SFT of the mix, because arms run side by side and wait for no other.
"""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The size of the experiment. Training settings are in the recipes `mini_sft` and `mini_rlvr`."""

    fine_tuning: int = 1600
    """Number of comparisons for synthesis."""
    samples: int = 2
    """Vanilla rationales per comparison, as in the paper."""
    many_samples: int = 16
    """The same in the arms `MANY`. Sixteen rationales of three principles each almost always cover all seven."""
    mistagged: float = 0.1
    """Share of the synthesis comparisons with a wrong domain, as if a classifier of prompts had assigned it."""
    held_out: int = 1800
    """Number of held-out comparisons, a third for each set of verbs, half of each domain."""
    temperature: float = 0.0
    """Temperature of the measured judgments: greedy, the default of `fathom judge`."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of one judgment of a held-out item. An unparsed verdict is not `accurate`."""

    id: str
    domain: Domain
    verb: str
    verbs: world.Part
    """The first stage of training that shows the verb."""
    kin: bool
    """Whether SFT shows a verb of the same topic."""
    accurate: bool
    readable: bool
    structure: str | None
    principles: int
    tokens: int
    tokens_per_judgment: float

    @property
    def matches(self) -> bool:
        """Whether the rationale has the structure that fits the domain."""
        return self.structure == synth.STRUCTURE_FOR_DOMAIN[self.domain]


def recipes_used() -> dict[str, Any]:
    """The recipes of both stages, as they are in their files."""
    return recipes.contents("mini_sft", "mini_rlvr")


def stages(arm: Arm) -> tuple[Stage, ...]:
    return ("sft",) if arm in MANY else STAGES


def synthesised(arm: Arm, folder: Path) -> Path:
    """The folder of the arm's training data in a seed's folder."""
    return folder / ("synthesised-many" if arm in MANY else "synthesised")


def synthesise(settings: Settings, seed: int, out: Path) -> synth.Result:
    """Write the training data of every arm, as made by `fathom synth`, from comparisons with the verbs of SFT."""
    items = world.items(settings.fine_tuning, seed=seed, verbs=world.split(seed).sft, prefix="fine-tuning")
    comparisons = _tagged([item.comparison for item in items], settings.mistagged, seed)
    sampling = Sampling(temperature=0.8, seed=seed)
    wanted = synth.Settings(arms=tuple(dict.fromkeys(RATIONALES.values())), samples=settings.samples, sampling=sampling)
    result = asyncio.run(synth.synthesise(comparisons, Teacher(), wanted))
    synth.write(result, out)
    return result


def _tagged(comparisons: Sequence[Comparison], mistagged: float, seed: int) -> list[Comparison]:
    rng = random.Random(f"tags/{seed}")
    return [
        comparison.model_copy(update={"domain": world.OTHER[comparison.domain]})
        if comparison.domain and rng.random() < mistagged
        else comparison
        for comparison in comparisons
    ]


def fine_tune(arm: Arm, seed: int, data: Path, out: Path) -> Path:
    """SFT of the base model on the arm's synthesised rationales."""
    rationales = data / f"{RATIONALES[arm]}.jsonl"
    overrides = [f"data={rationales}", f"output={out}", f"seed={seed}"]
    return sft.train(load(recipes.path("mini_sft"), SFTRecipe, overrides))


def reinforce(seed: int, model: Path, out: Path, overrides: Sequence[str] = (), *, random_labels: bool = False) -> Path:
    """RLVR of a fine-tuned model on labelled comparisons with the verbs of RLVR; `overrides` are of the recipe."""
    own = [f"model={model}", f"output={out}", f"seed={seed}", "data=[]"]
    recipe = load(recipes.path("mini_rlvr"), RLVRRecipe, [*own, *overrides])
    verbs = world.split(seed).rlvr

    def draw(count: int) -> list[Comparison]:
        items = world.items(count, seed=seed, verbs=verbs, prefix="reinforcement")
        comparisons = [item.comparison for item in items]
        return relabelled(comparisons, seed) if random_labels else comparisons

    return reinforcement.train(recipe, draw)


def relabelled(comparisons: Sequence[Comparison], seed: int) -> list[Comparison]:
    """With the label of a coin."""
    rng = random.Random(f"labels/{seed}")
    return [each.model_copy(update={"label": Label(best=rng.randrange(2))}) for each in comparisons]


def measure(model: Path, seed: int, settings: Settings, kind: type[Judge] = MixJudge) -> list[Measured]:
    """Judge the seed's held-out items with a trained judge of this class. They are the same for every arm and stage."""
    items = held_out(seed, settings.held_out)
    engine = LocalEngine(model)
    sampling = Sampling(temperature=settings.temperature, max_tokens=128, seed=seed)
    trained: dict[str, Any] = {"trained": True}  # only judges that can be trained have this field
    judge = kind(engine=engine, sampling=sampling, **trained)

    def count(text: str) -> int:
        return len(engine.tokenizer.encode(text, add_special_tokens=False))

    verbs = world.split(seed)
    judged = judge.run((item.comparison for item in items), concurrency=256)
    return [_measured(item, verbs, verdict, count) for item, (_, verdict) in zip(items, judged, strict=True)]


def held_out(seed: int, number: int) -> list[world.Item]:
    """The seed's held-out items: a third for each set of verbs, all with held-out operands."""
    parts = world.split(seed)._asdict()
    return [
        item
        for part, verbs in parts.items()
        for item in world.items(number // len(parts), seed=seed, verbs=verbs, prefix=f"held-out-{part}", held_out=True)
    ]


def _measured(item: world.Item, verbs: world.Verbs, verdict: Verdict, count: Callable[[str], int]) -> Measured:
    (vote,) = verdict.votes
    rationale = vote.rationale
    return Measured(
        id=item.id,
        domain=item.domain,
        verb=item.verb,
        verbs=verbs.part(item.verb),
        kin=not verbs.sft.isdisjoint(world.kin(item.verb)),
        accurate=vote.winner == item.winner,
        readable=vote.status == "ok",
        structure=rationale.structure if rationale else None,
        principles=len(rationale.units) if rationale else 0,
        tokens=vote.usage.completion_tokens,
        tokens_per_judgment=rationale.tokens_per_judgment(count) if rationale else 0.0,
    )


def use_one_thread() -> None:
    """Use one thread: a second one does not speed up a model this small, and parallel runs need the core."""
    import torch

    torch.set_num_threads(1)


def run(arm: Arm, seed: int, settings: Settings, out: Path) -> None:
    """Train one arm with one seed, and measure it after each stage. Results of an earlier run are kept.

    Reads the synthesised data from the folder `out`, writes models and `sft.jsonl`, `rlvr.jsonl` under `out/ARM`.
    """
    use_one_thread()
    folder = out / arm
    for stage in stages(arm):
        measured, trained = folder / f"{stage}.jsonl", folder / f"model-{stage}"
        if measured.exists():
            continue
        if stage == "sft":
            fine_tune(arm, seed, synthesised(arm, out), trained)
        else:
            reinforce(seed, folder / "model-sft", trained, random_labels=arm == RANDOM)
        write_measured(measured, measure(trained, seed, settings))


def write_measured(path: Path, run: Sequence[Measured]) -> None:
    write_jsonl(path, map(asdict, run))


def read_measured(path: Path) -> list[Measured]:
    return [Measured(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def select(run: Sequence[Measured], domain: Domain | None = None, verbs: world.Part | None = None) -> list[Measured]:
    """The items of a domain and a set of verbs; None selects all."""
    return [item for item in run if domain in (None, item.domain) and verbs in (None, item.verbs)]
