"""Process rewards from outcomes alone: the log-ratio of two models, beside the log-probability of the reference.

Claims are those of "Free Process Rewards without Process Labels" (arXiv 2412.01981), and ours about the control without
which they mean little. implicit_prm.yaml states them.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fathom.data.records import Comparison
from fathom.engines import Engine, Likelihood, LikelihoodRequest
from fathom.engines.local import LocalEngine
from fathom.lab.arms import use_one_thread
from fathom.lab.chains import CONSTANTS, REGISTERS, SIGNS, Operation, Problem
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.first_errors import Scored, auc_up_to_error, tuned_f1
from fathom.report.figures import grouped_bars
from fathom.results.provenance import write_json
from fathom.rewards import conversation
from fathom.rewards.implicit import ImplicitReward, step_rewards

if TYPE_CHECKING:
    from fathom.lab.chain_models import Loss

SYSTEMATIC, RANDOM = "systematic", "random"
WORLDS: Mapping[str, str] = {SYSTEMATIC: "a misconception", RANDOM: "random errors"}
LOSSES: Mapping[Loss, str] = {"ce": "cross-entropy", "dpo": "DPO"}
CONTROL = "reference"
SCORERS: Mapping[str, str] = {**{str(loss): name for loss, name in LOSSES.items()}, CONTROL: "reference"}
MEASURES = ("f1", "auc", "best")
Scores = Mapping[str, Sequence[Sequence[float]]]
"""By scorer, the scores of the steps of each solution."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    steps: int
    """Steps per solution."""
    misconception: float
    """The chance that the policy adds 3 where it should multiply by 3, in the world with a misconception."""
    slip: float
    """The chance of another wrong value in that world."""
    error: float
    """The chance of a wrong value in the world of random errors."""
    hidden: int
    layers: int
    texts: int
    """Solutions that the reference is trained on."""
    text_steps: int
    outcomes: int
    """Solutions with known outcomes."""
    outcome_steps: int
    batch: int
    learning_rate: float
    tuning_rate: float
    beta: float
    held_out: int
    """Solutions that tune the threshold, and as many others that measure F1."""
    problems: int
    """Problems of best-of-n."""
    candidates: int


class Sampled(NamedTuple):
    problem: Problem
    values: tuple[int, ...]

    @property
    def right(self) -> bool:
        return self.problem.final(self.values) == self.problem.answer

    @property
    def error(self) -> int | None:
        return self.problem.first_error(self.values)


# The world ------------------------------------------------------------------------------------------------------------


def sampled(world: str, count: int, settings: Settings, seed: int, name: str, each: int = 1) -> list[Sampled]:
    """Solutions of the policy, `each` per problem, next to each other."""
    rng = random.Random(f"implicit-prm/{world}/{name}/{seed}")
    found = []
    for number in range(count):
        problem = _problem(world, settings, rng, f"{name}-{number}")
        found += [Sampled(problem, problem.sampled(rng)) for _ in range(each)]
    return found


def _problem(world: str, settings: Settings, rng: random.Random, id: str) -> Problem:
    draws = (Operation(rng.choice(REGISTERS), rng.choice(SIGNS), rng.choice(CONSTANTS)) for _ in range(settings.steps))
    if world == SYSTEMATIC:
        return Problem(id, list(draws), settings.slip, settings.misconception)
    return Problem(id, list(draws), settings.error, 0.0)


def train(world: str, seed: int, settings: Settings, folder: Path) -> None:
    """Train the reference on texts, and a copy of it on outcomes by each loss; save all of them."""
    import torch

    from fathom.lab import chain_models
    from fathom.lab.chain_models import Training

    generator = torch.Generator().manual_seed(seed)

    def tokens(items: Sequence[Sampled]) -> torch.Tensor:
        return chain_models.encoded(["".join(chain_models.steps_of(*item)) for item in items])

    reference = chain_models.language_model(seed, settings.hidden, settings.layers)
    texts = Training(steps=settings.text_steps, batch=settings.batch, learning_rate=settings.learning_rate)
    chain_models.train_on_texts(
        reference, tokens(sampled(world, settings.texts, settings, seed, "texts")), texts, generator
    )
    chain_models.save(reference, folder / CONTROL)
    solved = sampled(world, settings.outcomes, settings, seed, "outcomes")
    right = torch.tensor([float(item.right) for item in solved])
    outcomes = Training(steps=settings.outcome_steps, batch=settings.batch, learning_rate=settings.tuning_rate)
    for loss in LOSSES:
        tuned = chain_models.train_on_outcomes(
            reference, tokens(solved), right, outcomes, beta=settings.beta, loss=loss, generator=generator
        )
        chain_models.save(tuned, folder / loss)


# Scores ---------------------------------------------------------------------------------------------------------------


def scores(items: Sequence[Sampled], settings: Settings, folder: Path) -> Scores:
    """The step scores of `--judge implicit` with each trained model, and the log-probabilities of the reference."""
    from fathom.lab.chain_models import comparison

    comparisons = [comparison(*item, str(number)) for number, item in enumerate(items)]
    found = {
        loss: implicit_scores(comparisons, LocalEngine(folder / loss), folder / CONTROL, settings.beta)
        for loss in LOSSES
    }
    return found | {CONTROL: asyncio.run(log_probabilities(comparisons, LocalEngine(folder / CONTROL)))}


def implicit_scores(
    comparisons: Sequence[Comparison], engine: LocalEngine, reference: Path, beta: float
) -> list[list[float]]:
    judge = ImplicitReward(engine=engine, reference=str(reference), beta=beta)
    found = []
    for item, verdict in judge.run(comparisons, concurrency=256):
        [vote] = verdict.votes
        assert vote.step_scores is not None, f"{item.id}: {vote.error}"
        found.append([float(score or 0.0) for score in vote.step_scores[0]])
    return found


async def log_probabilities(comparisons: Sequence[Comparison], engine: Engine) -> list[list[float]]:
    """The log-probability of each step under a model: its reward against a reference that finds everything certain."""

    async def of(item: Comparison) -> list[float]:
        assert item.steps is not None
        reading = await engine.likelihood(LikelihoodRequest(conversation(item), item.responses[0]))
        certain = Likelihood(reading.tokens, (0.0,) * len(reading.tokens))
        return list(step_rewards(reading, certain, item.steps[0]))

    return list(await asyncio.gather(*map(of, comparisons)))


def chosen_right(items: Sequence[Sampled], by_step: Sequence[Sequence[float]], candidates: int) -> float:
    """The share of problems for which the candidate with the best worst step is right."""
    starts = range(0, len(items), candidates)
    best = [max(range(start, start + candidates), key=lambda place: min(by_step[place])) for start in starts]
    return sum(items[place].right for place in best) / len(best)


def figures_of(items: Mapping[str, Sequence[Sampled]], settings: Settings, folder: Path) -> dict[str, Any]:
    tuning, test, choices = (scores(each, settings, folder) for each in items.values())

    def scored(found: Scores, name: str, of: str) -> list[Scored]:
        return [(steps, item.error) for steps, item in zip(found[name], items[of], strict=True)]

    by_scorer = {
        name: {
            "f1": tuned_f1(scored(tuning, name, "tuning"), scored(test, name, "test")),
            "auc": auc_up_to_error(scored(test, name, "test")),
            "best": chosen_right(items["choices"], choices[name], settings.candidates),
        }
        for name in SCORERS
    }
    pool = items["choices"]
    return {
        "scorers": by_scorer,
        "right": sum(item.right for item in pool) / len(pool),
        "wrong steps": sum(item.error is not None for item in items["test"]) / len(items["test"]),
    }


# The experiment -------------------------------------------------------------------------------------------------------


def run(part: str, seed: int, settings: Settings, out: Path) -> None:
    path = out / f"{part}.json"
    if path.exists():
        return
    use_one_thread()
    folder = out / part
    train(part, seed, settings, folder)
    items = {
        "tuning": sampled(part, settings.held_out, settings, seed, "tuning"),
        "test": sampled(part, settings.held_out, settings, seed, "test"),
        "choices": sampled(part, settings.problems, settings, seed, "choices", settings.candidates),
    }
    write_json(path, figures_of(items, settings, folder))


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured({world: json.loads((folder / f"{world}.json").read_text("utf-8")) for world in WORLDS})


def measured(found: Mapping[str, Any]) -> Measurement:
    """A pure function of what a seed found in both worlds."""

    def above(world: str, name: str, other: str, what: str) -> float:
        by_scorer = found[world]["scorers"]
        return float(by_scorer[name][what] - by_scorer[other][what])

    by_control = {
        f"{WORLDS[world]}, {name} - reference, {what}": above(world, loss, CONTROL, what)
        for world in WORLDS
        for loss, name in LOSSES.items()
        for what in MEASURES
    }
    small = {
        f"0.02 - {WORLDS[RANDOM]}, {name} - reference, f1": 0.02 - above(RANDOM, loss, CONTROL, "f1")
        for loss, name in LOSSES.items()
    }
    losses = {"a misconception, DPO - cross-entropy, best": above(SYSTEMATIC, "dpo", "ce", "best")}
    return Measurement(contrasts=by_control | small | losses, figures=dict(found))


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"worlds": WORLDS, "scorers_named": SCORERS, "found": found}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """F1 and best-of-n by scorer, in both worlds."""
    panels = {
        title: {words: [found[world]["scorers"][name][what].bar for name in SCORERS] for world, words in WORLDS.items()}
        for what, title in (("f1", "F1 of the first wrong step"), ("best", "best-of-n accuracy"))
    }
    random_choice = {"best-of-n accuracy": {words: found[world]["right"].mean for world, words in WORLDS.items()}}
    path = folder / "implicit-prm"
    grouped_bars(panels, list(SCORERS.values()), path, marks=random_choice, legend="a solution at random")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=tuple(WORLDS),
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
)
