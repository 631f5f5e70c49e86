"""Types of steps, such as retrieval and reasoning: from a file to rows of results, figures and prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.reading import read, write_jsonl
from fathom.data.records import Comparison
from fathom.engines.scripted import ScriptedEngine
from fathom.errors import FathomError
from fathom.judges import Verdict
from fathom.judges.processbench import ProcessBenchJudge
from fathom.probes import find, with_variations
from fathom.process.tables import Table
from fathom.results.rows import read_rows, to_comparison, to_row
from fathom.rewards.tattoo import TaTToo

STEPS = ["The cell says 900.", "900 + 100 = 1100.", "So 1100."]
TYPES = ["retrieval", "reasoning", None]
TABLE = Table(("year", "sales"), (("2020", "900"),)).written()
NATIVE = {
    "id": "a",
    "prompt": f"Sales of 2020 and 100 more?\n\n{TABLE}",
    "responses": ["\n\n".join(STEPS)],
    "steps": [STEPS],
    "step_types": [TYPES],
    "label": {"steps": [[1.0, 0.0, None]]},
}
PUBLISHED = {"id": "b", "problem": "Sales?", "steps": STEPS, "step_types": TYPES, "label": 1}


def source(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / f"{rows[0]['id']}.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def judged(comparison: Comparison) -> Verdict:
    ((_, verdict),) = ProcessBenchJudge(engine=ScriptedEngine("Paragraph 1 is wrong. \\boxed{1}")).run([comparison])
    return verdict


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.output


def figures_of(folder: Path) -> dict[str, Any]:
    """What `fathom score` wrote about the only file."""
    (found,) = json.loads((folder / "s.json").read_text()).values()
    return dict(found)


@pytest.mark.parametrize("row", [NATIVE, PUBLISHED], ids=["native", "published"])
def test_types_survive_reading_judging_and_rows(row: dict[str, Any], tmp_path: Path) -> None:
    (comparison,) = read(source(tmp_path, row))
    assert comparison.step_types == (("retrieval", "reasoning", None),)
    assert "step_types" not in comparison.metadata
    write_jsonl(tmp_path / "rows.jsonl", [to_row(comparison, judged(comparison))])
    (found,) = read_rows(tmp_path / "rows.jsonl")
    assert to_comparison(found) == comparison
    run("steps", source(tmp_path, row), "--out", tmp_path / "steps.jsonl")
    assert next(iter(read(tmp_path / "steps.jsonl"))).step_types == comparison.step_types


def test_scores_are_reported_by_type(tmp_path: Path) -> None:
    rows = [NATIVE, {**NATIVE, "id": "c", "label": {"steps": [[0.0, 0.0, None]]}}]
    write_jsonl(tmp_path / "v.jsonl", [to_row(each, judged(each)) for each in read(source(tmp_path, *rows))])
    shown = run("score", tmp_path / "v.jsonl", "--json", tmp_path / "s.json")
    assert "steps by type" in shown
    found = figures_of(tmp_path)["steps"]["all"]
    # Both look-ups score 1.0, and one of them is wrong; both sums score 0.0 and are wrong.
    assert (found["auc_of_type_retrieval"], found["auc_of_type_reasoning"]) == (0.5, None)
    assert found["auc"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert "auc_of_type_None" not in found


def test_a_source_without_types_has_no_figures_by_type(tmp_path: Path) -> None:
    plain = {key: value for key, value in NATIVE.items() if key != "step_types"}
    (comparison,) = read(source(tmp_path, plain))
    write_jsonl(tmp_path / "v.jsonl", [to_row(comparison, judged(comparison))])
    assert "step_types" not in (tmp_path / "v.jsonl").read_text()
    assert "by type" not in run("score", tmp_path / "v.jsonl", "--json", tmp_path / "s.json")
    assert not [name for name in figures_of(tmp_path)["steps"]["all"] if "type" in name]


@given(st.permutations([0, 1, 2]))
def test_types_follow_their_responses(order: list[int]) -> None:
    steps = (("a", "b"), ("c",), ("d", "e", "f"))
    types = tuple(tuple(f"{step}!" for step in each) for each in steps)
    comparison = Comparison(prompt="p", responses=("x", "y", "z"), steps=steps, step_types=types)
    for changed in (comparison.permuted(order), comparison.subset(order[:2])):
        assert changed.steps
        assert changed.step_types == tuple(tuple(f"{step}!" for step in each) for each in changed.steps)


@pytest.mark.parametrize("types", [[["a"]], [], [["a", "b", "c"], ["a"]]])
def test_types_that_do_not_fit_the_steps_are_refused(types: list[list[str]], tmp_path: Path) -> None:
    with pytest.raises(FathomError, match="types of"):
        list(read(source(tmp_path, {**NATIVE, "step_types": types})))
    with pytest.raises(ValidationError, match="expected one for each of"):
        Comparison(prompt="p", responses=("x",), step_types=(("a",),))


def test_a_probe_that_changes_the_steps_drops_their_types(tmp_path: Path) -> None:
    (comparison,) = read(source(tmp_path, NATIVE))
    variations = list(with_variations(comparison, {"steps": find("steps")}))
    assert len(variations) > 3
    for each in variations:
        assert each.step_types == (comparison.step_types if each.steps == comparison.steps else None)


def test_the_judge_of_tables_is_told_the_type_if_it_is_known() -> None:
    comparison = Comparison.model_validate({**NATIVE, "label": None})
    prompts = [TaTToo().prompt(comparison, index, []) for index in (1, 2, 3)]
    assert ["This step takes something from the table." in prompt for prompt in prompts] == [True, False, False]
    assert ["This step reasons about" in prompt for prompt in prompts] == [False, True, False]
    assert "If the step takes" in prompts[2]
