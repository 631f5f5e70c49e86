"""The reproduction's arithmetic, on measurements made up so that every claim is known to be true or false."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fathom.errors import FathomError
from fathom.lab.arms import ARMS, STAGES, Arm, Measured, Settings, Stage, recipes_used
from fathom.lab.reproductions import mix_grm
from fathom.lab.reproductions._claims import claim_folder

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


def measurements(truth: Mapping[tuple[Arm, Stage], tuple[float, float, float]], items: int = 800) -> mix_grm.Runs:
    return {cell: [_run(*truth[cell], items, seed) for seed in range(3)] for cell in truth}


def _run(preference: float, correctness: float, match: float, items: int, seed: int) -> list[Measured]:
    rng = random.Random(f"{preference}/{correctness}/{match}/{seed}")
    run = []
    for k in range(items):
        domain = ("preference", "correctness")[k % 2]
        fits = rng.random() < match
        structure = {"preference": "breadth", "correctness": "depth"}[domain] if fits else "vanilla"
        accurate = rng.random() < (preference if domain == "preference" else correctness)
        run.append(Measured(f"{seed}-{k}", domain, k % 4 < 2, accurate, True, structure, 3, 40, 5.0))  # type: ignore[arg-type]
    return run


def holding(truth: Mapping[tuple[Arm, Stage], tuple[float, float, float]]) -> dict[str, bool]:
    return {name: claim["holds"] for name, claim in mix_grm.claims(measurements(truth)).items()}


def test_claims_that_are_true_hold() -> None:
    assert holding(TRUE) == dict.fromkeys(
        ("double_dissociation", "mix_not_worse", "rlvr_gains_more_from_mix", "polarisation"), True
    )


@pytest.mark.parametrize(
    ("claim", "cell", "values"),
    [
        ("double_dissociation", ("breadth", "sft"), (0.99, 0.70, 0.5)),
        ("double_dissociation", ("depth", "sft"), (0.80, 0.98, 0.5)),
        ("mix_not_worse", ("mix", "rlvr"), (0.99, 0.90, 0.98)),
        ("rlvr_gains_more_from_mix", ("base", "rlvr"), (0.95, 0.90, 0.0)),
        ("polarisation", ("mix", "rlvr"), (0.99, 0.99, 0.75)),
    ],
)
def test_a_claim_that_is_false_does_not_hold(claim: str, cell: tuple[Arm, Stage], values: tuple[float, ...]) -> None:
    found = holding({**TRUE, cell: values})  # type: ignore[dict-item]
    assert not found[claim]


def test_contrasts_are_paired_by_item() -> None:
    runs = measurements(TRUE)
    same = mix_grm._contrast(runs, [("mix", "sft")], [("mix", "sft")], mix_grm.accurate)
    assert same == (0.0, 0.0, 0.0)


def test_the_ceiling_of_the_mix_is_the_better_of_its_two_styles() -> None:
    assert {arm: [mix_grm.ceiling(arm, domain) for domain in mix_grm.DOMAINS] for arm in ARMS} == {
        "base": [0.75, 0.75],
        "breadth": [1.0, 0.75],
        "depth": [0.5, 1.0],
        "mix": [1.0, 1.0],
    }


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return mix_grm.results(measurements(TRUE, items=100))


def test_results_have_the_published_shape_and_survive_json(found: dict[str, Any]) -> None:
    found = json.loads(json.dumps(found))
    for arm in ARMS:
        for stage in STAGES:
            cell = found["arms"][arm][stage]
            for domain in mix_grm.DOMAINS:
                assert cell[domain]["low"] <= cell[domain]["accuracy"] <= cell[domain]["high"]
            assert {"structural_match", "tokens", "readable"} <= cell.keys()
    assert all(claim.keys() >= {"holds", "evidence"} for claim in found["claims"].values())


def test_a_difference_with_the_other_sign_is_named_on_the_page(tmp_path: Path) -> None:
    truth = {**TRUE, ("base", "rlvr"): (0.55, 0.66, 0.0)}  # RLVR lowers the base arm, and does not in the paper
    found = mix_grm.results(measurements(truth, items=200))
    origin = {"recipes": recipes_used()}
    page = mix_grm.page({**found, "seeds": [0, 1, 2], "origin": origin}, Settings())
    assert "base rlvr - base sft on preference (+0.7 in the paper" in page
    assert "](mix-grm-accuracy.svg)" in page
    assert "](mix-grm-structure.svg)" in page


def test_equal_results_make_equal_figures(found: dict[str, Any], tmp_path: Path) -> None:
    for folder in ("one", "two"):
        mix_grm.figures(found, tmp_path / folder)
    for name in ("mix-grm-accuracy", "mix-grm-structure"):
        one, two = ((tmp_path / folder / f"{name}.svg").read_bytes() for folder in ("one", "two"))
        assert one == two
        assert b"<svg" in one
        assert (tmp_path / "one" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_of_another_experiment_is_refused(tmp_path: Path) -> None:
    claim_folder(tmp_path / "seed-0", {"settings": {"samples": 16}})
    claim_folder(tmp_path / "seed-0", {"settings": {"samples": 16}})
    with pytest.raises(FathomError, match="other settings"):
        claim_folder(tmp_path / "seed-0", {"settings": {"samples": 8}})
