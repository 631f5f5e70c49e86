"""Process reward models, trained through the real Trainer on a very small checkpoint: read, masked, learned, loaded."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterable, Sequence
from math import log
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch
from safetensors.torch import load_file
from transformers import AutoModelForTokenClassification, AutoTokenizer
from transformers.modeling_outputs import TokenClassifierOutput
from typer.testing import CliRunner

import prm
from fathom.cli import app
from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison, Label
from fathom.engines.local import LocalEngine
from fathom.engines.steps import render
from fathom.errors import FathomError, RunInterruptedError
from fathom.process.conventions import find
from fathom.rewards.process import ProcessRewardModel
from fathom.train import preview, process
from fathom.train.process import NO_LABEL, Collator, Solution, StepLoss, fitting, measures, row, solutions, step_loss
from fathom.train.recipe import ProcessRecipe
from test_train import interrupting_at_step
from tiny import make_checkpoint

FAST = {"gradient_checkpointing": False, "logging_steps": 1, "save_strategy": "no", "lr_scheduler_type": "constant"}
LEARN = FAST | {"max_steps": 30, "per_device_train_batch_size": 16, "learning_rate": 1e-2}
LORA = {"r": 4, "target_modules": "all-linear"}


def stepwise(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """TRL's rows: a step that says "bad" is wrong, unless a "not" precedes it."""
    draw, rows = random.Random(seed), []
    for _ in range(count):
        steps = [draw.choice(["good sum", "good", "bad sum", "bad"]) for _ in range(draw.randint(1, 4))]
        rows.append({"prompt": "add", "completions": steps, "labels": ["bad" not in step for step in steps]})
    return rows


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    write_jsonl(path, rows)
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = ["add good sum bad\n"] * 4
    return make_checkpoint(tmp_path_factory.mktemp("base") / "m", vocab_texts=texts, context=128)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "steps.jsonl", stepwise(64))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "held_out.jsonl", stepwise(32, seed=1))


def recipe(base: Path, data: Path, output: Path, **settings: Any) -> ProcessRecipe:
    return ProcessRecipe(model=str(base), data=data, output=output, **{"trainer": LEARN} | settings)


def logged(folder: Path, name: str) -> list[float]:
    entries = map(json.loads, (folder / "history.jsonl").read_text().splitlines())
    return [entry[name] for entry in entries if name in entry]


def judged(folder: Path, steps: Sequence[str]) -> tuple[float, ...]:
    item = Comparison(prompt="add", responses=("\n\n".join(steps),), steps=(tuple(steps),))
    engine = LocalEngine(folder)
    family = json.loads((folder / "fathom.json").read_text())["family"]
    (vote,) = asyncio.run(ProcessRewardModel(family=family, engine=engine).votes(item))
    assert vote.step_scores is not None, vote.error
    return vote.step_scores[0]  # type: ignore[return-value]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"family": "p_plus"},
        {"lora": LORA, "trainer": LEARN | {"max_steps": 60}},
        {"head_epochs": 2.0, "class_weights": "balanced"},
    ],
    ids=["token classifier", "vocabulary", "lora", "head first"],
)
def test_steps_are_learned_saved_and_judged(
    settings: dict[str, Any], base: Path, data: Path, held_out: Path, tmp_path: Path
) -> None:
    folder = process.train(recipe(base, data, tmp_path / "prm", eval_data=held_out, **settings))
    assert logged(folder, "eval_f1")[-1] > 0.9
    assert logged(folder, "eval_auc")[-1] > 0.95
    good, bad, _ = judged(folder, ("good sum", "bad", "good"))
    assert good > 0.5 > bad
    arguments = [
        "judge",
        str(write(tmp_path / "in.jsonl", stepwise(2))),
        "--model",
        str(folder),
        "--out",
        str(tmp_path / "v"),
    ]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "v").read_text().splitlines()[0])["votes"][0]["step_scores"]


def test_problems_that_are_trained_on_and_evaluated_are_counted(
    base: Path, data: Path, held_out: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings: dict[str, Any] = {"trainer": LEARN | {"max_steps": 1}}
    process.train(recipe(base, data, tmp_path / "same", eval_data=held_out, **settings))
    assert "1 of 1 problems of eval_data overlap with training problems; split the data by problem" in caplog.text
    caplog.clear()
    other = write(tmp_path / "other.jsonl", [row | {"prompt": "sum"} for row in stepwise(8)])
    process.train(recipe(base, data, tmp_path / "apart", eval_data=other, **settings))
    assert "overlap" not in caplog.text


def test_the_saved_model_is_an_ordinary_token_classifier_with_the_same_scores(
    base: Path, data: Path, tmp_path: Path
) -> None:
    folder = process.train(recipe(base, data, tmp_path / "prm", trainer=LEARN | {"max_steps": 3}))
    steps = ("good sum", "bad")
    rendered = render(AutoTokenizer.from_pretrained(folder), "add", steps, find("token_classes").convention)
    model = AutoModelForTokenClassification.from_pretrained(folder)
    with torch.no_grad():
        scores = model(torch.tensor([rendered.tokens])).logits[0].softmax(-1)[:, 1]
    assert judged(folder, steps) == pytest.approx(scores[list(rendered.positions)].tolist(), abs=1e-4)


# Labels --------------------------------------------------------------------------------------------------------------


def comparison(*labels: float | None) -> Comparison:
    steps = tuple("good" for _ in labels)
    return Comparison(prompt="add", responses=("\n\n".join(steps),), steps=(steps,), label=Label(steps=(labels,)))


def test_steps_after_the_first_wrong_one_are_masked_unless_they_are_kept() -> None:
    assert solutions(comparison(1, 0, 1))[0].labels == (1, 0, None)
    assert solutions(comparison(1, 0.4, 0.9), "keep")[0].labels == (1, 0.4, 0.9)
    assert solutions(comparison(0.9, None, 0.6))[0].labels == (0.9, None, 0.6)
    assert solutions(comparison(1).model_copy(update={"label": None})) == []


@pytest.mark.parametrize(
    ("labels", "used"),
    [
        ((1, 1, 0.67, 0.33, 0, 1), (1, 1, 0.67, 0.33, 0, None)),  # SCAN: soft before the first wrong step
        ((0.375, None, 0.125, 0, 0), (0.375, None, 0.125, 0, None)),  # OmegaPRM: shares of a hard problem
        ((0.4, 0.6, 0.1), (0.4, 0.6, 0.1)),  # ER-PRM: soft values
    ],
    ids=["scan", "omegaprm", "er-prm"],
)
def test_a_low_share_of_right_rollouts_is_no_first_wrong_step(
    labels: tuple[float | None, ...], used: tuple[float | None, ...]
) -> None:
    assert solutions(comparison(*labels))[0].labels == used


def test_scores_of_a_judge_are_wrong_from_the_number_that_is_chosen() -> None:
    assert solutions(comparison(0.9, 0.5, 0.1), error_at=0.5)[0].labels == (0.9, 0.5, None)


def test_labels_that_alternatives_share_are_trained_on_once(base: Path, tmp_path: Path) -> None:
    """PRM800K's tree: of three steps with an alternative each, the first would have the label of four solutions."""
    steps = [
        {"completions": [{"text": f"good {n}", "rating": 1}, {"text": "bad", "rating": -1}], "chosen_completion": 0}
        for n in range(3)
    ]
    row = {"question": {"problem": "add"}, "label": {"steps": steps, "finish_reason": "solution"}}
    found = recipe(base, write(tmp_path / "tree.jsonl", [row]), tmp_path / "prm", neutral="bad")
    used = [solution.labels for solution in process.read(found)]
    assert used == [(0,), (None, 0), (None, None, 0), (1, 1, 1)]
    held_out = [solution.labels for solution in process.read(found, found.data)]
    assert held_out == [(0,), (1, 0), (1, 1, 0), (1, 1, 1)], "a solution is evaluated from its first step on"


def test_a_number_of_shared_steps_must_be_a_number() -> None:
    item = comparison(1).model_copy(update={"metadata": {"shared_steps": "one"}})
    with pytest.raises(FathomError, match="shared_steps: got 'one', expected a number of steps"):
        process.unshared(item)


def test_the_chosen_number_reaches_the_training_data(base: Path, tmp_path: Path) -> None:
    row = {"prompt": "add", "completions": ["good", "bad", "good"], "labels": [0.9, 0.3, 0.8]}
    rows = write(tmp_path / "soft.jsonl", [row])
    for settings, used in (({}, (0.9, 0.3, 0.8)), ({"error_at": 0.5}, (0.9, 0.3, None))):
        (solution,) = process.read(recipe(base, rows, tmp_path / "prm", **settings))
        assert solution.labels == used


def test_labels_are_at_the_positions_where_scores_are_read_soft_ones_too(base: Path, tmp_path: Path) -> None:
    """TRL's trainer truncates a soft label of 0.9 to 0."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    found = recipe(base, base / "config.json", tmp_path)
    (example,), left_out = fitting(found, tokenizer, [Solution("add", ("good", "bad sum"), (0.9, 0.25))], 100)
    separator = tokenizer.encode("\n", add_special_tokens=False)
    # TRL: the begin token, the prompt, then each completion with the separator; the label is at its last token.
    ids, places = [tokenizer.bos_token_id, *tokenizer.encode("add", add_special_tokens=False)], []
    for step in ("good", "bad sum"):
        ids += [*tokenizer.encode(step, add_special_tokens=False), *separator]
        places.append(len(ids) - 1)
    assert (list(example.tokens), example.labels) == (ids, dict(zip(places, (0.9, 0.25), strict=True)))
    assert not left_out
    assert [label for label in row(example)["labels"] if label != NO_LABEL] == [0.9, 0.25]


def test_a_separator_inside_a_step_shifts_no_label(tmp_path: Path) -> None:
    """Reference code finds separators in the tokens, and cuts the labels to their number."""
    tokenizer = prm.sentence_piece()
    found = ProcessRecipe(model="mini", data=tmp_path / "x", output=tmp_path, family="math_shepherd")
    steps = ("2 * 4 = 8", f"a {prm.TAG} b {prm.TAG}", "So 8.")
    (example,), _ = fitting(found, tokenizer, [Solution(prm.PROBLEM, steps, (1, 0.5, 0))], None)
    tag = tokenizer.encode(prm.TAG)[-1]
    assert example.tokens.count(tag) == 5
    assert list(example.labels.values()) == [1, 0.5, 0]
    assert [example.tokens[place] for place in example.labels] == [tag] * 3


def test_a_solution_is_cut_after_the_last_step_that_fits_and_that_is_counted(base: Path, tmp_path: Path) -> None:
    """TRL cuts the tail without a word."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    found = recipe(base, base / "config.json", tmp_path)
    whole = Solution("add", ("good", "bad sum", "good"), (1, 0, 1))
    (example,), _ = fitting(found, tokenizer, [whole], None)
    first, second, _ = example.labels
    short, left_out = fitting(found, tokenizer, [whole, whole._replace(labels=(None,) * 3)], second)
    assert [each.labels for each in short] == [{first: 1}]
    assert left_out == {"cut": 1, "unlabelled": 1}
    with pytest.raises(FathomError, match=r"no solution is left to train on: 1 solutions have no labelled step within"):
        fitting(found, tokenizer, [whole], first)
    with pytest.raises(FathomError, match="the files contain no solution with labelled steps"):
        fitting(found, tokenizer, [], None)


# Loss ----------------------------------------------------------------------------------------------------------------


def output(*log_odds: float) -> Any:
    """A batch of one solution with these log-odds, as outputs for wrong and right."""
    return TokenClassifierOutput(logits=torch.tensor([[[0.0, value] for value in log_odds]]))


def test_the_loss_is_the_cross_entropy_of_labelled_steps_with_the_weights_of_their_kind() -> None:
    labels = torch.tensor([[NO_LABEL, 1.0, 0.0, 0.25]])
    # p = sigmoid(log 3) = 3/4. Labels 1 and 0: -log 3/4 and -log 1/4; label 1/4: -(1/4 log 3/4 + 3/4 log 1/4)
    right, wrong = -log(3 / 4), -log(1 / 4)
    expected = right + wrong + (0.25 * right + 0.75 * wrong)
    outputs = output(9.0, *[log(3)] * 3)
    assert StepLoss(None)(outputs, labels).item() == pytest.approx(expected / 3)
    assert StepLoss(None)(outputs, labels, num_items_in_batch=6).item() == pytest.approx(expected / 6)
    # Weights 2 of wrong and 1 of right steps; the soft label weighs 3/4 * 2 + 1/4 * 1.
    weighted = right + 2 * wrong + 1.75 * (0.25 * right + 0.75 * wrong)
    assert StepLoss(None, (2.0, 1.0))(outputs, labels).item() == pytest.approx(weighted / 3)
    assert StepLoss((0, 1))(outputs, labels).item() != pytest.approx(expected / 3)


def test_balanced_weights_give_both_kinds_of_steps_the_same_total(base: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    found = recipe(base, base / "config.json", tmp_path, class_weights="balanced")
    examples = [process.Example((1, 2, 3, 4), {0: 1.0, 1: 1.0, 2: 1.0, 3: 0.0})]
    assert step_loss(found, tokenizer, examples).weights == (2.0, pytest.approx(2 / 3))
    with pytest.raises(FathomError, match="balanced needs right and wrong steps; the data have only one kind"):
        step_loss(found, tokenizer, [process.Example((1,), {0: 1.0})])


def test_accumulated_batches_give_the_loss_of_one_large_batch(base: Path, tmp_path: Path) -> None:
    """Solutions have different numbers of steps, so a mean of means would weigh them differently."""
    rows = write(tmp_path / "in.jsonl", stepwise(8, seed=3))
    weights = []
    for size, accumulated in ((8, 1), (2, 4)):
        one = LEARN | {"max_steps": 1, "per_device_train_batch_size": size, "gradient_accumulation_steps": accumulated,
                       "optim": "sgd"}  # fmt: skip
        folder = process.train(recipe(base, rows, tmp_path / f"prm{size}", trainer=one))
        weights.append(load_file(folder / "model.safetensors"))
    assert weights[0].keys() == weights[1].keys() != set()
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], rtol=1e-4, atol=1e-6)


def test_padding_has_no_label_and_no_attention() -> None:
    batch = Collator(7)([{"input_ids": [1, 2], "labels": [-100.0, 0.5]}, {"input_ids": [3], "labels": [1.0]}])
    assert batch["input_ids"].tolist() == [[1, 2], [3, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["labels"].tolist() == [[-100.0, 0.5], [1.0, -100.0]]


def test_measures_are_those_of_processbench_on_labelled_steps() -> None:
    class Evaluated:
        predictions = torch.tensor([[0.9, 0.2, 0.0], [0.3, 0.2, 0.0], [0.9, 0.9, 0.9]]).numpy()
        label_ids = torch.tensor([[1.0, 0.0, -100], [1.0, 0.0, -100], [1.0, 1.0, 1.0]]).numpy()

    # First errors: found, missed (an earlier step); none: right. F1 = 2 * 1/2 * 1 / (3/2) = 2/3. Steps: 6 of 7.
    # Pairs of a right (0.9, 0.3, 0.9, 0.9, 0.9) and a wrong step (0.2, 0.2): all in order.
    # The threshold 0.3 finds both: F1 = 1.
    assert measures(Evaluated) == pytest.approx({"f1": 2 / 3, "f1_tuned": 1.0, "accuracy": 6 / 7, "auc": 1.0})


def test_a_model_of_soft_labels_is_measured_at_its_best_threshold_too() -> None:
    """Shares of a hard problem: right steps have labels and scores below 0.5, and the wrong one is far lower."""

    class Evaluated:
        predictions = torch.tensor([[0.4, 0.3, 0.05], [0.4, 0.3, 0.2]]).numpy()
        label_ids = torch.tensor([[0.375, 0.25, 0.0], [0.375, 0.25, 0.125]]).numpy()

    found = measures(Evaluated)
    assert (found["f1"], found["f1_tuned"]) == (0.0, 1.0)
    assert measures(Evaluated, error_at=0.5).keys() == {"accuracy"}, "every label is wrong, so nothing can be compared"


# Stages and recipes ---------------------------------------------------------------------------------------------------


def test_the_first_stage_changes_only_the_head(base: Path, data: Path, tmp_path: Path) -> None:
    still = LEARN | {"max_steps": 1, "learning_rate": 0.0}
    folder = process.train(recipe(base, data, tmp_path / "prm", head_epochs=1.0, head_learning_rate=0.1, trainer=still))
    before, after = load_file(base / "model.safetensors"), load_file(folder / "model.safetensors")
    backbone = [name for name in after if name.startswith("model.")]
    assert backbone
    assert all(torch.equal(before[name], after[name]) for name in backbone)
    assert after["score.weight"].abs().max() > 0.2


def test_an_interrupted_run_continues_without_the_first_stage(base: Path, data: Path, tmp_path: Path) -> None:
    settings = {"head_epochs": 1.0, "trainer": LEARN | {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}}
    whole = process.train(recipe(base, data, tmp_path / "whole", **settings))
    part = recipe(base, data, tmp_path / "part", **settings)
    with interrupting_at_step(3), pytest.raises(RunInterruptedError, match="continue with --resume"):
        process.train(part)
    process.train(part, resume=True)
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, tmp_path / "part"))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "skywork"}, "has a value head, which is not trained"),
        ({"family": "p_plus", "head_epochs": 1}, "has no head of its own"),
        ({"family": "nobody"}, "no family of process reward models 'nobody'"),
        ({"after_error": "drop"}, "Input should be 'mask' or 'keep'"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        ProcessRecipe(model="mini", data=tmp_path / "x.jsonl", output=tmp_path, **settings)


def test_a_dry_run_counts_steps_and_shows_their_labels(base: Path, data: Path, tmp_path: Path) -> None:
    page = preview.process(recipe(base, data, tmp_path / "prm"))
    assert "64 solutions with" in page
    assert "--- step 1, label " in page
    assert "tokens per epoch" in page
