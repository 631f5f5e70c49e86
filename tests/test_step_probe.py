"""The probe of steps: what it changes, and that it finds the flaw that a scripted model was given, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json
from typer.testing import CliRunner

import prm
from fathom import Comparison, Label, RewardModel, Rule, Status, Vote, probes
from fathom.cli import app
from fathom.data.reading import write_jsonl
from fathom.judges import Arity, scored_by_steps
from fathom.probes import Measure
from fathom.probes._changes import texts_of
from fathom.results.rows import to_row

PROBE = {"steps": probes.find("steps")}
ADDED = texts_of("steps.yaml")
CHANGES = ["repeated", "merged", "split", "padded", "praised", "emptied", "reordered", "cut"]


def solution(number: int, first_wrong: int | None = None, count: int = 5) -> Comparison:
    steps = tuple(
        f"Step {place} of {number} is a {'wrong' if place == first_wrong else 'good'} one." for place in range(count)
    )
    labels = [float(place != first_wrong) for place in range(count)]
    return Comparison(
        id=str(number), prompt=f"Task {number}", responses=("\n\n".join(steps),), steps=(steps,),
        label=Label(steps=(tuple(labels),)),
    )  # fmt: skip


def varied(comparison: Comparison) -> dict[str, Comparison]:
    found = {each.metadata["probe"]["variation"]: each for each in probes.with_variations(comparison, PROBE)}
    assert found
    return found


def steps_of(comparison: Comparison) -> tuple[str, ...]:
    assert comparison.steps is not None
    return comparison.steps[0]


@dataclass(frozen=True)
class Scripted(RewardModel):
    """Scores each step by a function of the steps and its place."""

    arity: ClassVar[Arity] = "pointwise"
    score: Callable[[Sequence[str], int], float]

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="mean", steps="min")

    @property
    def threshold(self) -> float:
        return 0.5

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        steps = steps_of(comparison)
        scores = tuple(self.score(steps, place) for place in range(len(steps)))
        return [scored_by_steps(Vote(Status.OK, order=(0,), step_scores=(scores,)), "min")]


def card(score: Callable[[Sequence[str], int], float], solutions: Sequence[Comparison]) -> dict[str, Measure]:
    """The measures, from rows that were written as JSON and read again."""
    asked = [each for comparison in solutions for each in probes.with_variations(comparison, PROBE)]
    rows = [json.loads(to_json(to_row(*pair))) for pair in Scripted(score).run(asked)]
    return {measure.name: measure for measure in probes.compute_card(rows)["steps"]}


def mean(measure: Measure) -> float:
    assert measure.interval is not None
    return measure.interval.mean


SOLUTIONS = [solution(number, first_wrong=2 if number % 2 else None) for number in range(20)]


def honest(steps: Sequence[str], place: int) -> float:
    """Steps that say "wrong" are; a step that does not follow on the one before it is wrong as well."""
    text = steps[place]
    if not text.strip() or "wrong" in text:
        return 0.1
    places = [int(word) for step in steps[: place + 1] for word in step.split() if word.isdecimal()][::2]
    return 0.9 if places == sorted(places) else 0.1


def test_every_change_is_made_once_and_the_original_is_judged_too() -> None:
    found = varied(solution(7, first_wrong=2))
    assert list(found) == ["plain", *CHANGES]
    assert found["plain"].steps == solution(7, first_wrong=2).steps
    assert len({each.id for each in found.values()}) == len(found)
    counts = {name: len(steps_of(each)) for name, each in found.items()}
    assert counts == {"plain": 5, "repeated": 6, "merged": 4, "split": 6, "padded": 6, "praised": 5, "emptied": 5,
                      "reordered": 5, "cut": 3}  # fmt: skip
    assert all(each.responses == ("\n\n".join(steps_of(each)),) for each in found.values())
    assert all(each.label is None for name, each in found.items() if name != "plain")


def test_the_first_wrong_step_is_changed() -> None:
    found = varied(solution(7, first_wrong=2))
    wrong = steps_of(found["plain"])[2]
    assert steps_of(found["repeated"])[2:4] == (wrong, wrong)
    assert steps_of(found["emptied"])[2] == ""
    assert steps_of(found["praised"])[2].removeprefix(f"{wrong} ") in ADDED["praise"]
    assert steps_of(found["padded"])[2] in ADDED["filler"]
    assert steps_of(found["merged"])[2].startswith(f"{wrong} Step 3")
    assert steps_of(found["reordered"])[3] == wrong
    late = varied(solution(7, first_wrong=3))
    assert steps_of(late["cut"]) == steps_of(late["plain"])[:4]  # what is left is still wrong


@given(st.integers(0, 50), st.integers(2, 9), st.integers(-1, 8))
def test_unchanged_steps_are_named_by_their_places_before_and_after(number: int, count: int, wrong: int) -> None:
    given = solution(number, None if wrong < 0 else min(wrong, count - 1), count)
    for name, each in varied(given).items():
        kept = each.metadata["probe"].get("kept", ())
        assert all(steps_of(given)[before] == steps_of(each)[after] for before, after in kept)
        assert name in ("plain", "merged", "cut") or len(kept) >= count - 1
        assert varied(given)[name] == each


@pytest.mark.parametrize(
    "comparison",
    [solution(1, count=1), Comparison(prompt="p", responses=("a\n\nb",)), Comparison(prompt="p", responses=("a", "b"))],
    ids=["one step", "without steps", "a pair"],
)
def test_other_comparisons_have_no_variation(comparison: Comparison) -> None:
    assert list(PROBE["steps"].vary(comparison)) == []


def test_what_was_not_planted_is_not_found() -> None:
    found = card(honest, SOLUTIONS)
    assert list(found)[:5] == ["repeated", "merged", "split", "padded", "praised"]
    targets = [measure for measure in found.values() if measure.target is not None]
    assert len(targets) == 15
    off = {measure.name for measure in targets if mean(measure) != pytest.approx(0)}
    assert off == set()


@pytest.mark.parametrize(
    ("flaw", "off"),
    [
        (lambda steps, place: 0.95 if any(text in steps[place] for text in ADDED["praise"]) else honest(steps, place),
         {"praised", "wrong made right"}),
        (lambda steps, place: 0.9 if not steps[place] else honest(steps, place), {"emptied", "wrong made right"}),
        (lambda steps, place: honest(steps, place) - (0.05 if any(text in ADDED["filler"] for text in steps) else 0),
         {"padded", "padded, other steps"}),
        (lambda steps, place: honest(steps, place) + 0.05 * (5 - len(steps)),
         {*CHANGES[:4], *(f"{name}, other steps" for name in (*CHANGES[:4], "cut")), "cut"}),
        (lambda steps, place: honest(steps, place) - (0.2 if steps[place] in steps[:place] else 0), {"repeated"}),
    ],
    ids=["believes praise", "rewards an empty step", "is disturbed by filler", "counts steps", "punishes repetition"],
)  # fmt: skip
def test_a_flaw_that_was_planted_is_found_and_no_other(
    flaw: Callable[[Sequence[str], int], float], off: set[str]
) -> None:
    found = card(flaw, SOLUTIONS)
    assert {measure.name for measure in found.values() if mean(measure) != pytest.approx(0)} == off


def test_a_judge_that_scores_no_steps_is_measured_by_the_score_of_the_solution() -> None:
    class Whole(Scripted):
        async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
            return [Vote(Status.OK, order=(0,), scores=(len(comparison.responses[0]) / 1000,))]

    asked = [each for comparison in SOLUTIONS for each in probes.with_variations(comparison, PROBE)]
    rows = [json.loads(to_json(to_row(*pair))) for pair in Whole(honest).run(asked)]
    card = probes.compute_card(rows)
    assert set(card) == {"baseline", "steps"}, "single responses have no position"
    found = {measure.name: measure for measure in card["steps"]}
    assert mean(found["padded"]) > 0.02
    assert (found["padded, other steps"].n, found["padded, other steps"].interval) == (0, None)


def test_the_command_probes_a_process_reward_model(tmp_path: Path) -> None:
    model = prm.CHECKPOINTS["token_classes"](tmp_path / "model")
    write_jsonl(tmp_path / "in.jsonl", SOLUTIONS[:4])
    arguments = ["probe", str(tmp_path / "in.jsonl"), "--model", str(model), "--out", str(tmp_path / "card")]
    done = CliRunner().invoke(app, [*arguments, "--probe", "steps"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    content: Any = json.loads((tmp_path / "card" / "card.json").read_text())
    measures = {measure["name"]: measure for measure in content["probes"]["steps"]["measures"]}
    assert content["rows"] == 4 * 9
    assert measures["cut, other steps"]["mean"] == pytest.approx(0, abs=1e-4)  # a causal model does not look ahead
    assert measures["repeated"]["n"] == 4
