"""The reproduction's arithmetic, on measurements made up so that every claim is known to be true or false."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

import fresh
from fathom.lab import arms, world
from fathom.lab.arms import DOMAINS, Arm, Measured, Stage
from fathom.lab.experiments.claims import decide
from fathom.lab.experiments.results import Row
from fathom.lab.reproductions import mix_grm
from fathom.synth import STRUCTURE_FOR_DOMAIN

TRUE = {  # accuracy on preference, on correctness, share of fitting structures
    ("base", "sft"): (0.75, 0.62, 0.0),
    ("base", "rlvr"): (0.75, 0.66, 0.0),
    ("breadth", "sft"): (0.99, 0.55, 0.5),
    ("breadth", "rlvr"): (0.99, 0.60, 0.5),
    ("depth", "sft"): (0.50, 0.98, 0.5),
    ("depth", "rlvr"): (0.50, 0.99, 0.5),
    ("mix", "sft"): (0.90, 0.80, 0.75),
    ("mix", "rlvr"): (0.99, 0.99, 0.98),
}


TRUE |= {("breadth_16", "sft"): (0.99, 0.55, 0.5), ("mix_16", "sft"): (0.95, 0.80, 0.75)}
TRUE |= {("mix_random", "sft"): (0.90, 0.80, 0.75), ("mix_random", "rlvr"): (0.90, 0.80, 0.75)}

Truth = Mapping[tuple[Arm, Stage], tuple[float, float, float]]


def test_the_teacher_s_calls_are_those_of_the_samples_and_of_depth() -> None:
    settings = mix_grm.EXPERIMENT.settings
    calls = {arm: mix_grm.teacher_calls(arm, settings) for arm in ("base", "breadth", "depth", "mix", "mix_16")}
    assert (settings.samples, settings.many_samples) == (2, 16)
    # Depth solves, chooses principles and refines; half of the mix is depth.
    assert calls == {"base": 2, "breadth": 2, "depth": 2 + 3, "mix": 2 + 3 / 2, "mix_16": 16 + 3 / 2}


def measurements(truth: Truth, items: int = 900, seeds: int = 10) -> list[Row]:
    return fresh.rows(
        mix_grm.measured({cell: _run(*truth[cell], items, seed) for cell in truth}) for seed in range(seeds)
    )


def _run(preference: float, correctness: float, match: float, items: int, seed: int) -> list[Measured]:
    rng = random.Random(f"{preference}/{correctness}/{match}/{seed}")
    run = []
    for k in range(items):
        domain = DOMAINS[k % 2]
        structure = STRUCTURE_FOR_DOMAIN[domain] if rng.random() < match else "vanilla"
        accurate = rng.random() < (preference if domain == "preference" else correctness)
        part, kin = world.PARTS[k % 3], k % 4 < 2
        run.append(Measured(f"{seed}-{k}", domain, f"verb{k % 24}", part, kin, accurate, True, structure, 3, 40, 5.0))
    return run


def holding(truth: Truth) -> dict[str, bool]:
    return fresh.holding(mix_grm.EXPERIMENT, measurements(truth))


def test_claims_that_are_true_hold() -> None:
    assert holding(TRUE) == dict.fromkeys(
        (
            "double_dissociation",
            "mix_not_worse",
            "rlvr_gains_more_from_mix",
            "polarisation",
            "routes_verbs_never_shown",
        ),
        True,
    )


@pytest.mark.parametrize(
    ("claim", "cell", "values"),
    [
        ("double_dissociation", ("breadth", "sft"), (0.99, 0.70, 0.5)),
        ("double_dissociation", ("depth", "sft"), (0.80, 0.98, 0.5)),
        ("mix_not_worse", ("mix", "rlvr"), (0.99, 0.90, 0.98)),
        ("rlvr_gains_more_from_mix", ("base", "rlvr"), (0.95, 0.90, 0.0)),
        ("polarisation", ("mix", "rlvr"), (0.99, 0.99, 0.75)),
        ("routes_verbs_never_shown", ("mix", "rlvr"), (0.99, 0.99, 0.77)),
    ],
)
def test_a_claim_that_is_false_does_not_hold(claim: str, cell: tuple[Arm, Stage], values: tuple[float, ...]) -> None:
    found = holding({**TRUE, cell: values})  # type: ignore[dict-item]
    assert not found[claim]


def test_a_failure_of_training_on_two_seeds_of_ten_leaves_a_counted_claim_undecided() -> None:
    failed = {**TRUE, ("mix", "rlvr"): (0.75, 0.9, 0.75)}
    rows = [*measurements(TRUE)[:8], *measurements(failed)[8:]]
    polarisation = next(claim for claim in mix_grm.EXPERIMENT.register.claims if claim.name == "polarisation")
    assert str(decide(polarisation, rows)) == "undecided by count: 8 of 10 seeds succeed [0.44, 0.97]"
    assert not decide(polarisation, rows).holds


def test_the_control_is_rewarded_by_a_coin() -> None:
    items = world.items(400, seed=0, verbs=world.split(0).rlvr, prefix="control")
    comparisons = [item.comparison for item in items]
    changed = arms.relabelled(comparisons, seed=0)
    assert changed == arms.relabelled(comparisons, seed=0)
    assert [each.responses for each in changed] == [each.responses for each in comparisons]
    same = sum(a.label == b.label for a, b in zip(changed, comparisons, strict=True))
    assert 160 < same < 240  # four standard deviations of 400 throws


def test_verbs_that_no_training_shows_are_measured_apart() -> None:
    [row] = measurements(TRUE, seeds=1)
    match = row.figures["arms"]["mix"]["rlvr"]["match"]
    assert list(match) == ["all", *world.PARTS, "never, kin in SFT", "never, no kin in SFT"]
    assert row.contrasts["match of mix on verbs never shown, after RLVR"] == match["never"]


def test_a_difference_with_the_other_sign_is_marked_on_the_page(tmp_path: Path) -> None:
    truth = {**TRUE, ("base", "rlvr"): (0.55, 0.66, 0.0)}  # RLVR lowers the base arm, and does not in the paper
    page = fresh.page(mix_grm.EXPERIMENT, measurements(truth, items=200), tmp_path)
    [row] = (line for line in page.splitlines() if line.startswith("| base rlvr - base sft, preference | +0.7 |"))
    assert row.endswith("| **other sign** |")


def test_equal_results_make_equal_figures(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        fresh.page(mix_grm.EXPERIMENT, measurements(TRUE, items=100), tmp_path / folder)
    for name in ("mix-grm-accuracy", "mix-grm-routing"):
        one, two = ((tmp_path / folder / f"{name}.svg").read_bytes() for folder in ("one", "two"))
        assert one == two
        assert b"<svg" in one
