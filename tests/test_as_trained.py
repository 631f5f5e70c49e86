"""A judge is made of settings by name, and of no value that it would take for another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fathom.cli import app
from fathom.errors import FathomError
from fathom.judges.llmbar import LLMBarJudge
from fathom.judges.verifier import VerifierJudge
from fathom.judging import make_judge_for_checkpoint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"name": "verifier", "guard": "nonsense"},
            "guard='nonsense' of the judge 'verifier' must be 'refuse' or 'ask'",
        ),
        ({"name": "verifier", "guard": False}, "guard=False of the judge 'verifier' must be 'refuse' or 'ask'"),
        (
            {"name": "mix", "style": "deep"},
            "style='deep' of the judge 'mix' must be 'vanilla', 'breadth', 'depth', 'mix'",
        ),
        ({"name": "spct", "binary": "no"}, "binary='no' of the judge 'spct' must be a valid boolean"),
        ({"name": "spct", "trained": 1}, "trained=1 of the judge 'spct' must be a valid boolean"),
        ({"name": "yes_no", "least": "high"}, "least='high' of the judge 'yes_no' must be a valid number"),
        ({"name": "yes_no", "least": 1.5}, "least=1.5 of the judge 'yes_no' must be less than or equal to 1"),
        ({"name": "yes_no", "template": 5}, "template=5 of the judge 'yes_no' must be"),
        (
            {"name": "s2j", "solving_weight": -1},
            "solving_weight=-1 of the judge 's2j' must be greater than or equal to 0",
        ),
    ],
)
def test_a_value_that_a_setting_does_not_take_is_refused_with_those_it_takes(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(FathomError, match=message):
        make_judge_for_checkpoint(tmp_path, **settings)
    (tmp_path / "fathom.json").write_text(json.dumps(settings))
    with pytest.raises(FathomError, match=message):
        make_judge_for_checkpoint(tmp_path)


def test_values_that_settings_take_make_the_judge(tmp_path: Path) -> None:
    assert make_judge_for_checkpoint(tmp_path, name="verifier", guard="ask", trained=True) == VerifierJudge(
        guard="ask", trained=True
    )
    cot = make_judge_for_checkpoint(tmp_path, name="llmbar", style="cot", template="own.jinja")
    assert cot == LLMBarJudge(style="cot", template="own.jinja")


def test_the_command_line_refuses_such_a_value_before_it_reads_a_row(tmp_path: Path) -> None:
    options = ["--model", str(tmp_path), "--judge", "verifier", "--judge-option", "guard=off"]
    told = CliRunner().invoke(app, ["judge", str(tmp_path / "none.jsonl"), *options])
    assert "guard=False of the judge 'verifier' must be 'refuse' or 'ask'" in str(told.exception)
