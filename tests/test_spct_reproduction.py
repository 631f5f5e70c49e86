"""The reproductions of SPCT: their claims, on measurements made up so that each is known to be true or false."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import pytest

import fresh
from fathom.errors import FathomError
from fathom.judges import Rule
from fathom.lab import criteria
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.experiments.running import reproduce
from fathom.lab.reproductions import meta_voting, spct
from fathom.lab.reproductions._voting import MAJORITY, SUM, Run
from fathom.lab.spct import Measured, Settings, greedy, one, voted

RIGHT, WRONG = [9.0, 1.0], [1.0, 9.0]
SEEDS = 8


def item(**changes: object) -> Measured:
    """The first response is the better one."""
    plain = Measured(
        "i", 0, {"best": 0.9}, RIGHT, [RIGHT, WRONG, WRONG], [0.9, 0.2, 0.1], ["Depth", "Polish", "Polish"]
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_the_accuracy_of_one_vote_is_the_mean_over_all_of_them() -> None:
    assert one(item()) == pytest.approx(1 / 3)
    assert one(item(votes=[RIGHT, [5.0, 5.0], None])) == pytest.approx(1.5 / 3)


@pytest.mark.parametrize(("scores", "accuracy"), [(RIGHT, 1.0), (WRONG, 0.0), ([5.0, 5.0], 0.5), (None, 0.0)])
def test_a_tie_is_half_right_and_what_cannot_be_read_is_wrong(scores: list[float] | None, accuracy: float) -> None:
    assert greedy(item(greedy=scores)) == accuracy


def test_votes_are_the_first_ones_counted_by_the_library() -> None:
    mixed = item(votes=[[5.0, 1.0], [4.0, 5.0], [4.0, 5.0], None])
    assert [voted(mixed, count, SUM) for count in (1, 2, 3, 4)] == [1.0, 1.0, 1.0, 1.0]
    assert [voted(mixed, count, MAJORITY) for count in (1, 2, 3, 4)] == [1.0, 0.5, 0.0, 0.0]
    assert voted(mixed, 4, Rule(invalid="require")) == 0.0


def test_chosen_votes_are_those_of_the_first_that_the_meta_reward_model_likes() -> None:
    assert voted(item(), 3, SUM) == 0.0
    assert voted(item(), 3, SUM, keep=1) == 1.0
    assert voted(item(meta=[0.1, 0.2, 0.9]), 3, SUM, keep=1) == 0.0
    assert meta_voting.lazy(item(votes=[RIGHT, WRONG], meta=[0.9, 0.2], principles=["Depth", "Polish"]), 1) == 0.0


# Claims ---------------------------------------------------------------------------------------------------------------


Runs = Sequence[Run]
"""One per seed."""


def measurements(greedy: float, chance: tuple[float, float], shared: float, meta: bool = False) -> Runs:
    """`chance`: of a vote to be right, where the item is one of the `shared` share on which all votes lean the wrong
    way, and elsewhere; a meta reward model knows right votes by sight."""
    return [_run(random.Random(f"{greedy}/{chance}/{seed}"), greedy, chance, shared, meta) for seed in range(SEEDS)]


def _run(rng: random.Random, greedy: float, chance: tuple[float, float], shared: float, meta: bool) -> list[Measured]:
    made = []
    for number, told in enumerate(criteria.items(120, seed=0, clear=0.55)):
        right = chance[0] if rng.random() < shared else chance[1]
        votes = [RIGHT if rng.random() < right else WRONG for _ in range(32)]
        scores = [rng.random() + (vote == RIGHT) for vote in votes] if meta else None
        once = RIGHT if rng.random() < greedy else WRONG
        best = asdict(criteria.ideal(told, clear=0.55))
        made.append(Measured(str(number), 0, best, once, votes, scores, ["Polish"] * 32))  # type: ignore[arg-type]
    return made


TRUE = {
    "without": measurements(0.6, (0.1, 0.7), 0.3),
    "first": measurements(0.75, (0.2, 0.75), 0.15),
    "rft": measurements(0.75, (0.2, 0.65), 0.15),
    "rlvr": measurements(0.78, (0.2, 0.85), 0.15),
}


REJECTION = {"sampled": {"kept": 3, "too easy": 6}, "hinted": {"kept": 2}}


def by_seed(runs: Mapping[str, Runs]) -> list[dict[str, Run]]:
    return [{judge: every[seed] for judge, every in runs.items()} for seed in range(SEEDS)]


def holding(module: ModuleType, runs: Mapping[str, Runs]) -> dict[str, bool]:
    rows = fresh.rows(Measurement(module.contrasts(each), {}) for each in by_seed(runs))
    return fresh.holding(module.EXPERIMENT, rows)


def test_claims_of_spct_that_are_true_hold_and_others_do_not() -> None:
    assert holding(spct, TRUE) == {
        "principles_help": True,
        "one_below_greedy_below_votes": True,
        "majority_above_greedy": True,
        "rlvr_lifts_one_vote": True,
        "rlvr_scales_better": False,
    }
    settled, wavering = measurements(0.75, (0.0, 0.85), 0.3), measurements(0.9, (0.57, 0.57), 0.0)
    turned = {"without": TRUE["first"], "first": TRUE["first"], "rft": settled, "rlvr": wavering}
    assert holding(spct, turned) == {
        "principles_help": False,
        "one_below_greedy_below_votes": False,
        "majority_above_greedy": False,
        "rlvr_lifts_one_vote": False,
        "rlvr_scales_better": True,
    }


FLAWED = {
    "flawed": measurements(0.5, (0.3, 0.9), 0.45, meta=True),
    "flawed-rlvr": measurements(1.0, (0.8, 0.86), 0.1),
    "ambiguous": [[replace(each, meta=[0.5] * 32) for each in run] for run in measurements(0.8, (0.3, 0.8), 0.2)],
}


def test_claims_of_meta_voting_that_are_true_hold_and_others_do_not() -> None:
    assert holding(meta_voting, FLAWED) == {
        "plain_voting_saturates": True,
        "meta_recovers": True,
        "rlvr_repairs": False,  # one vote is better than before, and not as good as the chosen ones
        "meta_without_flaws": False,
    }
    weak = [[replace(each, meta=[0.5] * 32) for each in run] for run in FLAWED["flawed"]]
    held = holding(meta_voting, {**FLAWED, "flawed": weak})
    assert held["rlvr_repairs"]
    assert not held["meta_recovers"]


def test_pages_and_figures_are_made_of_stored_results_alone(tmp_path: Path) -> None:
    def few(runs: Mapping[str, Runs]) -> list[dict[str, Run]]:
        return [{judge: run[:15] for judge, run in each.items()} for each in by_seed(runs)]

    rows = fresh.rows(spct.measured(each, REJECTION) for each in few(TRUE))
    page = fresh.page(spct.EXPERIMENT, rows, tmp_path / "spct")
    assert "voting was not shown to add more after RLVR than before" in page
    assert "| without a hint | 3 | 6 |" in page
    fresh.page(meta_voting.EXPERIMENT, fresh.rows(map(meta_voting.measured, few(FLAWED))), tmp_path / "meta-voting")


# Real training --------------------------------------------------------------------------------------------------------

STEPS = {"mini_spct_sft": 120, "mini_spct_rft": 2, "mini_spct_rlvr": 2, "mini_spct_meta": 3}
TINY = {"trajectories": 1500, "comparisons": 40, "held_out": 30, "steps": STEPS}


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [spct.EXPERIMENT, meta_voting.EXPERIMENT], ids=lambda each: each.name)
def test_a_tiny_reproduction_runs_from_end_to_end_and_again_without_training(
    experiment: Experiment[Settings], tmp_path: Path
) -> None:
    pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')
    tiny = replace(experiment, overrides=TINY)
    assert list(reproduce(tiny, tmp_path, [10]))[-1].startswith("wrote")
    first = (tmp_path / "results.json").read_bytes()
    weights = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert weights
    list(reproduce(tiny, tmp_path, [10]))
    assert (tmp_path / "results.json").read_bytes() == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == weights
    with pytest.raises(FathomError, match="other settings"):
        list(reproduce(replace(experiment, overrides={**TINY, "held_out": 31}), tmp_path, [10]))
