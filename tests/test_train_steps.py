"""RLVR of a judge of steps: it is paid for naming the first wrong step, and learns to do so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

from safetensors.torch import load_file

from fathom.cli import app
from fathom.results.rows import read_rows
from tiny import make_parrot

BOTH = r"Step 1 holds. \boxed{correct} Step 2 holds. \boxed{correct}"
SECOND = r"Step 1 holds. \boxed{correct} Step 2 does not. \boxed{incorrect}"
FIRST = r"Step 1 does not hold. \boxed{incorrect}"


def solutions(path: Path, numbers: Sequence[int]) -> Path:
    """Solutions of two steps, of which the second one is wrong."""
    rows = []
    for n in numbers:
        steps = [f"{n} + 1 = {n + 1}", f"{n + 1} + 1 = {n}"]
        labels = {"steps": [[1.0, 0.0]]}
        row = {
            "id": str(n),
            "prompt": f"{n} + 2?",
            "responses": ["\n\n".join(steps)],
            "steps": [steps],
            "label": labels,
        }
        rows.append(json.dumps(row))
    path.write_text("\n".join(rows))
    return path


def run(*arguments: object) -> None:
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_a_judge_of_steps_is_paid_for_the_first_wrong_step_and_learns_to_name_it(tmp_path: Path) -> None:
    """The model begins with three chains by chance. Two call the solution wrong, but only one for the right step."""
    base, trained = make_parrot(tmp_path / "base", BOTH, SECOND, FIRST), tmp_path / "trained"
    recipe = {
        "model": str(base),
        "data": str(solutions(tmp_path / "train.jsonl", range(16))),
        "output": str(trained),
        "judge": {"name": "thinkprm", "reads": "steps"},
        "rollouts": "engine",
        "trainer": {
            "max_steps": 10,
            "per_device_train_batch_size": 32,
            "num_generations": 8,
            "max_completion_length": 4,
            "temperature": 0.2,
            "learning_rate": 1e-2,
            "gradient_checkpointing": False,
            "logging_steps": 1,
            "save_strategy": "no",
        },
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    run("train", "rlvr", tmp_path / "recipe.yaml")

    history = [json.loads(line) for line in (trained / "history.jsonl").read_text().splitlines()]
    rewards = [entry["reward"] for entry in history if "reward" in entry]
    # Of 32 completions, a third earns 1 and the others -1: a mean of -1/3, with a standard error of 0.17. If the
    # verdict on the whole solution were paid, it would be 1/3.
    assert rewards[0] < 0.1
    assert sum(rewards[-3:]) / 3 > 0.8
    weights = [load_file(folder / "model.safetensors") for folder in (base, trained)]
    assert not weights[0]["lm_head.weight"].equal(weights[1]["lm_head.weight"])

    run("judge", solutions(tmp_path / "test.jsonl", range(20, 24)), "--model", trained, "--out", tmp_path / "v.jsonl")
    rows = list(read_rows(tmp_path / "v.jsonl"))
    assert [row["votes"][0]["step_scores"] for row in rows] == [[[1.0, 0.0]]] * 4
