"""Trains a language model to judge the English world, and measures which structure it chooses for verbs.

SFT shows breadth for preference verbs and depth for correctness verbs of one set of verbs, a share of them mistagged.
RLVR then rewards verdicts on a second set of verbs. A third set occurs in no training. All training and judging use the
library's own code.

A model chooses the structure with the first token of a rationale. So one forward pass gives the exact probability of
the fitting structure for a prompt, without sampling (`choices`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.engines import Sampling
from fathom.engines.chat import encode_chat
from fathom.engines.checkpoints import resolve
from fathom.engines.loading import fastest_dtype, placed
from fathom.engines.local import LocalEngine
from fathom.lab import english, reinforcement
from fathom.lab.english import FITTING, TAGS, Item, ShortJudge
from fathom.lab.world import OTHER, PARTS, Part
from fathom.results.provenance import write_json
from fathom.train import recipes, sft
from fathom.train.recipe import Recipe, RLVRRecipe, SFTRecipe, load

R = TypeVar("R", bound=Recipe)
Stage = Literal["base", "sft", "rlvr"]
STAGES: tuple[Stage, ...] = ("base", "sft", "rlvr")
"""Before training, after SFT and after RLVR."""
MAX_TOKENS = 40
BATCH = 32
"""Prompts per forward pass when choices are measured."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The size of the experiment; other training settings are in the recipes `smollm2_sft` and `smollm2_rlvr`."""

    sft_verbs: int = 4
    """Verbs of each domain in SFT."""
    rlvr_verbs: int = 8
    never_verbs: int = 8
    mistagged: float = 0.25
    """Share of SFT's rationales with the structure of the other domain."""
    prompts_per_verb: int = 8
    """Prompts per verb for which the choice of structure is measured."""
    judged: int = 96
    """Comparisons with verbs of no training for which the whole rationale is generated."""
    model: str = "smollm2"
    device: str = "auto"
    sft: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the recipe of SFT, such as {"trainer.max_steps": 10}."""
    rlvr: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """The first token after one prompt: the probability of each structure's tag, and of all tags together."""

    verb: str
    fits: float
    """Probability of the fitting structure, given that the token is one of the two tags. From 0 to 1."""
    mass: float
    """Total probability of the two tags, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Judged:
    verb: str
    fits: bool
    accurate: bool
    readable: bool
    faithful: bool
    """Whether the verdict is the one that a rationale of the shown structure implies."""


def recipes_used() -> dict[str, Any]:
    """The recipes of both stages, as they are in their files."""
    return recipes.contents("smollm2_sft", "smollm2_rlvr")


def verb_sets(seed: int, settings: Settings) -> dict[Part, list[str]]:
    """The verbs of each set. The sets are disjoint and drawn by seed."""
    drawn = english.split(seed, (settings.sft_verbs, settings.rlvr_verbs, settings.never_verbs))
    return dict(zip(PARTS, drawn, strict=True))


def prepare(seed: int, settings: Settings, folder: Path) -> None:
    """Choose the precision by timing, once per seed, so that a resumed run computes in the same one."""
    device, _ = placed(settings.device, "auto")
    write_json(folder / "precision.json", {"device": device, "dtype": fastest_dtype(device)})


def run(seed: int, settings: Settings, folder: Path) -> None:
    """Train and measure a seed in `folder`. Each stage that an earlier run finished is kept."""
    precision = json.loads((folder / "precision.json").read_text("utf-8"))
    verbs = verb_sets(seed, settings)
    for stage in STAGES:
        measured = folder / f"{stage}.json"
        model: str | Path = folder / f"model-{stage}"
        if measured.exists():
            continue
        if stage == "base":
            model = resolve(settings.model)
        elif stage == "sft":
            fine_tune(seed, settings, verbs["sft"], precision, folder / "model-sft")
        else:
            reinforce(seed, settings, verbs["rlvr"], precision, folder / "model-sft", folder / "model-rlvr")
        write_json(measured, measure(model, seed, settings, verbs, precision, in_full=stage != "base"))


def fine_tune(seed: int, settings: Settings, verbs: Sequence[str], precision: Mapping[str, str], out: Path) -> Path:
    recipe = _recipe("smollm2_sft", SFTRecipe, settings.sft, precision, model=settings.model, output=out, seed=seed)
    data = out.with_name(f"{out.name}-rationales.jsonl")
    n = recipe.trainer["max_steps"] * recipe.trainer["per_device_train_batch_size"]
    write_jsonl(data, examples(seed, settings, verbs, n))
    return sft.train(recipe.model_copy(update={"data": (data,)}))


def examples(seed: int, settings: Settings, verbs: Sequence[str], n: int) -> Iterator[dict[str, Any]]:
    """Prompts and rationales, one per comparison. A share `mistagged` has the structure of the other domain."""
    rng, judge = random.Random(f"tags/{seed}"), ShortJudge()
    for item in english.items(n, verbs, seed=seed, prefix="fine-tuning"):
        domain = OTHER[item.domain] if rng.random() < settings.mistagged else item.domain
        text = english.rationale(item, FITTING[domain])
        yield {"prompt": judge.prompt(item.comparison), "completion": [{"role": "assistant", "content": text}]}


def reinforce(
    seed: int, settings: Settings, verbs: Sequence[str], precision: Mapping[str, str], model: Path, out: Path
) -> Path:
    """Train on comparisons on which the structures disagree.

    On others, the rewards of a group are mostly equal and give no gradient. DAPO (arXiv 2503.14476, section 3.2) leaves
    such prompts out as well.
    """
    recipe = _recipe("smollm2_rlvr", RLVRRecipe, settings.rlvr, precision, model=model, output=out, seed=seed)

    def draw(count: int) -> list[Comparison]:
        drawn = english.items(count, verbs, seed=seed, prefix="reinforcement", decisive=True)
        return [item.comparison for item in drawn]

    return reinforcement.train(recipe, draw)


def _recipe(name: str, kind: type[R], changes: Mapping[str, Any], precision: Mapping[str, str], **own: object) -> R:
    overrides = ["data=[]", *(f"{key}={value}" for key, value in own.items())]
    overrides.append(f"trainer.model_init_kwargs.dtype={precision['dtype']}")
    if precision["device"] == "cpu":
        overrides.append("trainer.use_cpu=true")
    return load(recipes.path(name), kind, [*overrides, *(f"{key}={value}" for key, value in changes.items())])


# Measuring ------------------------------------------------------------------------------------------------------------


def measure(
    model: str | Path,
    seed: int,
    settings: Settings,
    verbs: Mapping[Part, Sequence[str]],
    precision: Mapping[str, str],
    *,
    in_full: bool,
) -> dict[str, Any]:
    """The choices of structure for every set of verbs. With `in_full`, also judgments on verbs of no training."""
    engine = LocalEngine(model, device=precision["device"], dtype=precision["dtype"], max_batch=BATCH)
    held_out = english.items(settings.judged if in_full else 0, verbs["never"], seed=seed, prefix="held-out")
    return {
        "choices": {name: list(map(asdict, choices(engine, probes(seed, settings, verbs[name])))) for name in verbs},
        "judged": list(map(asdict, judged(engine, held_out, seed))),
    }


def probes(seed: int, settings: Settings, verbs: Sequence[str]) -> list[Item]:
    """Items of every verb, the same for every stage."""
    rng = random.Random(f"probes/{seed}")
    return [
        english.item(rng, f"probe-{verb}-{k}", verb, english.domain_of(verb))
        for verb in verbs
        for k in range(settings.prompts_per_verb)
    ]


def choices(engine: LocalEngine, asked: Sequence[Item]) -> Iterator[Choice]:
    """The probabilities of the structures at the first token of each answer, at temperature 1."""
    import torch

    judge = ShortJudge()
    tags = [engine.tokenizer.encode(TAGS[name], add_special_tokens=False)[0] for name in ("breadth", "depth")]
    for start in range(0, len(asked), BATCH):
        batch = asked[start : start + BATCH]
        prompts = [encode_chat(engine.tokenizer, judge.prompt(item.comparison)) for item in batch]
        with torch.inference_mode():
            logits = _first_logits(engine.model, prompts)
        each = logits.softmax(-1)[:, tags].tolist()
        for item, (breadth, depth) in zip(batch, each, strict=True):
            fits = breadth if FITTING[item.domain] == "breadth" else depth
            yield Choice(item.verb, fits / (breadth + depth), breadth + depth)


def _first_logits(model: Any, prompts: Sequence[Sequence[int]]) -> Any:
    """The logits (prompts, vocabulary) of the first answer token, in float32.

    Left-padded with an explicit mask, because SmolLM2's pad token is the token that ends turns. The output layer is
    applied in float32: steps of bfloat16 logits are as large as 0.125, which would show in the probabilities.
    """
    import torch

    longest = max(map(len, prompts))
    tokens = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    given = {"input_ids": tokens, "attention_mask": mask, "position_ids": positions}
    states = model.model(**{name: value.to(model.device) for name, value in given.items()}).last_hidden_state
    return states[:, -1].float() @ model.get_output_embeddings().weight.float().T


def judged(engine: LocalEngine, held_out: Sequence[Item], seed: int) -> Iterator[Judged]:
    """Greedy judgments."""
    judge = ShortJudge(engine=engine, sampling=Sampling(temperature=0.0, max_tokens=MAX_TOKENS, seed=seed))

    answers = judge.run((item.comparison for item in held_out), concurrency=256)
    for item, (_, verdict) in zip(held_out, answers, strict=True):
        (vote,) = verdict.votes
        shown = vote.rationale.structure if vote.rationale else None
        yield Judged(
            verb=item.verb,
            fits=shown == FITTING[item.domain],
            accurate=vote.winner == item.winner,
            readable=vote.status == "ok",
            faithful=shown in ("breadth", "depth") and vote.winner == item.winner_by(shown),
        )
