"""The stages of SPCT in the small world of criteria, by the library's own code: see `fathom.lab.reproductions.spct`.

`pretrain` trains a judge from random weights on trajectories of the world. `reject` and `fine_tune` are its rejective
fine-tuning, `reinforce` its RLVR, and `train_meta` trains a meta reward model of its votes. `measure` judges held-out
items greedily and with many votes. Figures of k votes use the first k, so all figures of k votes have equal cost.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from fathom.data.atomic import atomic_write
from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.engines import Sampling
from fathom.engines.local import LocalEngine
from fathom.judges import RewardModel, Rule, Verdict, Vote
from fathom.judges.spct import SPCTJudge
from fathom.judging import meta_reward_model, write_verdicts
from fathom.lab import criteria, reinforcement
from fathom.rationale import Status
from fathom.synth import rejection
from fathom.train import meta, recipes, sft
from fathom.train.recipe import MetaRecipe, Recipe, RLVRRecipe, SFTRecipe, load
from fathom.voting.adaptive import votes_until_settled
from fathom.voting.meta import keep_best
from fathom.voting.wrappers import Repeated, Shuffled

R = TypeVar("R", bound=Recipe)
JUDGE = SPCTJudge(trained=True)
RECIPES = ("mini_spct_sft", "mini_spct_rft", "mini_spct_rlvr", "mini_spct_meta")
META_VOTES = 3
"""Votes per comparison for training a meta reward model, as published."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The world and the size of the experiment. Training settings are in the recipes `mini_spct_*`."""

    clear: float
    """Probability that a cue names the wanted criterion."""
    lazy: float = 0.0
    """Share of the world's trajectories that apply polish."""
    trajectories: int = 16000
    """Trajectories of the world, for the first stage of training."""
    hinted: float = 0.1
    """Share of these whose prompt has the hint, so that the judge learns to follow hints."""
    comparisons: int = 3000
    """Comparisons of rejective fine-tuning, and as many others for the meta reward model."""
    held_out: int = 1500
    votes: int = 32
    temperature: float = 1.0
    """Temperature of votes. At 1, a calibrated model draws each principle with its posterior probability."""
    steps: Mapping[str, int] | None = None
    """Optimiser steps by recipe, if they differ from the recipe's."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The scores of all votes on one held-out item; None for an unparsed vote."""

    id: str
    winner: int
    ideal: dict[str, float]
    """`criteria.Ideal` as a dict."""
    greedy: list[float] | None
    votes: list[list[float] | None]
    meta: list[float | None] | None
    """The votes' meta scores, if there is a meta reward model."""
    principles: list[str]
    """The principle that each vote states."""


def recipes_used() -> dict[str, Any]:
    """The recipes of all stages, as they are in their files."""
    return recipes.contents(*RECIPES)


# Stages ---------------------------------------------------------------------------------------------------------------


def pretrain(settings: Settings, seed: int, out: Path, *, stated: bool = True) -> Path:
    """Train a judge from random weights. Without `stated`, it writes scores only, no principles."""
    untrained, data = out / "untrained", out / "trajectories.jsonl"
    criteria.untrained(seed).save_pretrained(untrained)
    criteria.tokenizer().save_pretrained(untrained)
    write_jsonl(data, _trajectories(settings, seed, stated))
    return sft.train(_recipe("mini_spct_sft", SFTRecipe, settings, seed, untrained, data, out / "judge"))


def _trajectories(settings: Settings, seed: int, stated: bool) -> Iterator[dict[str, Any]]:
    rng = random.Random(f"trajectories/{seed}")
    for item in criteria.items(settings.trajectories, seed=seed, clear=settings.clear, prefix="first"):
        asked = JUDGE.ask(item.comparison)
        prompt = rejection.hinted(asked, item.comparison) if rng.random() < settings.hinted else asked
        principle = len(criteria.PRINCIPLES) if rng.random() < settings.lazy else item.wanted
        text = criteria.judgment(item, principle, stated=stated)
        yield {"prompt": prompt, "completion": [{"role": "assistant", "content": text}]}


def _recipe(name: str, kind: type[R], settings: Settings, seed: int, model: Path, data: Path | None, out: Path) -> R:
    overrides = [f"model={model}", f"data={data or []}", f"output={out}", f"seed={seed}"]
    if settings.steps and name in settings.steps:
        overrides.append(f"trainer.max_steps={settings.steps[name]}")
    return load(recipes.path(name), kind, overrides)


def reject(settings: Settings, seed: int, model: Path, out: Path) -> rejection.Result:
    """Sample the judge's trajectories on new comparisons, and write the right ones into the folder `out`."""
    sampling = Sampling(temperature=settings.temperature, max_tokens=16, seed=seed)
    wanted = rejection.Settings(judge=JUDGE, sampling=sampling, concurrency=512)
    found = asyncio.run(rejection.sample(_comparisons(settings, seed, "rejection"), _engine(model), wanted))
    rejection.write(found, out)
    return found


def fine_tune(settings: Settings, seed: int, model: Path, data: Path, out: Path) -> Path:
    return sft.train(_recipe("mini_spct_rft", SFTRecipe, settings, seed, model, data, out))


def reinforce(settings: Settings, seed: int, model: Path, out: Path) -> Path:
    """RLVR of a judge on labelled comparisons."""
    recipe = _recipe("mini_spct_rlvr", RLVRRecipe, settings, seed, model, None, out)
    return reinforcement.train(recipe, lambda count: _comparisons(settings, seed, "reinforcement", count))


def train_meta(settings: Settings, seed: int, model: Path, out: Path) -> Path:
    """Train a meta reward model on the judge's votes on comparisons that no other stage uses."""
    data = out.with_name(f"{out.name}-votes.jsonl")
    voter = _voter(settings, seed, _engine(model), META_VOTES)

    async def write() -> None:
        with atomic_write(data) as sink:
            async for _ in write_verdicts(voter, _comparisons(settings, seed, "meta"), sink, {}):
                pass

    asyncio.run(write())
    return meta.train(_recipe("mini_spct_meta", MetaRecipe, settings, seed, model, data, out))


def _comparisons(settings: Settings, seed: int, prefix: str, count: int | None = None) -> list[Comparison]:
    found = criteria.items(count or settings.comparisons, seed=seed, clear=settings.clear, prefix=prefix)
    return [item.comparison for item in found]


def _engine(model: Path) -> LocalEngine:
    return LocalEngine(model, max_batch=512)


def _voter(settings: Settings, seed: int, engine: LocalEngine, votes: int) -> RewardModel:
    sampling = Sampling(temperature=settings.temperature, max_tokens=16, seed=seed)
    return Repeated(Shuffled(SPCTJudge(trained=True, engine=engine, sampling=sampling), seed), votes)


# Measuring ------------------------------------------------------------------------------------------------------------


def measure(settings: Settings, seed: int, model: Path, guide: Path | None = None) -> list[Measured]:
    """Judge the seed's held-out items, which are the same for every judge of a world."""
    held_out = criteria.items(settings.held_out, seed=seed, clear=settings.clear, prefix="held-out")
    engine = _engine(model)
    greedy = SPCTJudge(trained=True, engine=engine, sampling=Sampling(max_tokens=16))
    comparisons = [item.comparison for item in held_out]
    decided = [verdict.votes[0] for _, verdict in greedy.run(comparisons, concurrency=256)]
    voter = _voter(settings, seed, engine, settings.votes)
    voted = [verdict.votes for _, verdict in voter.run(comparisons, concurrency=256)]
    scores = asyncio.run(_meta_scores(guide, comparisons, voted)) if guide else [None] * len(held_out)
    return [
        _measured(item, settings, once, votes, each)
        for item, once, votes, each in zip(held_out, decided, voted, scores, strict=True)
    ]


async def _meta_scores(
    guide: Path, comparisons: Sequence[Comparison], voted: Sequence[Sequence[Vote]]
) -> list[list[float | None]]:
    """The scores that a meta reward model gives to the votes on each comparison."""
    score = meta_reward_model(guide)
    return [await score(comparison, votes) for comparison, votes in zip(comparisons, voted, strict=True)]


def _measured(
    item: criteria.Item, settings: Settings, greedy: Vote, votes: Sequence[Vote], scores: list[float | None] | None
) -> Measured:
    return Measured(
        id=item.id,
        winner=item.winner,
        ideal=asdict(criteria.ideal(item, clear=settings.clear, lazy=settings.lazy)),
        greedy=_scores(greedy),
        votes=[_scores(vote) for vote in votes],
        meta=scores,
        principles=[_principle(vote) for vote in votes],
    )


def _scores(vote: Vote) -> list[float] | None:
    return None if vote.scores is None else list(vote.scores)


def _principle(vote: Vote) -> str:
    units = vote.rationale.units if vote.rationale else ()
    return units[0].principle.split()[0] if units else ""


def read_measured(path: Path) -> list[Measured]:
    return [Measured(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


# What was measured ----------------------------------------------------------------------------------------------------


def one(item: Measured) -> float:
    """The accuracy of a single vote, as the mean over all votes."""
    return sum(_right(_vote(scores).winner, scores is not None, item) for scores in item.votes) / len(item.votes)


def greedy(item: Measured) -> float:
    return _right(_vote(item.greedy).winner, item.greedy is not None, item)


def voted(item: Measured, count: int, rule: Rule, *, keep: float | None = None) -> float:
    """The accuracy of the first `count` votes: 1 or 0, or 0.5 for a tie (random tie-breaking)."""
    return accuracy(outcome(item, count, rule, keep=keep), item)


def accuracy(verdict: Verdict, item: Measured) -> float:
    return _right(verdict.winner, verdict.status is Status.OK, item)


def outcome(item: Measured, count: int, rule: Rule, *, keep: float | None = None) -> Verdict:
    """The verdict of the first `count` votes, or of the share `keep` of them with the highest meta scores."""
    votes = [_vote(scores) for scores in item.votes[:count]]
    if keep is not None:
        assert item.meta is not None, "there was no meta reward model"
        votes = keep_best(votes, item.meta[:count], keep)
    return rule(votes)


def settled(item: Measured, rule: Rule, error: float) -> int:
    """The number of votes that adaptive voting would have cast."""
    return votes_until_settled([_vote(scores) for scores in item.votes], rule, error)


def _right(winner: int | None, readable: bool, item: Measured) -> float:
    if not readable:
        return 0.0
    return 0.5 if winner is None else float(winner == item.winner)


def _vote(scores: Sequence[float] | None) -> Vote:
    return _cast(None if scores is None else (scores[0], scores[1]))


@cache
def _cast(scores: tuple[float, float] | None) -> Vote:
    """Cached, because there are few distinct values."""
    if scores is None:
        return Vote(Status.INVALID, order=(0, 1))
    winner = None if scores[0] == scores[1] else int(scores[1] > scores[0])
    return Vote(Status.OK, winner=winner, scores=scores, order=(0, 1))
