"""What cannot work is refused before a heavy library is imported: an import that fails shows that none was needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "trl", "peft", "datasets")
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({missing!r})); from fathom.cli import main; main()"
"""Runs `fathom` where these libraries cannot be imported, as if they were not installed."""

PAIR = '{"prompt": "Task", "response_a": "yes", "response_b": "no", "label": "A"}\n'


def fathom(*arguments: object, missing: tuple[str, ...] = HEAVY, folder: Path | None = None) -> tuple[int, str]:
    command = [sys.executable, "-c", WITHOUT.format(missing=missing), *map(str, arguments)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "300"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("kind", ["sft", "rlvr", "meta"])
@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)], ids=["train", "dry run"])
def test_training_names_every_missing_file_at_once(kind: str, dry_run: tuple[str, ...], tmp_path: Path) -> None:
    recipe = {"sft": "mini_sft", "rlvr": "mini_rlvr", "meta": "spct_27b_meta"}[kind]
    given = ("model=mini", "data=[a.jsonl, b.jsonl]", "eval_data=c.jsonl", "output=out", *dry_run)
    code, said = fathom("train", kind, recipe, *given, folder=tmp_path)
    assert code == 1
    for line in (
        "data: no such file: a.jsonl",
        "data: no such file: b.jsonl",
        "eval_data: no such file: c.jsonl",
    ):
        assert line in said
    assert list(tmp_path.iterdir()) == []


def test_training_into_a_folder_with_checkpoints_is_refused_without_resume(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(PAIR)
    (tmp_path / "out" / "checkpoint-20").mkdir(parents=True)
    code, said = fathom("train", "sft", "mini_sft", "data=data.jsonl", "output=out", folder=tmp_path)
    assert code == 1
    assert "out contains checkpoints; resume that run (--resume), or choose another output=" in said


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("runs/nothere", "no folder runs/nothere, and the hub's cache does not contain it"),
        ("./nothere", "there is no folder nothere"),
        (".", "is not a checkpoint; expected config.json or adapter_config.json in it"),
    ],
)
def test_training_of_a_model_that_is_no_folder_is_refused(model: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(PAIR)
    code, said = fathom("train", "sft", "mini_sft", "data=data.jsonl", "output=out", f"model={model}", folder=tmp_path)
    assert code == 1
    assert why in said


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)], ids=["train", "dry run"])
@pytest.mark.parametrize(
    ("trackers", "install"),
    [("wandb", ["wandb"]), ("tensorboard", ["tensorboard"]), ("[wandb, mlflow]", ["wandb", "mlflow"])],
)
def test_a_tracker_that_is_not_installed_is_named_with_the_line_that_installs_it(
    trackers: str, install: list[str], dry_run: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "data.jsonl").write_text(PAIR)
    missing = (*HEAVY, "wandb", "tensorboard", "tensorboardX", "mlflow")
    given = ("data=data.jsonl", "output=out", f"trainer.report_to={trackers}", *dry_run)
    code, said = fathom("train", "sft", "mini_sft", *given, missing=missing, folder=tmp_path)
    assert code == 1
    for name in install:
        assert f"trainer.report_to: {name} is not installed; install it with: pip install {name}" in said


@pytest.mark.parametrize(
    ("verb", "library", "extra"),
    [
        (("demo",), "trl", "train"),
        (("reproduce", "mix-grm"), "trl", "train"),
        (("reproduce", "spct"), "matplotlib", "report"),
        (("reproduce", "adaptive-votes"), "markdown_it", "report"),
    ],
    ids=lambda each: each if isinstance(each, str) else " ".join(each),
)
def test_experiments_say_which_extra_is_missing_before_they_begin(
    verb: tuple[str, ...], library: str, extra: str, tmp_path: Path
) -> None:
    code, said = fathom(*verb, "--out", tmp_path / "out", missing=(library,))
    assert code == 1
    assert f'this needs {library}; install it with: pip install "fathom-rm[{extra}]"' in said
    assert list(tmp_path.iterdir()) == []
