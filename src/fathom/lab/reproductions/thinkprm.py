r"""Which chains teach a verifier: those that agree with labels of steps, or with the outcome (ThinkPRM's filter).

A scripted teacher verifies solutions of chains of arithmetic (`fathom.lab.chains`) in the form of `--judge thinkprm`.
It has a blind spot and slips. `fathom.synth.rejection` filters its texts, by labels of steps or by outcomes. The
verifier that is "trained" on the kept texts is a table: it calls a kind of step correct with the share of kept
verdicts that do. It writes chains too, which `--judge thinkprm` reads. thinkprm.yaml states the claims.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.data.records import Comparison, Label
from fathom.engines import Completion, Engine, Request, Sampling
from fathom.engines.scripted import ScriptedEngine, choosing
from fathom.judges import Vote
from fathom.judges.thinkprm import ThinkPRMJudge
from fathom.lab import step_table
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.reproductions.prm_labels import Sampled, combinations, sampled, upto
from fathom.lab.step_table import Table
from fathom.labelers import Labels
from fathom.metrics.separation import auc
from fathom.metrics.steps import first_error_accuracy, voted_first_error
from fathom.report.figures import grouped_bars
from fathom.results.provenance import write_json
from fathom.synth import rejection
from fathom.voting.wrappers import Repeated

ARMS = ("steps", "outcome", "outcome, twice", "none", "labels")
"""By what chains are filtered: as many as `steps` keeps, or twice as many; `labels` are true labels without chains.
"""
VOTES = ("greedy", "many")
CLOSING = 0.98
"""The teacher's probability of the answer to the closing question that its chain implies."""
_PROBLEM = re.compile(r"^(\w+-\d+): begin", re.MULTILINE)
_VERDICT = re.compile(r"\\boxed\{(correct|incorrect)\}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    steps: int
    """Steps per solution."""
    solutions: int
    """Solutions that the teacher verifies, one per problem."""
    chains: int
    """Chains of the teacher per solution."""
    slips: float
    """The share of verdicts of the teacher that are turned around at random."""
    test: int
    """Solutions that the verifiers judge."""
    votes: int
    """Chains per solution of a verifier that samples."""


# The teacher ----------------------------------------------------------------------------------------------------------

Verdicts = Callable[[Sampled, random.Random, float], Sequence[bool]]
"""Whether each step is called correct, given a temperature."""


def believed(item: Sampled) -> list[bool]:
    """What the teacher believes of each step: the misconception of the policy is its own."""
    found = []
    for step, operation in enumerate(item.problem.operations):
        before, value = item.problem.before(item.values, step), item.values[step]
        blind = operation.is_misconceived and value == (before + operation.constant) % 7
        found.append(blind or value == operation(before))
    return found


def slipping(slips: float) -> Verdicts:
    return lambda item, rng, temperature: [right != (rng.random() < slips) for right in believed(item)]


def of_table(table: Table) -> Verdicts:
    """The verdicts of a trained verifier: the likelier one at temperature 0, else drawn."""

    def verdicts(item: Sampled, rng: random.Random, temperature: float) -> list[bool]:
        scores = [table[kind] for kind in combinations(item)]
        return [score >= 0.5 if temperature == 0 else rng.random() < score for score in scores]

    return verdicts


def writer(items: Sequence[Sampled], verdicts: Verdicts, seed: int) -> Engine:
    """An engine that writes chains about these solutions, and answers the closing question."""
    by_problem = {item.problem.id: item for item in items}

    def reply(request: Request) -> Completion:
        if request.prefix:
            right = "incorrect" not in request.prefix
            return choosing("", {"Yes": CLOSING if right else 1 - CLOSING, "No": 1 - CLOSING if right else CLOSING})
        match = _PROBLEM.search(request.messages[0]["content"])
        assert match is not None
        item = by_problem[match[1]]
        rng = random.Random(f"{seed}/{match[1]}/{request.sample}")
        return Completion(chain(item, verdicts(item, rng, request.sampling.temperature)))

    return ScriptedEngine(reply, provides=("text", "logprobs", "prefix"))


def chain(item: Sampled, verdicts: Sequence[bool]) -> str:
    """A verdict on each step, up to the first incorrect one."""
    end = verdicts.index(False) + 1 if False in verdicts else len(verdicts)
    steps = zip(item.problem.texts(item.values), verdicts[:end], strict=False)
    return "\n".join(f"{text.strip()} is \\boxed{{{'correct' if right else 'incorrect'}}}" for text, right in steps)


# Filtering ------------------------------------------------------------------------------------------------------------


def filtered(items: Sequence[Sampled], by: str, settings: Settings, seed: int) -> list[tuple[Sampled, Labels]]:
    """The chains of the teacher that a filter keeps, as verdicts on the steps of their solutions."""
    judge = ThinkPRMJudge(reads="steps" if by == "steps" else "solution")
    chosen = rejection.Settings(
        judge=judge,
        samples=settings.chains,
        hints=False,
        easy=True,
        balance=by != "none",
        sampling=Sampling(temperature=0.6),
    )
    asked = [asked_by(item, by, settings.steps) for item in items]
    result = asyncio.run(rejection.sample(asked, writer(items, slipping(settings.slips), seed), chosen))
    kept = [each for each in result.trajectories if by == "none" or each.rejected is None]
    return [(items[int(each.comparison.id)], verdicts_of(each.vote.text, settings.steps)) for each in kept]


def asked_by(item: Sampled, by: str, steps: int) -> Comparison:
    """A solution with the label that a filter reads."""
    found = item.comparison(upto(item.error, steps))
    if by == "steps":
        return found
    right = item.problem.final(item.values) == item.problem.answer
    return found.model_copy(update={"label": Label(scores=(float(right),))})


def verdicts_of(text: str, steps: int) -> Labels:
    found = [float(match[1] == "correct") for match in _VERDICT.finditer(text)]
    return (*found, *[None] * (steps - len(found)))


def trainings(items: Sequence[Sampled], settings: Settings, seed: int) -> dict[str, list[tuple[Sampled, Labels]]]:
    """The chains of each arm, half of them on right solutions. The second half of `items` is for `outcome, twice`."""
    rng = random.Random(f"thinkprm/{seed}")
    first = items[: settings.solutions]
    steps = filtered(first, "steps", settings, seed)
    once, more = (filtered(each, "outcome", settings, seed) for each in (first, items))
    return {
        "steps": steps,
        "outcome": halved(once, len(steps), rng),
        "outcome, twice": halved(more, 2 * len(steps), rng),
        "none": halved(filtered(first, "none", settings, seed), len(steps), rng),
        "labels": halved([(item, upto(item.error, settings.steps)) for item in first], len(steps), rng),
    }


def halved(training: Sequence[tuple[Sampled, Labels]], count: int, rng: random.Random) -> list[tuple[Sampled, Labels]]:
    """`count` of them, half on right solutions and half on wrong ones; fewer where there are fewer."""
    kinds = [[each for each in training if (each[0].error is None) == kind] for kind in (True, False)]
    return [each for kind in kinds for each in rng.sample(kind, min(count // 2, len(kind)))]


# Measuring ------------------------------------------------------------------------------------------------------------


def verified(table: Table, items: Sequence[Sampled], count: int, seed: int, steps: int) -> list[list[Vote]]:
    """The votes of a verifier on each solution: one greedy chain, or several that are sampled."""
    sampling = Sampling(temperature=1.0 if count > 1 else 0.0)
    judge = ThinkPRMJudge(engine=writer(items, of_table(table), seed), sampling=sampling, reads="steps")
    asked = [item.comparison(upto(item.error, steps)) for item in items]
    found = Repeated(judge, count).run(asked, concurrency=64) if count > 1 else judge.run(asked, concurrency=64)
    return [list(verdict.votes) for _, verdict in found]


def scores(votes: Sequence[Sequence[Vote]], items: Sequence[Sampled]) -> dict[str, float]:
    """ProcessBench's F1 of the first error that most chains name, and the AUC of whole solutions.

    The score of a solution is the share of chains that call all steps correct, the mean over chains of the paper.
    """
    steps = [[vote.step_scores[0] for vote in each if vote.step_scores] for each in votes]
    named = (voted_first_error(each) for each in steps)
    f1 = first_error_accuracy(zip(named, [item.error for item in items], strict=True)).f1
    shares = [fmean(0.0 not in chain for chain in each) for each in steps]
    right = [share for share, item in zip(shares, items, strict=True) if item.error is None]
    area = auc(right, [share for share, item in zip(shares, items, strict=True) if item.error is not None])
    return {"f1": f1 or 0.0, "auc": 0.5 if area is None else area}


def of_chains(training: Sequence[tuple[Sampled, Labels]]) -> dict[str, float]:
    """How many chains there are, and the shares of wrong verdicts: on right steps, and on wrong ones."""
    pairs = [
        (label, item.problem.operations[step](item.problem.before(item.values, step)) == item.values[step])
        for item, labels in training
        for step, label in enumerate(labels)
        if label is not None
    ]
    return {
        "chains": float(len(training)),
        "right steps called incorrect": fmean(label == 0 for label, right in pairs if right),
        "wrong steps called correct": fmean(label == 1 for label, right in pairs if not right),
    }


# The experiment -------------------------------------------------------------------------------------------------------


def run(part: str, seed: int, settings: Settings, out: Path) -> None:
    path = out / f"{part}.json"
    if path.exists():
        return
    items, test = (
        sampled(count, seed=seed, steps=settings.steps, name=name)
        for name, count in (("verify", 2 * settings.solutions), ("verifytest", settings.test))
    )
    found = {}
    for arm, training in trainings(items, settings, seed).items():
        table = step_table.fitted((combinations(item), labels) for item, labels in training)
        greedy, many = (
            scores(verified(table, test, count, seed, settings.steps), test) for count in (1, settings.votes)
        )
        found[arm] = {"training": of_chains(training), "greedy": greedy, "many": many}
    write_json(path, found)


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured(json.loads((folder / "all.json").read_text(encoding="utf-8")))


def measured(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Measurement:
    """The contrasts of one seed."""

    def above(one: str, other: str, votes: str, what: str) -> float:
        return found[one][votes][what] - found[other][votes][what]

    pairs = [("steps", "outcome"), ("steps", "outcome, twice"), ("outcome", "none"), ("labels", "steps")]

    return Measurement(
        contrasts={
            **{f"F1, one chain, {one} - {other}": above(one, other, "greedy", "f1") for one, other in pairs},
            **{f"AUC, many chains, {one} - {other}": above(one, other, "many", "auc") for one, other in pairs},
        },
        figures=found,
    )


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"cells": {arm: found[arm] for arm in ARMS}}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """F1 and AUC by arm, of one chain and of many."""
    panels = {
        title: {arm: [found[arm][votes][what].bar for votes in VOTES] for arm in ARMS}
        for title, what in (("F1 of first errors", "f1"), ("AUC of solutions", "auc"))
    }
    grouped_bars(panels, ("one greedy chain", "many sampled chains"), folder / "thinkprm")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("all",),
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
)
