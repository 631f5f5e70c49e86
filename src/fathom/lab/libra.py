"""Libra in the small world: judges of one solution that think before the verdict, and judges that do not.

    written("thinks", solution)         # "37 + 18 = 55\\n55 - 21 = 34\\nVerdict: incorrect"

The judge sees a task and a solution, and no reference answer. All arms are fine-tuned on the same solutions with right
verdicts. They differ in the text before the verdict: none, a copy of the solution, or the judge's own solution.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from fathom.data.reading import read, write_jsonl
from fathom.data.records import Comparison
from fathom.engines import Sampling
from fathom.engines.local import LocalEngine
from fathom.judges import Verdict
from fathom.judges.libra import LibraJudge
from fathom.lab import solutions
from fathom.lab.arms import use_one_thread
from fathom.lab.solutions import Solution
from fathom.results.rows import to_row
from fathom.train import recipes, sft
from fathom.train.recipe import SFTRecipe, load

Arm = Literal["at once", "copies", "thinks"]
ARMS: tuple[Arm, ...] = get_args(Arm)
"""The verdict alone; the verdict after a copy of the solution; the verdict after a solution of one's own."""
RIGHT, WRONG = "\nVerdict: correct", "\nVerdict: incorrect"
ANSWERS = {RIGHT: " right", WRONG: " wrong"}
"""Each verdict is one token, with the line break before it, and starts from the embedding of a known word."""
MAX_TOKENS = 48


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The size of the experiment. Other training settings are in the recipe `mini_sft`."""

    fine_tuning: int
    """Solutions of SFT."""
    steps: int
    """Optimizer steps of an arm."""
    steps_at_once: int
    """Those of the arm `at once`, whose texts are shorter."""
    held_out: int
    """Solutions of tasks whose operands no training shows."""
    temperature: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One judgment of a held-out solution."""

    slip: int | None
    """The step with the slip; None if the solution is right."""
    score: float | None
    """1 for "correct", 0 for "incorrect", None without a readable verdict."""
    accurate: bool
    solved: bool
    """Whether the text before the verdict is the right solution."""
    tokens: int


def written(arm: Arm, solution: Solution) -> str:
    """A text of SFT. Its verdict is right, and so is the judge's own solution."""
    verdict = RIGHT if solution.slip is None else WRONG
    match arm:
        case "copies":
            return f"{solution.text}\nJudgment: A {solution.results[1]}{verdict}"
        case "thinks":
            return f"{solution.right}\nJudgment: {solution.beside_the_right}{verdict}"
        case "at once":
            return verdict


def run(arm: str, seed: int, settings: Settings, out: Path) -> None:
    """Fine-tune one arm and measure it. Results of an earlier run are kept."""
    use_one_thread()
    [known] = (each for each in ARMS if each == arm)
    measured = out / f"{arm}.jsonl"
    if not measured.exists():
        model = fine_tune(known, seed, settings, out / arm)
        write_jsonl(measured, map(asdict, measure(model, seed, settings, out)))


def fine_tune(arm: Arm, seed: int, settings: Settings, out: Path) -> Path:
    judge = LibraJudge(trained=True)
    start, data = solutions.extended_base(judge, ANSWERS, seed, out / "base"), out / "texts.jsonl"
    shown = solutions.drawn(settings.fine_tuning, seed=seed, prefix="fine-tuning")
    write_jsonl(data, (_example(judge, arm, each) for each in shown))
    steps = settings.steps_at_once if arm == "at once" else settings.steps
    own = [f"model={start}", f"data={data}", f"output={out / 'model'}", f"seed={seed}", f"trainer.max_steps={steps}"]
    return sft.train(load(recipes.path("mini_sft"), SFTRecipe, [*own, "judge={name: libra, trained: true}"]))


def _example(judge: LibraJudge, arm: Arm, solution: Solution) -> dict[str, Any]:
    [comparison] = read([solution.row])
    text = written(arm, solution)
    return {"prompt": judge.prompt(comparison), "completion": [{"role": "assistant", "content": text}]}


def measure(model: Path, seed: int, settings: Settings, out: Path) -> list[Measured]:
    """Judge the seed's held-out solutions, which are the same for all arms. They are read from a file of rows."""
    shown = solutions.drawn(settings.held_out, seed=seed, prefix="held-out", held_out=True)
    source = out / f"{model.parent.name}-held-out.jsonl"
    write_jsonl(source, (each.row for each in shown))
    sampling = Sampling(temperature=settings.temperature, max_tokens=MAX_TOKENS, seed=seed)
    judge = LibraJudge(engine=LocalEngine(model), sampling=sampling, trained=True)
    judged = judge.run(read(source), concurrency=256)
    return [_measured(each, *pair) for each, pair in zip(shown, judged, strict=True)]


def _measured(solution: Solution, comparison: Comparison, verdict: Verdict) -> Measured:
    row = to_row(comparison, verdict)
    return Measured(
        slip=solution.slip,
        score=verdict.scores[0] if verdict.scores else None,
        accurate=row["correct"] is True,
        solved=verdict.votes[0].text.startswith(solution.right),
        tokens=verdict.usage.completion_tokens,
    )


def read_measured(path: Path) -> list[Measured]:
    return [Measured(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
