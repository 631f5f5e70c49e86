"""`fathom compare-engines` with scores: every planted fault of a server is named, and known scores are checked."""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from fathom.cli import app
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.judging.compare_scores import Entry, agreement
from fathom.rewards.scalar import ScalarRewardModel
from scoring_server import Fault, Scoring
from serving import serving
from tiny import make_classifier, make_parrot


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_classifier(tmp_path_factory.mktemp("scalar"))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    draw = random.Random(0)
    words = ["red", "green", "seven", "house", "but", "why", "often", "2 + 2"]
    rows = [
        {
            "id": str(k),
            "prompt": " ".join(draw.choices(words, k=1 + k % 3)),
            "response_a": " ".join(draw.choices(words, k=1 + k % 5)),
            "response_b": " ".join(draw.choices(words, k=2 + k % 4)),
        }
        for k in range(8)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def compared(scoring: Scoring, *arguments: object, protocol: str = "vllm_classify") -> Result:
    async def run() -> Result:
        async with serving(scoring) as server:
            engine = f"scores base_url={server.url} model=m protocol={protocol} tokenizer={scoring.folder}"
            command = ["compare-engines", *map(str, arguments), "--engine", engine]
            return await asyncio.to_thread(
                lambda: CliRunner().invoke(app, command, catch_exceptions=False, terminal_width=200)
            )

    return asyncio.run(run())


def summary(checkpoint: Path, pairs: Path, fault: Fault | None) -> tuple[Result, dict[str, Any]]:
    out = pairs.with_name("scores.jsonl")
    result = compared(Scoring(checkpoint, fault), pairs, "--model", checkpoint, "--engine", "local", "--out", out)
    meta = json.loads(out.with_name("scores.jsonl.meta.json").read_text())
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 16
    return result, meta["summary"]


REASONS: dict[Fault, str] = {
    "sigmoid": "activation",
    "doubled begin token": "begin token",
    "half precision": "precision",
    "another template": "template",
    "truncation": "truncation",
}


@pytest.mark.parametrize(("fault", "reason"), REASONS.items())
def test_a_planted_fault_is_named(fault: Fault, reason: str, checkpoint: Path, pairs: Path) -> None:
    result, found = summary(checkpoint, pairs, fault)
    assert found["reason"] == reason
    assert result.exit_code == 1
    assert found["apart"] > 0
    assert found["limit"] == (40 if fault == "truncation" else None)


def test_engines_that_agree_have_no_reason(checkpoint: Path, pairs: Path) -> None:
    result, found = summary(checkpoint, pairs, None)
    assert (result.exit_code, found["reason"], found["apart"], found["first_apart"]) == (0, None, 0, None)
    assert found["correlation"] == pytest.approx(1)
    assert found["largest"] < 1e-4
    assert "rank correlation" in result.output


def test_another_model_is_named_as_such(checkpoint: Path, pairs: Path, tmp_path: Path) -> None:
    other = make_classifier(tmp_path / "other", seed=9)
    result = compared(Scoring(other), pairs, "--model", checkpoint, "--engine", "local")
    assert result.exit_code == 1
    assert "check weights, the head" in " ".join(result.output.replace("│", " ").split())


# Known scores ---------------------------------------------------------------------------------------------------------


def expected(checkpoint: Path, tmp_path: Path, shift: float = 0.0) -> Path:
    """Scores of the local engine, as a file of published scores would have them."""
    from fathom.data.records import Comparison

    responses = ("blue", "no idea", "a long answer")
    model = ScalarRewardModel(engine=LocalEngine(checkpoint))
    scores = asyncio.run(model(Comparison(prompt="Name a colour.", responses=responses))).scores
    assert scores is not None
    path = tmp_path / "expected.jsonl"
    row = {"prompt": "Name a colour.", "responses": responses, "scores": [score + shift for score in scores]}
    path.write_text(json.dumps(row) + "\n")
    return path


@pytest.mark.parametrize(("shift", "exit_code"), [(0.0, 0), (1.0, 1)])
def test_one_engine_is_compared_with_known_scores(
    shift: float, exit_code: int, checkpoint: Path, tmp_path: Path
) -> None:
    file = expected(checkpoint, tmp_path, shift)
    result = compared(Scoring(checkpoint), "--expect", file, "--model", "m")
    assert result.exit_code == exit_code
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(rows) == 3
    assert all(row["scores"][0] - row["scores"][1] == pytest.approx(shift, abs=1e-4) for row in rows)


def test_a_server_that_applies_a_sigmoid_is_found_out_by_known_scores(checkpoint: Path, tmp_path: Path) -> None:
    result = compared(Scoring(checkpoint, "sigmoid"), "--expect", expected(checkpoint, tmp_path), "--model", "m")
    assert "send use_activation=false" in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("fault", ["doubled begin token", "truncation"])
def test_known_scores_cannot_tell_which_tokens_were_read_and_the_reason_says_so(
    fault: Fault, checkpoint: Path, tmp_path: Path
) -> None:
    server = Scoring(checkpoint, fault, keeps=20)
    result = compared(server, "--expect", expected(checkpoint, tmp_path), "--model", "m")
    assert result.exit_code == 1
    said = " ".join(result.output.replace("│", " ").split())
    assert "the numbers of tokens are unknown, so it may also be other texts" in said
    assert "a begin token added twice, a truncation" in said


def test_the_program_for_published_scores_needs_the_texts_and_writes_what_is_compared(
    checkpoint: Path, tmp_path: Path
) -> None:
    page = (Path(__file__).parent.parent / "docs" / "engines.md").read_text(encoding="utf-8")
    [program] = [text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "# expected.py" in text]

    def ran(program: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert ran(program).returncode == 1
    file = expected(checkpoint, tmp_path)
    known = json.loads(file.read_text())
    texts = {"prompt": known["prompt"], "response1": known["responses"][0], "response2": known["responses"][1]}
    for name, text in texts.items():
        program = program.replace(f"{name} = ...", f"{name} = {text!r}")
    program = program.replace("[23.0, 3.59]", str(known["scores"][:2]))
    file.write_text(ran(program).stdout)
    result = compared(Scoring(checkpoint), "--expect", file, "--model", "m")
    assert result.exit_code == 0, result.output


def test_base_url_is_short_for_a_server_of_scores(checkpoint: Path, tmp_path: Path) -> None:
    file = expected(checkpoint, tmp_path)

    async def run() -> Result:
        async with serving(Scoring(checkpoint)) as server:
            command = ["compare-engines", "--base-url", server.url, "--expect", str(file), "--model", "m"]
            return await asyncio.to_thread(lambda: CliRunner().invoke(app, command, catch_exceptions=False))

    assert asyncio.run(run()).exit_code == 0


def refused(*arguments: object) -> str:
    with pytest.raises(FathomError) as caught:
        CliRunner().invoke(app, ["compare-engines", *map(str, arguments)], catch_exceptions=False)
    return str(caught.value)


def test_what_cannot_be_compared_is_refused(checkpoint: Path, pairs: Path, tmp_path: Path) -> None:
    two = ["--model", checkpoint, "--engine", "local", "--engine", "local"]
    assert "either a FILE of comparisons, or --expect" in refused(*two)
    assert "expected once beside --expect" in refused("--expect", pairs, *two)
    parrot = make_parrot(tmp_path / "parrot", "A")
    text = refused("--expect", pairs, "--model", parrot, "--engine", "local")
    assert "MixJudge writes text: give --judge scalar" in text


# The values -----------------------------------------------------------------------------------------------------------


SCORES = st.lists(st.floats(-20, 20), min_size=2, max_size=20)


@given(SCORES)
def test_equal_scores_agree_and_one_missing_score_does_not(scores: list[float]) -> None:
    entries = [Entry(str(k), (score, score)) for k, score in enumerate(scores)]
    assert agreement(entries).agrees
    missing = agreement([*entries, Entry("last", (1.0, None))])
    assert (missing.reason, missing.failed, missing.first_apart) == ("failed", 1, "last")


@given(SCORES, st.data())
def test_the_first_response_apart_and_the_largest_difference_are_named(
    scores: list[float], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(scores) - 1))
    others = [score + 100 * (k == place) for k, score in enumerate(scores)]
    found = agreement([Entry(str(k), pair) for k, pair in enumerate(zip(scores, others, strict=True))])
    assert (found.first_apart, found.largest_at, found.apart) == (str(place), str(place), 1)
    assert found.largest == pytest.approx(100)
