"""RM-R1 in the small world: chains that first classify the task, and the base model with tokens for their phrases.

    chain(item, "typed")            # "<type>Reasoning</type>\\n<solution> 37 + 18 = 55\\n..." for "compute"

A chat chain compares all seven attributes; a reasoning chain solves the task and checks both answers. As in the paper's
distillation, every chain ends in the label, regardless of the text before.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.judges import Judge
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
NOISE = 0.1
"""Standard deviation of the noise on a new token's embedding, relative to that of the embedding it is copied from.

Input and output embeddings are tied, so without noise both tokens would always get the same logit.
"""

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
        steps, checked = "\n".join(item.expression.steps), world.solved_unit(item).judgment
        return f"{_SOLUTION} {steps}{_CHECK} {checked}{_END}{answer}"
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
    """The shipped base model with each phrase as a new token, whose embedding is a noisy copy of a known one's."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words, model = AutoTokenizer.from_pretrained(base.PATH), AutoModelForCausalLM.from_pretrained(base.PATH)
    known = phrases()
    places = words.convert_tokens_to_ids(list(known.values()))
    words.add_tokens(list(known))
    model.resize_token_embeddings(len(words), mean_resizing=False)
    rows = model.get_input_embeddings().weight
    noise = torch.randn(len(known), rows.shape[1], generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        rows[words.convert_tokens_to_ids(list(known))] = rows[places] + NOISE * rows[places].std() * noise
    model.save_pretrained(out)
    words.save_pretrained(out)
    return out


def phrases() -> dict[str, str]:
    """Each phrase of the prompt and the chains, with the known token whose embedding it starts from."""
    frames = zip(_frame(RMR1Judge(trained=True)), _frame(MixJudge(trained=True)), strict=True)
    return {**dict(frames), **KNOWN_AS}


def _frame(judge: Judge) -> list[str]:
    """The constant parts of a prompt: before, between and after the task and the two responses."""
    asked = judge.prompt(Comparison(id="", prompt="<prompt>", responses=("<first>", "<second>")))[0]["content"]
    return re.split("<prompt>|<first>|<second>", asked)


def run(arm: Arm, seed: int, settings: arms.Settings, overrides: Sequence[str], out: Path) -> None:
    """Train one arm with one seed, and measure it after each stage. Results of an earlier run are kept.

    `overrides` are of the recipe `mini_rlvr`.
    """
    arms.use_one_thread()
    folder = out / arm
    for stage in STAGES:
        measured, trained = folder / f"{stage}.jsonl", folder / f"model-{stage}"
        if measured.exists():
            continue
        if stage == "sft":
            fine_tune(arm, seed, settings, trained)
        else:
            arms.reinforce(seed, folder / "model-sft", trained, [JUDGE, *overrides])
        arms.write_measured(measured, arms.measure(trained, seed, settings, RMR1Judge))


def fine_tune(arm: Arm, seed: int, settings: arms.Settings, out: Path) -> Path:
    data, start = out.with_name("chains.jsonl"), extended_base(seed, out.with_name("base"))
    write_jsonl(data, examples(arm, settings, seed))
    own = [f"model={start}", f"data={data}", f"output={out}", f"seed={seed}", JUDGE]
    return sft.train(load(recipes.path("mini_sft"), SFTRecipe, own))


def read(out: Path, arm: Arm, stage: Stage) -> list[Measured]:
    return arms.read_measured(out / arm / f"{stage}.jsonl")
