"""OmegaPRM's two savings: bisection instead of a scan of all prefixes, and search where rollouts teach most.

Both use the labelers of `fathom label` on chains of arithmetic (`fathom.lab.chains`), whose first wrong steps are
known. The first part labels the same wrong solutions of 4 to 32 steps by `monte-carlo`, which stops at the first prefix
without success, and by `bisection`, and counts rollouts and exact first errors. The second part gives `omegaprm` and a
search that chooses its rollouts at random the same budget per problem, and counts the distinct errors that each locates
exactly. omega.yaml states the claims.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.data.steps import first_error
from fathom.lab.chains import KnownRollouts, Problem, problems, written
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.labelers import Cost, Labeler, Labelled, Tools, make_labeler
from fathom.labelers.omegaprm import OmegaPRM, State
from fathom.report.figures import lines
from fathom.results.provenance import write_json

SOLVED = (0.2, 0.9)
"""The range of the policy's chance to solve a problem: OmegaPRM drops problems that are too hard or too easy."""
LENGTHS = (4, 8, 16, 32)
"""Steps per solution in the first part."""
PARTS = ("bisection", "search")


@dataclass(frozen=True, kw_only=True)
class Settings:
    wrong: int
    """Wrong solutions of each length."""
    rollouts: int
    """Rollouts per prefix."""
    chains: int
    """Problems of the second part."""
    steps: int
    """Steps per solution in the second part."""
    budget: int
    """Rollouts per problem in the second part."""


class RandomSearch(OmegaPRM):
    """OmegaPRM that searches a random wrong rollout instead of the most promising one."""

    seed: int = 0

    def preference(self, state: State, rollout: str, visits: int) -> float:
        return random.Random(f"{self.seed}/{state.prefix}/{rollout}").random()


# Bisection ------------------------------------------------------------------------------------------------------------


def wrong_solutions(count: int, *, seed: int, steps: int) -> list[tuple[Problem, tuple[int, ...]]]:
    """Wrong solutions of the policy, one per problem."""
    rng = random.Random(f"omega/{steps}/{seed}")
    chains = problems(count, seed=seed, steps=steps, name="wrong", solved=SOLVED)
    return [(chain, _wrong(chain, rng)) for chain in chains]


def _wrong(chain: Problem, rng: random.Random) -> tuple[int, ...]:
    while True:
        values = chain.sampled(rng)
        if chain.final(values) != chain.answer:
            return values


def located(solutions: Sequence[tuple[Problem, tuple[int, ...]]], labeler: Labeler, seed: int) -> dict[str, float]:
    """Rollouts per solution, and the share of solutions whose first error is named exactly."""
    cost = Cost()
    tools = Tools(KnownRollouts([problem for problem, _ in solutions], seed=seed, cost=cost))
    exact = []
    for number, (problem, values) in enumerate(solutions):
        [labelled] = asyncio.run(labeler.label(problem.comparison(values, str(number)), tools))
        exact.append(first_error(labelled.labels) == problem.first_error(values))
    return {"rollouts": cost.completions / len(solutions), "exact": fmean(exact)}


def bisection(settings: Settings, seed: int) -> dict[str, Any]:
    labelers = {
        "scan": make_labeler("monte-carlo", rollouts=settings.rollouts),
        "bisection": make_labeler("bisection", rollouts=settings.rollouts, check_problem=False),
    }
    found = {}
    for steps in LENGTHS:
        solutions = wrong_solutions(settings.wrong, seed=seed, steps=steps)
        found[str(steps)] = {name: located(solutions, labeler, seed) for name, labeler in labelers.items()}
        found[str(steps)]["all prefixes"] = {"rollouts": settings.rollouts * (steps - 1.0)}
    return found


# Search ---------------------------------------------------------------------------------------------------------------


def searched(chains: Sequence[Problem], labeler: Labeler, seed: int) -> dict[str, float]:
    """What a search finds with its budget: distinct wrong steps located exactly, per problem, and rollouts."""
    cost = Cost()
    tools = Tools(KnownRollouts(chains, seed=seed, cost=cost, texts=True))
    exact: set[tuple[str, tuple[int, ...]]] = set()
    searches = 0
    for problem in chains:
        seed_solution = problem.sampled(random.Random(f"first/{seed}/{problem.id}"))
        for labelled in asyncio.run(labeler.label(problem.comparison(seed_solution, problem.id), tools)):
            if labelled.rejected is None:
                searches += 1
                exact.update(_exact(problem, labelled))
    each = len(chains)
    return {"errors": len(exact) / each, "searches": searches / each, "rollouts": cost.completions / each}


def _exact(problem: Problem, labelled: Labelled) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The prefix up to the first error, if it was located exactly."""
    values = written(labelled.solution.text)
    wrong = labelled.sources["omegaprm"].index(0.0)
    if problem.first_error(values) == wrong:
        yield problem.id, values[: wrong + 1]


def search(settings: Settings, seed: int) -> dict[str, Any]:
    chains = problems(settings.chains, seed=seed, steps=settings.steps, name="search", solved=SOLVED)
    options = {"rollouts": settings.rollouts, "budget": settings.budget, "searches": settings.budget}
    labelers = {"omegaprm": OmegaPRM(**options), "random": RandomSearch(seed=seed, **options)}
    return {name: searched(chains, labeler, seed) for name, labeler in labelers.items()}


# The experiment -------------------------------------------------------------------------------------------------------


def run(part: str, seed: int, settings: Settings, out: Path) -> None:
    path = out / f"{part}.json"
    if not path.exists():
        write_json(path, (bisection if part == "bisection" else search)(settings, seed))


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    found = {part: json.loads((folder / f"{part}.json").read_text(encoding="utf-8")) for part in PARTS}
    return measured(found)


def measured(found: Mapping[str, Any]) -> Measurement:
    """The contrasts of one seed, from what both parts found."""
    lengths, searches = found["bisection"], found["search"]

    def saved(steps: int, other: str) -> float:
        cell = lengths[str(steps)]
        return 1 - float(cell["bisection"]["rollouts"] / cell[other]["rollouts"])

    def exact(steps: int) -> float:
        cell = lengths[str(steps)]
        return float(cell["bisection"]["exact"] - cell["scan"]["exact"])

    return Measurement(
        contrasts={
            **{f"rollouts saved, of a scan, {steps} steps": saved(steps, "scan") for steps in LENGTHS},
            **{f"rollouts saved, of all prefixes, {steps} steps": saved(steps, "all prefixes") for steps in LENGTHS},
            **{f"exact, bisection - scan, {steps} steps": exact(steps) for steps in LENGTHS},
            "located errors, search - random": searches["omegaprm"]["errors"] - searches["random"]["errors"],
        },
        figures=found,
    )


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"lengths": [str(steps) for steps in LENGTHS]}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Rollouts and exact first errors by the number of steps."""

    def by_length(what: str) -> dict[str, Any]:
        return {
            name: [(steps, found["bisection"][str(steps)][name][what].bar) for steps in LENGTHS]
            for name in ("scan", "bisection")
        }

    panels = {"rollouts per wrong solution": by_length("rollouts"), "share of exact first errors": by_length("exact")}
    lines(panels, folder / "omega", across="steps", up="")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=PARTS,
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
)
