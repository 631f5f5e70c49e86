r"""What helps a judge of steps: written work, programs that are run, or the mean over several rationales (GenPRM).

Small networks learn from the same labelled steps (`fathom.lab.checked_steps`): one judges a step at once; others write
its two operations, and judge by the result. `Writer` is an engine that puts their answers in the form that
`--judge genprm` asks for, and programs run in its sandbox. genprm.yaml states the claims.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fathom.data.steps import first_error
from fathom.engines import BaseEngine, Completion, Request, Sampling
from fathom.engines.scripted import choosing
from fathom.lab import arms, checked_steps
from fathom.lab.checked_steps import FACTORS, MODULUS, SUMMANDS, Step
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.metrics.separation import auc
from fathom.metrics.steps import first_error_accuracy
from fathom.report.figures import grouped_bars
from fathom.results.provenance import write_json
from fathom.rewards.genprm import CODE, JUDGE_IT, GenPRM

ARMS: Mapping[str, tuple[str, int]] = {
    "verdict alone": ("verdict", 1),
    "written work": ("work", 1),
    "written work, mean of 8": ("work", 8),
    "program": ("program", 1),
}
"""The form of a rationale, and the number of rationales per step, of each arm."""
COLUMNS = (MODULUS, max(FACTORS) + 1, max(SUMMANDS) + 1, MODULUS)
"""How many numbers each of the fields of a step may be: before, factor, summand, value."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    training: int
    """Labelled steps that the networks learn from."""
    hidden: int
    """Units of the layer of each network."""
    updates: int
    learning_rate: float
    steps: int
    """Steps per test solution."""
    test: int
    """Test solutions, with operands that are in no training step."""
    temperature: float
    """Of the written work."""


# The networks ---------------------------------------------------------------------------------------------------------


class Networks(NamedTuple):
    """Each maps one-hot numbers to logits. All learn from the same steps."""

    direct: Any
    """The step to its correctness, at once."""
    product: Any
    """The value before and the factor to their product."""
    total: Any
    """A product and the summand to the result."""
    verdict: Any
    """A result and the written value to the correctness."""


def train(settings: Settings, seed: int) -> Networks:
    import torch

    torch.manual_seed(seed)
    found = checked_steps.solutions(settings.training, 1, seed=seed, name="genprm", held_out=False)
    steps = [step for (step,) in found]
    right = [int(step.is_right) for step in steps]
    known = [(step.before, step.factor, step.summand, step.value) for step in steps]

    def network(inputs: Sequence[tuple[int, ...]], sizes: Sequence[int], targets: list[int], outputs: int) -> Any:
        return _fitted(inputs, sizes, targets, outputs, settings)

    return Networks(
        network(known, COLUMNS, right, 2),
        network([each[:2] for each in known], COLUMNS[:2], [step.product for step in steps], MODULUS),
        network(
            [(step.product, step.summand) for step in steps],
            (MODULUS, COLUMNS[2]),
            [step.result for step in steps],
            MODULUS,
        ),
        network([(step.result, step.value) for step in steps], (MODULUS, MODULUS), right, 2),
    )


def _fitted(
    inputs: Sequence[tuple[int, ...]], sizes: Sequence[int], targets: list[int], outputs: int, settings: Settings
) -> Any:
    """A function of numbers, one per size, that returns the probabilities of the outputs."""
    import torch
    from torch.nn import GELU, Linear, Sequential
    from torch.nn.functional import cross_entropy

    model = Sequential(Linear(sum(sizes), settings.hidden), GELU(), Linear(settings.hidden, outputs))
    features, wanted = torch.tensor([one_hot(each, sizes) for each in inputs]), torch.tensor(targets)
    optimizer = torch.optim.Adam(model.parameters(), settings.learning_rate)
    for _ in range(settings.updates):
        optimizer.zero_grad()
        cross_entropy(model(features), wanted).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def probabilities(*numbers: int, temperature: float = 1.0) -> list[float]:
        with torch.no_grad():
            found: list[float] = (model(torch.tensor(one_hot(numbers, sizes))) / temperature).softmax(-1).tolist()
        return found

    return probabilities


def one_hot(numbers: Sequence[int], sizes: Sequence[int]) -> list[float]:
    return [float(number == place) for number, size in zip(numbers, sizes, strict=True) for place in range(size)]


class Writer(BaseEngine):
    """Writes the parts of a rationale that `--judge genprm` asks for, in one form."""

    def __init__(self, networks: Networks, form: str) -> None:
        self.identity = f"genprm/{form}"
        self.provides = frozenset({"text", "logprobs", "prefix"})
        self.networks = networks
        self.form = form

    async def complete(self, request: Request) -> Completion:
        step = checked_steps.read(request.messages[-1]["content"])
        if request.prefix.endswith(JUDGE_IT):
            right = self.correctness(step, request.prefix)
            return choosing("", {"Yes": right, "No": 1 - right})
        if request.prefix.endswith(CODE):
            return Completion(f"print(({step.before} * {step.factor} + {step.summand}) % {MODULUS})")
        if "[Code Output]" in request.prefix:
            return Completion("</verify>\n<output>")
        return Completion(self.work(step, request) if self.form == "work" else "")

    def work(self, step: Step, request: Request) -> str:
        """Both operations, each drawn from the network's probabilities."""
        rng = random.Random(f"{step}/{request.sample}/{request.sampling.seed}")
        temperature = request.sampling.temperature
        product = _drawn(self.networks.product(step.before, step.factor, temperature=temperature), rng)
        total = _drawn(self.networks.total(product, step.summand, temperature=temperature), rng)
        return f"{step.before} * {step.factor} = {product}, {product} + {step.summand} = {total}"

    def correctness(self, step: Step, prefix: str) -> float:
        """The probability that the step is right, given what the prefix says."""
        if self.form == "verdict":
            return float(self.networks.direct(*step)[1])
        result = prefix.rpartition("```\n")[0] if self.form == "program" else prefix.partition("\n</analyze>")[0]
        return float(self.networks.verdict(int(result.split()[-1]), step.value)[1])


def _drawn(probabilities: Sequence[float], rng: random.Random) -> int:
    [drawn] = rng.choices(range(len(probabilities)), probabilities)
    return drawn


# Measuring ------------------------------------------------------------------------------------------------------------

Scores = Sequence[tuple[float | None, ...] | None]
"""The step scores of each solution; None where a rationale could not be read."""


def judged(networks: Networks, form: str, samples: int, settings: Settings, seed: int) -> Scores:
    judge = GenPRM(
        engine=Writer(networks, form),
        sampling=Sampling(temperature=settings.temperature, seed=seed),
        samples=samples,
        verify=form == "program",
    )
    asked = (checked_steps.comparison(str(number), steps) for number, steps in enumerate(tested(settings, seed)))
    votes = [verdict.votes[0] for _, verdict in judge.run(asked, concurrency=8)]
    return [vote.step_scores[0] if vote.step_scores else None for vote in votes]


def tested(settings: Settings, seed: int) -> list[tuple[Step, ...]]:
    return checked_steps.solutions(settings.test, settings.steps, seed=seed, name="genprm test", held_out=True)


def measures(found: Scores, solutions: Sequence[Sequence[Step]]) -> dict[str, float]:
    """AUC of single steps, ProcessBench's F1 at one half, and the share of solutions that could be read."""
    pairs = list(zip(found, solutions, strict=True))
    steps = [
        (score, step.is_right)
        for given, each in pairs
        for score, step in zip(given or (), each, strict=False)
        if score is not None
    ]
    area = auc(*([score for score, right in steps if right == kind] for kind in (True, False)))
    named = (((first_error(given),) if given else None, checked_steps.first_error(each)) for given, each in pairs)
    return {
        "auc": 0.5 if area is None else area,
        "f1": first_error_accuracy(named).f1 or 0.0,
        "read": sum(given is not None for given in found) / len(found),
    }


# The experiment -------------------------------------------------------------------------------------------------------


def run(part: str, seed: int, settings: Settings, out: Path) -> None:
    path = out / f"{part}.json"
    if path.exists():
        return
    arms.use_one_thread()
    networks, solutions = train(settings, seed), tested(settings, seed)
    found = {
        arm: measures(judged(networks, form, samples, settings, seed), solutions)
        for arm, (form, samples) in ARMS.items()
    }
    write_json(path, found)


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured(json.loads((folder / "all.json").read_text(encoding="utf-8")))


def measured(found: Mapping[str, Mapping[str, float]]) -> Measurement:
    """The contrasts of one seed."""
    pairs = {
        "work - verdict alone": ("written work", "verdict alone"),
        "mean of 8 - one": ("written work, mean of 8", "written work"),
        "program - work": ("program", "written work"),
        "program - work, mean of 8": ("program", "written work, mean of 8"),
    }
    return Measurement(
        contrasts={
            f"{what.upper()}, {words}": found[one][what] - found[other][what]
            for words, (one, other) in pairs.items()
            for what in ("auc", "f1")
        },
        figures=found,
    )


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"cells": {arm: found[arm] for arm in ARMS}}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """AUC and F1 by arm."""
    panel = {arm: [found[arm][what].bar for what in ("auc", "f1")] for arm in ARMS}
    grouped_bars({"steps with new operands": panel}, ("AUC of steps", "F1 of first errors"), folder / "genprm")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("all",),
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
)
