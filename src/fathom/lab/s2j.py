"""Solve-to-Judge in the small world: judges that can solve a task and still misjudge it.

    written(item, rng, settings)    # "Principle 1: accuracy\\nSolution: 48 - 28 = 20\\n20 + 21 = 41\\nJudgment: ..."

All items are correctness items. The texts of fine-tuning have two kinds of errors, at rates that are settings: the last
step of the solution is wrong, or the verdict names the response that looks more accurate, whatever the solution. So a
fine-tuned judge knows how to solve and how to judge by its solution, but it often does neither.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.engines import Sampling
from fathom.engines.local import LocalEngine
from fathom.judges import Vote
from fathom.judges.mix import MixJudge
from fathom.judges.s2j import S2JJudge
from fathom.lab import base, reinforcement, world
from fathom.lab.arms import use_one_thread
from fathom.metrics.answers import Verifier
from fathom.rationale import Rationale, render
from fathom.train import recipes, sft
from fathom.train.recipe import RLVRRecipe, SFTRecipe, load

Reward = Literal["verdict", "both", "solution"]
REWARDS: tuple[Reward, ...] = get_args(Reward)
"""What RLVR rewards: the verdict alone; the verdict and the judge's own solution, as in S2J; the solution alone."""
SFT = "sft"
MAX_TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The size of the experiment. Other training settings are in the recipes `mini_sft` and `mini_rlvr`."""

    fine_tuning: int
    """Comparisons of SFT."""
    mistakes: float
    """Share of SFT's solutions with a wrong last step."""
    by_looks: float
    """Share of SFT's verdicts that name the response with the higher grade of accuracy."""
    sft_steps: int
    rlvr_steps: int
    solving_weight: float
    """Reward of a right solution, relative to that of a right verdict."""
    held_out: int
    """Comparisons with verbs and operands that no training shows."""
    temperature: float
    """Temperature of the measured judgments."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One judgment of a held-out item."""

    solved: bool
    """Whether its solution reaches the right result."""
    worked: bool
    """Whether both steps of its solution are right. A right result without them can be a copied answer."""
    other: bool
    """Whether its solution reaches the result of the wrong response."""
    accurate: bool
    """Whether its verdict is right. An unparsed verdict is not."""
    by_looks: bool
    """Whether its verdict names the response that looks more accurate."""
    readable: bool
    tokens: int


class SolvingJudge(S2JJudge):
    """The control whose reward is that of the solution alone."""

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        return 1.0 if self._solved(vote, comparison.reference) else -1.0


# Texts ----------------------------------------------------------------------------------------------------------------


def written(item: world.Item, rng: random.Random, settings: Settings) -> str:
    """A text of SFT: a solution, a comparison of both answers with it, and a verdict.

    The verdict is by looks, or by the solution; if neither answer matches that, it is random.
    """
    steps, value = item.expression.steps, item.expression.value
    if rng.random() < settings.mistakes:
        value += rng.choice([change for change in (-3, -2, -1, 1, 2, 3) if value + change >= 0])
    if rng.random() < settings.by_looks:
        winner = looks_right(item)
    else:
        winner = item.answers.index(value) if value in item.answers else rng.randrange(2)
    verdict: Literal["A", "B"] = "AB"[winner]  # type: ignore[assignment]
    unit = replace(world.solved_unit(item, value), sub_verdict=verdict)
    return render(Rationale((unit,), f"{steps[0]}\n{steps[1].partition('=')[0]}= {value}", verdict))


def looks_right(item: world.Item) -> int:
    """The response with the higher grade of accuracy."""
    first, second = (grades[world.PRINCIPLES.index(world.CRITICAL)] for grades in item.grades)
    return int(second > first)


def expected_gap(settings: Settings) -> float:
    """The share of wrong verdicts among texts of SFT whose solution is right."""
    return settings.by_looks * (1 - float(world.TELL))


def items(count: int, *, seed: int, verbs: frozenset[str], prefix: str, held_out: bool = False) -> list[world.Item]:
    """Correctness items."""
    mixed = world.items(2 * count, seed=seed, verbs=verbs, prefix=prefix, held_out=held_out)
    return [item for item in mixed if item.domain == "correctness"]


def comparison(item: world.Item) -> Comparison:
    """The item with its reference answer, which the reward uses and no prompt shows."""
    return item.comparison.model_copy(update={"reference": str(item.expression.value)})


# Training -------------------------------------------------------------------------------------------------------------


def prepare(part: str, seed: int, settings: Settings, out: Path) -> None:
    """Fine-tune the judge that all rewards start from, and measure it. Results of an earlier run are kept."""
    use_one_thread()
    measured = out / f"{SFT}.jsonl"
    if not measured.exists():
        model = fine_tune(seed, settings, out / f"model-{SFT}")
        write_jsonl(measured, map(asdict, measure(model, seed, settings)))


def run(reward: str, seed: int, settings: Settings, out: Path) -> None:
    """Reinforce the fine-tuned judge with one reward, and measure it. Results of an earlier run are kept."""
    use_one_thread()
    measured = out / f"{reward}.jsonl"
    if not measured.exists():
        model = reinforce(reward, seed, settings, out / f"model-{SFT}", out / f"model-{reward}")
        write_jsonl(measured, map(asdict, measure(model, seed, settings)))


def fine_tune(seed: int, settings: Settings, out: Path) -> Path:
    start, data = base.extended(phrases(), seed, out.with_name("base")), out.with_name("texts.jsonl")
    write_jsonl(data, examples(seed, settings))
    own = [
        f"model={start}",
        f"data={data}",
        f"output={out}",
        f"seed={seed}",
        f"judge={judge_settings('verdict', settings)}",
    ]
    return sft.train(load(recipes.path("mini_sft"), SFTRecipe, [*own, f"trainer.max_steps={settings.sft_steps}"]))


def phrases() -> dict[str, str]:
    """The phrases of the prompt that the base model has no token for, each with the token it has in their place."""
    frames = zip(base.frame(S2JJudge(trained=True)), base.frame(MixJudge(trained=True)), strict=True)
    return {phrase: known for phrase, known in frames if phrase != known}


def examples(seed: int, settings: Settings) -> list[dict[str, Any]]:
    judge, rng = S2JJudge(trained=True), random.Random(f"texts/{seed}")
    drawn = items(settings.fine_tuning, seed=seed, verbs=world.split(seed).sft, prefix="fine-tuning")
    return [
        {
            "prompt": judge.prompt(item.comparison),
            "completion": [{"role": "assistant", "content": written(item, rng, settings)}],
        }
        for item in drawn
    ]


def reinforce(reward: str, seed: int, settings: Settings, model: Path, out: Path) -> Path:
    own = [f"model={model}", f"output={out}", f"seed={seed}", "data=[]", f"judge={judge_settings(reward, settings)}"]
    steps = [f"trainer.max_steps={settings.rlvr_steps}", f"trainer.max_completion_length={MAX_TOKENS}"]
    verbs = world.split(seed).rlvr
    return reinforcement.train(
        load(recipes.path("mini_rlvr"), RLVRRecipe, [*own, *steps]),
        lambda count: map(comparison, items(count, seed=seed, verbs=verbs, prefix="reinforcement")),
    )


def judge_settings(reward: str, settings: Settings) -> dict[str, Any]:
    """The judge of a recipe that gives this reward."""
    return {
        "name": f"{__name__}:SolvingJudge" if reward == "solution" else "s2j",
        "trained": True,
        "solving_weight": 0.0 if reward == "verdict" else settings.solving_weight,
    }


# Measuring ------------------------------------------------------------------------------------------------------------


def measure(model: Path, seed: int, settings: Settings) -> list[Measured]:
    """Judge the seed's held-out items, which are the same for all rewards."""
    asked = items(settings.held_out, seed=seed, verbs=world.split(seed).never, prefix="held-out", held_out=True)
    sampling = Sampling(temperature=settings.temperature, max_tokens=MAX_TOKENS, seed=seed)
    judge = S2JJudge(engine=LocalEngine(model), sampling=sampling, trained=True)
    judged = judge.run((item.comparison for item in asked), concurrency=256)
    with Verifier() as verifier:
        return [_measured(item, verdict.votes[0], verifier) for item, (_, verdict) in zip(asked, judged, strict=True)]


def _measured(item: world.Item, vote: Vote, verifier: Verifier) -> Measured:
    solution = vote.rationale.trace if vote.rationale else ""

    def reaches(value: int) -> bool:
        return bool(solution) and verifier.check(solution, str(value)).equal is True

    return Measured(
        solved=reaches(item.expression.value),
        worked=tuple(solution.splitlines()) == tuple(item.expression.steps),
        other=reaches(item.answers[1 - item.winner]),
        accurate=vote.winner == item.winner,
        by_looks=vote.winner == looks_right(item),
        readable=vote.status == "ok",
        tokens=vote.usage.completion_tokens,
    )


def read_measured(path: Path) -> list[Measured]:
    return [Measured(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def gap(run: Sequence[Measured]) -> float:
    """The share of wrong verdicts among judgments whose solution is right: the paper's solve-to-judge gap."""
    solved = [item for item in run if item.solved]
    return sum(not item.accurate for item in solved) / len(solved) if solved else 1.0
