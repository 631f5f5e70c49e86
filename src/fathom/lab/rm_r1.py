"""RM-R1 in the small world: chains that first classify the task, and the base model with tokens for their phrases.

    chain(item, "typed")            # "<type>Reasoning</type>\\n<solution> 37 + 18 = 55\\n..." for "compute"

A chat chain compares all seven attributes; a reasoning chain solves the task and checks both answers. As in the paper's
distillation, every chain ends in the label, regardless of the text before.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Literal, get_args

from fathom.data.reading import write_jsonl
from fathom.judges.mix import MixJudge
from fathom.judges.rm_r1 import ANSWERS, RMR1Judge
from fathom.lab import arms, base, world
from fathom.lab.arms import Measured, Stage
from fathom.rationale import Rationale, render
from fathom.train import recipes, sft
from fathom.train.recipe import SFTRecipe, load

Arm = Literal["answer", "chat", "reasoning", "typed"]
ARMS: tuple[Arm, ...] = get_args(Arm)
"""The label alone; the chat or the reasoning template for every task; the template that fits the task's type."""
STAGES: tuple[Stage, ...] = ("sft", "rlvr")
JUDGE = "judge={name: rm_r1, trained: true}"

_RUBRIC = "<type>Chat</type>\n<rubric>\n{}</rubric>\n<eval>\nPrinciple 1:".format(
    "".join(f"- {p}\n" for p in world.PRINCIPLES)
)
_SOLUTION = "<type>Reasoning</type>\n<solution>"
_CHECK = "\n</solution>\n<eval>"
_END = "\n</eval>\n"
KNOWN_AS = {
    _RUBRIC: "Principle 1:",
    _SOLUTION: "\nSolution:",
    _CHECK: "\nJudgment:",
    _END: "\n\nFinal verdict:",
    ANSWERS[0]: "A",
    ANSWERS[1]: "B",
}
"""Phrases of chains, with the token that has the same function in rationales of the base model."""


def chain(item: world.Item, arm: Arm, mistyped: bool = False) -> str:
    """The chain that a teacher writes. In the arm `typed`, `mistyped` uses the template of the other type."""
    if arm == "typed":
        arm = "chat" if (item.domain == "preference") != mistyped else "reasoning"
    answer = ANSWERS[item.winner]
    if arm == "answer":
        return answer
    if arm == "reasoning":
        steps, unit = "\n".join(item.expression.steps), world.solved_unit(item)
        # The check ends with a verdict, as in the base model's rationales and in chat chains. Without that line, models
        # of some seeds checked both answers correctly and then ignored the check.
        return f"{_SOLUTION} {steps}{_CHECK} {unit.judgment}\nVerdict: {unit.sub_verdict}{_END}{answer}"
    seen = Rationale(tuple(world.unit_at_sight(item, principle) for principle in world.PRINCIPLES))
    return _RUBRIC + render(seen).removeprefix(KNOWN_AS[_RUBRIC]) + _END + answer


def examples(arm: Arm, settings: arms.Settings, seed: int) -> list[dict[str, Any]]:
    """SFT rows of chains for comparisons with the verbs of SFT; a share `mistagged` has the wrong type."""
    judge, rng = RMR1Judge(trained=True), random.Random(f"mistyped/{seed}")
    items = world.items(settings.fine_tuning, seed=seed, verbs=world.split(seed).sft, prefix="fine-tuning")
    written = [(item, chain(item, arm, rng.random() < settings.mistagged)) for item in items]
    return [
        {"id": item.id, "prompt": judge.prompt(item.comparison), "completion": [{"role": "assistant", "content": text}]}
        for item, text in written
    ]


def extended_base(seed: int, out: Path) -> Path:
    """The shipped base model with each phrase as a new token."""
    return base.extended(phrases(), seed, out)


def phrases() -> dict[str, str]:
    """Each phrase of the prompt and the chains, with the known token whose embedding it starts from."""
    frames = zip(base.frame(RMR1Judge(trained=True)), base.frame(MixJudge(trained=True)), strict=True)
    return {**dict(frames), **KNOWN_AS}


def run(arm: Arm, seed: int, settings: arms.Settings, out: Path) -> None:
    """Train one arm with one seed, and measure it after each stage. Results of an earlier run are kept."""
    arms.use_one_thread()
    folder = out / arm
    for stage in STAGES:
        measured, trained = folder / f"{stage}.jsonl", folder / f"model-{stage}"
        if measured.exists():
            continue
        if stage == "sft":
            fine_tune(arm, seed, settings, trained)
        else:
            arms.reinforce(seed, folder / "model-sft", trained, [JUDGE])
        arms.write_measured(measured, arms.measure(trained, seed, settings, RMR1Judge))


def fine_tune(arm: Arm, seed: int, settings: arms.Settings, out: Path) -> Path:
    data, start = out.with_name("chains.jsonl"), extended_base(seed, out.with_name("base"))
    write_jsonl(data, examples(arm, settings, seed))
    own = [f"model={start}", f"data={data}", f"output={out}", f"seed={seed}", JUDGE]
    return sft.train(load(recipes.path("mini_sft"), SFTRecipe, own))


def read(out: Path, arm: Arm, stage: Stage) -> list[Measured]:
    return arms.read_measured(out / arm / f"{stage}.jsonl")
