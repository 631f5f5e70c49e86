"""An engine that judges solutions of known truth with planted noise, in every form in which a verifier can be asked.

    engine = PlantedEngine(truths, noise=1.0, seed=0)
    engine.knows(YesNoJudge(), solutions)               # text judges: which prompt shows which solution
    await YesNoJudge(engine=engine)(comparison)

Every decision, about a whole solution or about one step, is the log-odds +1 or -1 of the truth plus Gaussian noise.
A classifier's output and a step's score are one decision each. A verifier that writes text decides anew in every
sample; a part of its noise is the same in all samples.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from math import exp, sqrt
from typing import NamedTuple

from fathom.data.records import Comparison
from fathom.engines import (
    BaseEngine,
    Capability,
    Classification,
    ClassifyRequest,
    Completion,
    EngineError,
    Request,
    StepRequest,
    StepScores,
)
from fathom.engines.scripted import choosing
from fathom.judges import Judge


class Truth(NamedTuple):
    """A solution's text, whether its answer is right, and whether each step is."""

    text: str
    right: bool
    steps: tuple[bool, ...]


class PlantedEngine(BaseEngine):
    """`noise`: the standard deviation of a decision's log-odds. `step_noise`: that of a decision about a step, by
    default the same. `shared`: the share of a text verifier's variance that is the same in all samples.
    """

    provides = frozenset[Capability]({"text", "logprobs", "classification", "steps"})

    def __init__(
        self, truths: Iterable[Truth], *, noise: float, seed: int, step_noise: float | None = None, shared: float = 0.5
    ) -> None:
        self.by_text = {truth.text: truth for truth in truths}
        self.by_steps: dict[tuple[str, ...], Truth] = {}
        self.by_prompt: dict[str, Truth] = {}
        self.noise = noise
        self.step_noise = noise if step_noise is None else step_noise
        self.shared = shared
        self.seed = seed
        self.identity = f"planted:{noise}:{self.step_noise}:{shared}:{seed}"

    def knows(self, judge: Judge, solutions: Sequence[Comparison]) -> None:
        """Learn which prompt of a judge shows which solution. Each comparison has one response."""
        for each in solutions:
            self.by_prompt[judge.prompt(each)[0]["content"]] = self.by_text[each.responses[0]]

    # The four forms ---------------------------------------------------------------------------------------------------

    async def classify(self, request: ClassifyRequest) -> Classification:
        truth = self.by_text[request.answer]
        return Classification((self._decision(truth, None, "classifier"),), ("LABEL_0",))

    async def steps(self, request: StepRequest) -> StepScores:
        truth = self.by_text["".join(request.steps)]
        return StepScores(tuple(_logistic(self._decision(truth, step, "process")) for step in range(len(truth.steps))))

    async def complete(self, request: Request) -> Completion:
        """P(Yes) of the whole solution, or the index of the first step that is found wrong."""
        prompt = request.messages[-1]["content"]
        if prompt not in self.by_prompt:
            raise EngineError("this prompt shows no planted solution")
        truth = self.by_prompt[prompt]
        if "boxed" not in prompt:
            yes = _logistic(self._sampled(truth, None, request.sample))
            return choosing("", {"Yes": yes, "No": 1 - yes})
        wrong = (step for step in range(len(truth.steps)) if self._sampled(truth, step, request.sample) < 0)
        return Completion(f"\\boxed{{{next(wrong, -1)}}}")

    def _sampled(self, truth: Truth, step: int | None, sample: int) -> float:
        """A decision of a verifier that writes text: its noise has a part of the solution and one of the sample."""
        mean = self._value(truth, step)
        of_solution = self._decision(truth, step, "text") - mean
        of_sample = self._decision(truth, step, f"text/{sample}") - mean
        return mean + sqrt(self.shared) * of_solution + sqrt(1 - self.shared) * of_sample

    def _decision(self, truth: Truth, step: int | None, verifier: str) -> float:
        rng = random.Random(f"{self.seed}/{verifier}/{step}/{truth.text}")
        return self._value(truth, step) + rng.gauss(0, self.noise if step is None else self.step_noise)

    @staticmethod
    def _value(truth: Truth, step: int | None) -> float:
        return 1.0 if (truth.right if step is None else truth.steps[step]) else -1.0


def _logistic(value: float) -> float:
    return 1 / (1 + exp(-value))
