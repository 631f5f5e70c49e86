"""Self-PRM in the small world: one model solves tasks, and scores its own solutions.

    chosen(["34", "35", "34"], [0.0, 10.0, 10.0])       # "34": of the best scores, the most frequent answer

One small model is fine-tuned on two kinds of texts: right solutions of tasks, and scores of given solutions, half of
which have a planted slip. It is never trained on a solution that it wrote itself.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fathom.data.reading import read, write_jsonl
from fathom.data.records import Comparison
from fathom.engines import Engine, Request, Sampling
from fathom.engines.local import LocalEngine
from fathom.judges.self_prm import SelfPRMJudge
from fathom.lab import solutions
from fathom.lab.arms import use_one_thread
from fathom.lab.solutions import Solution
from fathom.ranking.best_of import best_of, pointwise_scores
from fathom.train import recipes, sft
from fathom.train.recipe import SFTRecipe, load

HIGHEST, LOWEST = "\n\nScore: 10", "\n\nScore: 0"
ANSWERS = {HIGHEST: " right", LOWEST: " wrong"}
"""Each score is one token, with the line breaks before it, and starts from the embedding of a known word."""
THRESHOLD = SelfPRMJudge.threshold
MAX_TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The size of the experiment. Other training settings are in the recipe `mini_sft`."""

    solving: int
    """Texts of SFT that solve a task."""
    scoring: int
    """Texts of SFT that score a given solution."""
    larger: float
    """Share of tasks with larger operands among both kinds of texts."""
    steps: int
    """Optimizer steps of SFT."""
    tasks: int
    """Held-out tasks, whose operands no training shows."""
    samples: int
    """Solutions per task to choose from. As many others measure how hard the task is."""
    temperature: float
    """Temperature of these solutions. Scores are greedy."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the model did with one held-out task."""

    larger: bool
    """Whether its operands are larger than those of pretraining."""
    right: str
    answers: list[str]
    """The answers of the solutions to choose from, in the order in which they were drawn."""
    scores: list[float | None]
    """Their scores by the model itself."""
    others: list[str]
    """The answers of the other solutions."""
    solves: bool
    """Whether the greedy solution has the right answer."""
    given_right: bool
    """Whether a solution that the model did not write is right."""
    judges_right: bool
    """Whether the model's score of it is on the right side of the threshold. An unparsed score is not."""

    @property
    def rate(self) -> float:
        """The share of right answers among the other solutions."""
        return sum(answer == self.right for answer in self.others) / len(self.others)

    @property
    def own(self) -> Iterator[tuple[bool, bool]]:
        """For each solution to choose from, whether it is right, and whether its score says so."""
        for answer, score in zip(self.answers, self.scores, strict=True):
            yield answer == self.right, says_right(score)


def says_right(score: float | None) -> bool:
    assert THRESHOLD is not None
    return score is not None and score >= THRESHOLD


# Training -------------------------------------------------------------------------------------------------------------


def fine_tune(seed: int, settings: Settings, out: Path) -> Path:
    start, data = solutions.extended_base(SelfPRMJudge(), ANSWERS, seed, out / "base"), out / "texts.jsonl"
    write_jsonl(data, examples(seed, settings))
    own = [f"model={start}", f"data={data}", f"output={out / 'model'}", f"seed={seed}"]
    steps = f"trainer.max_steps={settings.steps}"
    return sft.train(load(recipes.path("mini_sft"), SFTRecipe, [*own, steps, "judge={name: self_prm}"]))


def examples(seed: int, settings: Settings) -> list[dict[str, Any]]:
    """Texts of both kinds, in random order."""
    judge = SelfPRMJudge()
    solving = solutions.drawn(settings.solving, seed=seed, prefix="solving", larger=settings.larger)
    scoring = solutions.drawn(settings.scoring, seed=seed, prefix="scoring", larger=settings.larger)
    texts = [_example(list(asked(each)), each.right) for each in solving]
    texts += [_example(judge.prompt(_given(each)), checked(each)) for each in scoring]
    random.Random(f"texts/{seed}").shuffle(texts)
    return texts


def checked(solution: Solution) -> str:
    """A score after a check: a solution of one's own, and the answers of both side by side (the paper's Self-REF)."""
    score = HIGHEST if solution.slip is None else LOWEST
    return f"{solution.right}\nJudgment: {solution.beside_the_right}{score}"


def _example(prompt: list[Any], text: str) -> dict[str, Any]:
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": text}]}


def asked(solution: Solution) -> tuple[Any, ...]:
    """The prompt for a solution: the task alone, as in pretraining."""
    return ({"role": "user", "content": solution.prompt},)


def _given(solution: Solution) -> Comparison:
    [comparison] = read([solution.row])
    return comparison


# Measuring ------------------------------------------------------------------------------------------------------------


def run(part: str, seed: int, settings: Settings, out: Path) -> None:
    """Fine-tune the model and measure it. Results of an earlier run are kept."""
    use_one_thread()
    measured = out / f"{part}.jsonl"
    if not measured.exists():
        model = fine_tune(seed, settings, out / part)
        write_jsonl(measured, map(asdict, measure(LocalEngine(model, max_batch=512), seed, settings)))


def measure(engine: Engine, seed: int, settings: Settings) -> list[Measured]:
    """Solve the seed's held-out tasks, score the solutions, and score one given solution of each task."""
    given = solutions.drawn(settings.tasks, seed=seed, prefix="held-out", held_out=True, larger=0.5)
    drawn = asyncio.run(_solutions(engine, given, seed, settings))
    greedy = SelfPRMJudge(engine=engine, sampling=Sampling(max_tokens=MAX_TOKENS, seed=seed))
    chosen_from = [texts[1 : 1 + settings.samples] for texts in drawn]
    own = [_own(each, texts) for each, texts in zip(given, chosen_from, strict=True)]
    scored = [pointwise_scores(verdict.votes) for _, verdict in greedy.run(own, concurrency=256)]
    judged = [pointwise_scores(verdict.votes) for _, verdict in greedy.run(map(_given, given), concurrency=256)]
    return [
        _measured(each, texts, dict(zip(comparison.responses, scores, strict=True)), of_given, settings)
        for each, texts, comparison, scores, [of_given] in zip(given, drawn, own, scored, judged, strict=True)
    ]


async def _solutions(engine: Engine, given: Sequence[Solution], seed: int, settings: Settings) -> list[list[str]]:
    """For each task the greedy solution, then those to choose from, then the others."""
    greedy = Sampling(max_tokens=MAX_TOKENS, seed=seed)
    sampled = Sampling(temperature=settings.temperature, max_tokens=MAX_TOKENS, seed=seed)
    samples = range(2 * settings.samples)

    async def of(task: Solution) -> list[str]:
        requests = [Request(asked(task), greedy), *(Request(asked(task), sampled, sample) for sample in samples)]
        return [completion.text for completion in await asyncio.gather(*map(engine.complete, requests))]

    return await asyncio.gather(*map(of, given))


def _own(task: Solution, texts: Sequence[str]) -> Comparison:
    """The different solutions among the texts, as responses to the task."""
    return Comparison(id=task.id, prompt=task.prompt, responses=tuple(dict.fromkeys(texts)))


def _measured(
    task: Solution, texts: Sequence[str], scores: dict[str, float | None], of_given: float | None, settings: Settings
) -> Measured:
    answers = [answer_of(text) for text in texts]
    right = str(task.expression.value)
    return Measured(
        larger=task.is_larger,
        right=right,
        answers=answers[1 : 1 + settings.samples],
        scores=[scores[text] for text in texts[1 : 1 + settings.samples]],
        others=answers[1 + settings.samples :],
        solves=answers[0] == right,
        given_right=task.slip is None,
        judges_right=of_given is not None and says_right(of_given) == (task.slip is None),
    )


def answer_of(text: str) -> str:
    """The result of the last step; empty without one."""
    return text.rpartition("= ")[2].strip() if "= " in text else ""


def read_measured(path: Path) -> list[Measured]:
    return [Measured(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


# Choosing -------------------------------------------------------------------------------------------------------------


def majority(answers: Sequence[str]) -> str:
    """The most frequent answer."""
    return chosen(answers, [0.0] * len(answers))


def chosen(answers: Sequence[str], scores: Sequence[float | None]) -> str:
    """The answer of the solution with the highest score; among these, the most frequent answer, as in the paper.

    If answers tie, or no solution has a score, the last solution is left out until that decides. Solutions are drawn
    independently, so this breaks ties at random.
    """
    while len(answers) > 1:
        readable = any(score is not None for score in scores)
        best = best_of(scores, answers) if readable else None
        if best is not None:
            return answers[best]
        answers, scores = answers[:-1], scores[:-1]
    return answers[0]
