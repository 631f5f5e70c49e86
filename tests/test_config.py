"""`--config FILE` gives the settings of a run; the command line takes precedence, and mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fathom.cli import app
from fathom.errors import FathomError

PAIRS = Path(__file__).parent.parent / "examples" / "pairs.jsonl"


def dry(folder: Path, text: str, *more: object, verb: str = "judge", source: Path = PAIRS) -> str:
    config = folder / "run.yaml"
    config.write_text(text)
    arguments = [verb, source, "--config", config, "--dry-run", *more]
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False).stdout


def judged(folder: Path, text: str, *more: object) -> dict[str, Any]:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    config, out = folder / "run.yaml", folder / "out.jsonl"
    config.write_text(text)
    arguments = ["judge", PAIRS, "--config", config, "--limit", 2, "--out", out, *more]
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    config_of_run: dict[str, Any] = json.loads((folder / "out.jsonl.meta.json").read_text())["config"]
    return config_of_run


RUN = """
engine: {model: mini}
judge: {style: depth}
sampling: {temperature: 0.5, seed: 3}
voting: {votes: 2, swap: false}
source: {on_error: skip}
"""


def test_the_settings_of_a_file_are_those_of_the_run(tmp_path: Path) -> None:
    config = judged(tmp_path, RUN)
    found = {name: config[name] for name in ("model", "style", "temperature", "seed", "votes", "swap", "on_error")}
    assert found == {
        "model": "mini",
        "style": "depth",
        "temperature": 0.5,
        "seed": 3,
        "votes": 2,
        "swap": False,
        "on_error": "skip",
    }


def test_options_take_precedence(tmp_path: Path) -> None:
    config = judged(tmp_path, RUN, "--votes", 1, "--swap", "--temperature", 0)
    assert (config["votes"], config["swap"], config["temperature"], config["seed"]) == (1, True, 0.0, 3)


def test_lists_and_objects_are_values_of_repeated_options(tmp_path: Path) -> None:
    shown = dry(
        tmp_path,
        "engine: {engine: openai, model: m, base_url: 'http://127.0.0.1:9/v1', options: {retries: 2, timeout: 1.5}}\n"
        "source: {map: [prompt=task], limit: 1}\n",
        source=_renamed(tmp_path),
    )
    assert "rows" in shown


def _renamed(folder: Path) -> Path:
    rows = [json.loads(line) for line in PAIRS.read_text().splitlines()]
    path = folder / "renamed.jsonl"
    path.write_text("".join(json.dumps({**row, "task": row["prompt"], "prompt": None}) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("votng: {votes: 2}", "unknown key 'votng'; did you mean voting", id="group"),
        pytest.param("voting: {vote: 2}", "voting: unknown key 'vote'; did you mean votes", id="key"),
        pytest.param("sampling: {temperature: hot}", "sampling.temperature: ", id="value"),
        pytest.param("engine: {options: {x: 1}, model: 3}", "engine.model: ", id="kind"),
        pytest.param(
            "engine: mini", "engine: got str, expected keys with values, such as `model: mini`", id="no mapping"
        ),
        pytest.param("- engine", "got list, expected keys with values, such as `model: mini`", id="a list"),
        pytest.param("engine: {", "expected YAML such as `model: mini`", id="no yaml"),
    ],
)
def test_a_mistake_is_named_with_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FathomError) as raised:
        dry(tmp_path, text)
    assert "run.yaml" in str(raised.value)
    assert message in str(raised.value)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert judged(tmp_path, "", "--model", "mini")["votes"] == 1


@pytest.mark.parametrize("verb", ["judge", "rank", "pairs", "eval", "probe", "synth", "rejection-sample"])
def test_every_verb_that_asks_a_model_takes_a_file(verb: str) -> None:
    assert "--config" in CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"}).stdout


def test_the_options_of_synthesis_are_keys_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    (tmp_path / "run.yaml").write_text("synthesis: {arms: [breadth, depth], samples: 3}\n")
    arguments = ["synth", f"{tmp_path}/pairs.jsonl", "--engine", "mini-teacher", "--out", str(tmp_path), "--dry-run"]
    done = CliRunner().invoke(app, [*arguments, "--config", f"{tmp_path}/run.yaml"])
    assert "sample 3, standardise at most 3, solve at most 1" in done.stdout
