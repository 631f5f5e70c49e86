"""RLVR of the SPCT judge through TRL: one, two and three responses in one file, rewarded by the paper's rule."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.errors import FathomError
from fathom.judges.spct import SPCTJudge
from fathom.train import preview, recipes, rlvr, sft
from fathom.train.recipe import RLVRRecipe, SFTRecipe
from tiny import make_checkpoint, make_parrot

JUDGE = SPCTJudge(trained=True, binary=True)
SETTINGS = {"name": "spct", "binary": True}
FAST = {"gradient_checkpointing": False, "logging_steps": 1, "save_strategy": "no", "lr_scheduler_type": "constant"}
WRITTEN = {1: ["0", "1"], 2: ["9, 2", "2, 9", "5, 5"], 3: ["9, 2, 2", "2, 9, 2", "2, 2, 9"]}
"""Of each number of responses; the first of several is always the best, and a single one is right."""


def comparison(number: int) -> Comparison:
    count = number % 3 + 1
    label = Label(scores=(1.0,)) if count == 1 else Label(best=0)
    return Comparison(id=str(number), prompt="which?", responses=("x",) * count, label=label)


def text(scores: str) -> str:
    return f"Scores: \\boxed{{{scores}}}"


def write(path: Path, items: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fine-tuned to write scores of the right number, drawn at random."""
    folder, rng = tmp_path_factory.mktemp("tuned"), random.Random(0)
    items = [comparison(number) for number in range(48)]
    texts = [JUDGE.ask(item)[0]["content"] for item in items[:3]]
    texts += [text(scores) for written in WRITTEN.values() for scores in written]
    base = make_checkpoint(folder / "base", vocab_texts=texts, vocab_size=600, context=256)
    rows = [
        {
            "prompt": JUDGE.ask(item),
            "completion": [{"role": "assistant", "content": text(rng.choice(WRITTEN[len(item.responses)]))}],
        }
        for item in items
    ]
    trainer = FAST | {"max_steps": 40, "per_device_train_batch_size": 16, "learning_rate": 1e-2}
    data = write(folder / "sft.jsonl", rows)
    return sft.train(
        SFTRecipe(model=str(base), data=data, output=folder / "o", judge=SETTINGS, trainer=trainer)  # type: ignore[arg-type]
    )


def recipe(model: Path, folder: Path, items: list[Comparison], **judge: Any) -> RLVRRecipe:
    trainer = FAST | {
        "max_steps": 12,
        "per_device_train_batch_size": 48,
        "num_generations": 4,
        "max_completion_length": 24,
        "learning_rate": 2e-3,
        "lr_scheduler_type": "linear",  # a constant rate this high breaks the model again now and then
        "temperature": 1.0,
        "beta": 0.001,
        "loss_type": "grpo",
    }
    data = write(folder / "d.jsonl", [item.model_dump(mode="json") for item in items])
    return RLVRRecipe(
        model=str(model), data=data, output=folder / "o", judge=SETTINGS | judge, rollouts="engine", trainer=trainer
    )


def test_a_file_of_one_two_and_three_responses_raises_the_reward(tuned: Path, tmp_path: Path) -> None:
    folder = rlvr.train(recipe(tuned, tmp_path, [comparison(number) for number in range(48)]))
    logged = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    rewards = [entry["reward"] for entry in logged if "reward" in entry]
    first, last = sum(rewards[:3]) / 3, sum(rewards[-3:]) / 3
    # Of 3 * 48 completions of 36 prompts: the standard error is at most 1/6, if all completions of a prompt are alike.
    # A half, a third and a third of the guesses are right, so guessing earns -0.2; always right earns 1.
    assert first < 0.4
    assert last > 0.7


def test_a_dry_run_tells_the_label_of_any_number_of_responses(tuned: Path, tmp_path: Path) -> None:
    page = preview.rlvr(recipe(tuned, tmp_path, [comparison(number) for number in range(3)]))
    told = [line.removeprefix("--- label: ") for line in page.splitlines() if line.startswith("--- label")]
    assert told == ["the response is worth 1", "response A is better", "response 1 of 3 is best"]


@pytest.mark.parametrize(
    ("judge", "item", "reason"),
    [
        pytest.param({"binary": False}, comparison(0), "a judge with binary=true", id="scored from 1 to 10"),
        pytest.param(
            {}, comparison(0).model_copy(update={"label": Label(best=0)}), "single response 0 or 1", id="no score"
        ),
        pytest.param(
            {"name": "mix", "binary": ...}, comparison(2), "judges 2 at a time", id="three for a judge of two"
        ),
    ],
)
def test_what_the_judge_cannot_reward_is_refused_before_training(
    tuned: Path, tmp_path: Path, judge: dict[str, Any], item: Comparison, reason: str
) -> None:
    settings = {key: value for key, value in (SETTINGS | judge).items() if value is not ...}
    told = recipe(tuned, tmp_path, [item]).model_copy()
    told = RLVRRecipe(**told.model_dump(exclude={"judge"}), judge=settings)  # type: ignore[arg-type]
    with pytest.raises(FathomError, match=reason):
        rlvr.train(told)


TEXTS = [file.read_text() for file in (recipes.path("spct_27b_rft"), recipes.path("spct_27b_rlvr"))]
TEXTS.append((Path(__file__).parents[1] / "docs" / "spct.md").read_text())
SAMPLING = sorted({command for text in TEXTS for command in re.findall(r"fathom rejection-sample [^`\n]+", text)})


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pairs.jsonl, of one, two and three responses, and a teacher who says `9, 2` of everything."""
    folder = tmp_path_factory.mktemp("pairs")
    write(folder / "pairs.jsonl", [comparison(number).model_dump(mode="json") for number in range(6)])
    make_parrot(folder / "teacher", text("9, 2"))
    return folder


def ran(arguments: list[str]) -> str:
    never = (
        ["--fail-on", "never"] if arguments[0] == "rejection-sample" else []
    )  # this teacher may give nothing to keep
    done = CliRunner().invoke(app, [*arguments, *never])
    assert done.exit_code == 0, f"{arguments}: {done.output} {done.exception}"
    return done.output


@pytest.mark.parametrize("command", SAMPLING)
def test_the_commands_told_take_single_responses_too(
    command: str, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pairs)
    arguments = re.sub("TEACHER|WEAK", "teacher", command).split()[1:]
    ran([*arguments[:-1], str(tmp_path), "--max-tokens", "8"])
    counts = json.loads((tmp_path / "manifest.json").read_text())["trajectories"]
    assert counts["sampled"] == {"invalid": 12, "too easy": 6}
    assert len((tmp_path / "comparisons.jsonl").read_text().splitlines()) == 4


def test_what_was_sampled_goes_through_the_recipes_of_all_stages(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pairs, tmp_path, dirs_exist_ok=True)
    settings = ["--judge-option", "binary=true", "--model", "teacher", "--max-tokens", "8"]
    ran(["rejection-sample", "pairs.jsonl", *settings, "--out", "rejection"])
    train = ["model=teacher", "--dry-run"]
    data = "data=rejection/rft.jsonl"
    assert "2 examples" in ran(["train", "sft", "spct_27b_rft", data, "trainer.eos_token=<|end|>", *train])
    data = "data=rejection/comparisons.jsonl"
    assert "4 comparisons" in ran(["train", "rlvr", "spct_27b_rlvr", data, *train])
    votes = ran(["train", "meta", "spct_27b_meta", "data=rejection/votes.jsonl", *train])
    assert "18 votes, 6 of them right" in votes
