"""Eight defects of published code for process reward models, each with a case where it fails and Fathom does not.

Each test has the published computation in its shortest form, so that the failure is seen and not only described.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import prm
from fathom import Comparison, LocalEngine, Rule, Status, Vote
from fathom.engines import StepRequest
from fathom.errors import FathomError
from fathom.process.conventions import find
from fathom.rewards.process import ProcessRewardModel
from fathom.train import process
from fathom.train.recipe import ProcessRecipe
from prm import PROBLEM, STEPS, TAG

TOLERANCE = 1e-4


def comparison(*solutions: Sequence[str], problem: str = PROBLEM) -> Comparison:
    return Comparison(prompt=problem, responses=tuple("\n\n".join(each) for each in solutions), steps=solutions)


def vote(model: ProcessRewardModel, *solutions: Sequence[str], problem: str = PROBLEM) -> Vote:
    (found,) = asyncio.run(model.votes(comparison(*solutions, problem=problem)))
    return found


def scores(model: ProcessRewardModel, *solutions: Sequence[str], problem: str = PROBLEM) -> Any:
    found = vote(model, *solutions, problem=problem)
    assert found.step_scores is not None, found.error
    return found.step_scores


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    families = ("math_shepherd", "rlhflow", "qwen_math", "token_classes")
    return {family: prm.CHECKPOINTS[family](tmp_path_factory.mktemp(family)) for family in families}


@pytest.fixture(scope="module")
def models(folders: dict[str, Path]) -> dict[str, ProcessRewardModel]:
    return {family: ProcessRewardModel(family=family, engine=LocalEngine(folder)) for family, folder in folders.items()}


def test_1_separators_are_not_found_by_probabilities_that_are_not_zero(folders: dict[str, Path]) -> None:
    """The card of Qwen2.5-Math-PRM: `sample[sample != 0].view(-1, 2)[:, 1]`, also in search-and-learn and PRMBench."""

    def published(pairs: list[list[float]]) -> list[float]:
        sample = torch.tensor(pairs)
        return sample[sample != 0].view(-1, 2)[:, 1].tolist()

    with pytest.raises(RuntimeError):
        published([[1.0, 0.0], [0.5, 0.5]])  # one underflow
    assert published([[1.0, 0.0], [0.75, 0.25], [1.0, 0.0]]) == [0.75, 1.0]  # two: wrong pairs, and no error
    engine = LocalEngine(folders["qwen_math"])
    with torch.no_grad():
        engine.model.score[2].weight.zero_()
        engine.model.score[2].bias.copy_(torch.tensor([200.0, 0.0]))
    assert scores(ProcessRewardModel(family="qwen_math", engine=engine), STEPS) == ((0.0, 0.0, 0.0),)


def test_2_padding_is_masked_and_truncation_is_no_shorter_list(
    folders: dict[str, Path], models: dict[str, ProcessRewardModel]
) -> None:
    """search-and-learn passes no attention mask, and truncates the text before it looks for separators."""
    tokenizer = AutoTokenizer.from_pretrained(folders["math_shepherd"], padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folders["math_shepherd"]).eval()
    tag = tokenizer.encode(TAG)[-1]
    candidates = [tokenizer.encode(sign)[-1] for sign in "+-"]

    @torch.no_grad()
    def published(*solutions: Sequence[str]) -> list[list[float]]:
        texts = [f"{PROBLEM} " + "\n".join(f"{step} {TAG}" for step in steps) for steps in solutions]
        ids = tokenizer(texts, padding=True, truncation=True, max_length=512, return_tensors="pt").input_ids
        logits = model(ids).logits[:, :, candidates].softmax(-1)[:, :, 0]
        return [row[tokens == tag].tolist() for row, tokens in zip(logits, ids, strict=True)]

    long = [f"{number} + {number} = {2 * number}" for number in range(100)]
    assert len(published(long)[0]) < 100
    found = vote(models["math_shepherd"], long)
    assert (found.status, found.step_scores) == (Status.TRUNCATED, None)
    alone, beside = published(STEPS[:1])[0], published(STEPS[:1], long[:20])[0]
    assert beside != pytest.approx(alone, abs=TOLERANCE)
    (alone,) = scores(models["math_shepherd"], STEPS[:1])
    assert scores(models["math_shepherd"], STEPS[:1], long[:20])[0] == pytest.approx(alone, abs=TOLERANCE)


def test_3_the_first_steps_and_the_question_are_seen_and_no_step_is_left_out_of_the_score(
    folders: dict[str, Path], models: dict[str, ProcessRewardModel]
) -> None:
    """reward_hub truncates from the left, drops the question for RLHFlow's models, and reduces by the last step."""
    long = tuple(f"{number} + {number} = {2 * number}" for number in range(100))
    tokenizer = AutoTokenizer.from_pretrained(folders["token_classes"], truncation_side="left")
    cut = tokenizer.decode(tokenizer("\n".join(long), truncation=True, max_length=512).input_ids)
    assert long[0] not in cut  # as published, the scores of the last steps are taken for those of the first
    request = StepRequest(({"role": "user", "content": PROBLEM},), "", long, find("token_classes").convention)
    seen = [score is not None for score in asyncio.run(models["token_classes"].engine.steps(request)).scores]  # type: ignore[union-attr]
    assert (seen[0], seen[-1], len(seen)) == (True, False, 100)

    problems = (PROBLEM, "Ben has 3 pears. How many?")
    published = [{"role": "user", "content": STEPS[0]}]  # the same turn for every problem
    assert all(problem not in published[0]["content"] for problem in problems)
    one, other = (scores(models["rlhflow"], STEPS, problem=problem)[0][0] for problem in problems)
    assert one != pytest.approx(other, abs=TOLERANCE)

    wrong_at_first = Vote(Status.OK, order=(0,), step_scores=((0.1, 0.9),))
    assert wrong_at_first.step_scores is not None
    assert wrong_at_first.step_scores[0][-1] == 0.9  # as published, a right solution
    assert Rule(aggregate="mean")([wrong_at_first], threshold=0.5).scores == (0.1,)


def test_4_labels_are_at_recorded_positions_with_attention_and_no_padding_to_a_fixed_length(tmp_path: Path) -> None:
    """OpenR puts labels at the separators that it finds, cuts the rest, pads to 2048 and masks the separators."""
    tokenizer = prm.sentence_piece()
    tag = tokenizer.encode(TAG)[-1]
    steps, labels = ("2 * 4 = 8", f"we write {TAG} once more", "So 8."), (1.0, 0.0, 1.0)
    recipe = ProcessRecipe(model="mini", data=tmp_path / "x", output=tmp_path, family="math_shepherd")
    (example,), _ = process.fitting(recipe, tokenizer, [process.Solution(PROBLEM, steps, labels)], None)
    found = [place for place, token in enumerate(example.tokens) if token == tag]
    published = dict(zip(found, [*labels, *[0.0] * len(found)], strict=False))
    assert published != example.labels  # the label of step 2 is at the separator's text inside it
    assert list(example.labels.values()) == [1.0, 0.0, 1.0]
    batch = process.Collator(0)([process.row(example)])
    assert batch["input_ids"].shape == (1, len(example.tokens))
    assert batch["attention_mask"].tolist() == [[1] * len(example.tokens)]


def test_5_backslashes_and_the_numbers_of_steps_reach_the_model(models: dict[str, ProcessRewardModel]) -> None:
    r"""PRMBench's adapter writes "\boxed" without escaping the backslash, and strips the numbers of steps."""
    assert "within \boxed{}."[7] == "\x08"
    (request,) = models["qwen_math"].requests(comparison(STEPS))
    assert isinstance(request, StepRequest)
    assert r" within \boxed{}." in str(request.convention.system)
    assert request.steps == STEPS
    numberless = [step.split(": ", 1)[1] for step in STEPS]
    assert scores(models["qwen_math"], numberless)[0] != pytest.approx(scores(models["qwen_math"], STEPS)[0], abs=1e-4)


def test_6_the_reduction_is_the_one_that_was_chosen(models: dict[str, ProcessRewardModel]) -> None:
    """search-and-learn's `score` reduces by the last step, whatever its configuration says."""
    (steps,) = scores(models["qwen_math"], STEPS)
    cast = Vote(Status.OK, order=(0,), step_scores=(steps,))
    found = {way: Rule(aggregate="mean", steps=way)([cast], threshold=0.5).scores for way in ("min", "last", "mean")}
    assert found == {"min": (min(steps),), "last": (steps[-1],), "mean": (pytest.approx(sum(steps) / 3),)}
    assert len({min(steps), steps[-1], sum(steps) / 3}) == 3, "scores that are all alike would show nothing"


def test_7_soft_labels_stay_soft_a_missing_label_is_no_label_and_a_cut_is_counted(tmp_path: Path) -> None:
    """TRL's PRMTrainer truncates 0.9 to 0, stores -100 as true in a column of flags, and cuts without notice."""
    assert [int(label) for label in (0.9, True)] == [0, 1]
    assert torch.tensor([-100, 1], dtype=torch.bool).tolist() == [True, True]
    tokenizer = prm.sentence_piece()
    recipe = ProcessRecipe(model="mini", data=tmp_path / "x", output=tmp_path, family="math_shepherd")
    whole = process.Solution(PROBLEM, STEPS, (0.9, None, True))
    (example,), left_out = process.fitting(recipe, tokenizer, [whole], None)
    assert (list(example.labels.values()), left_out) == ([0.9, 1.0], {})
    known = [label for label in process.row(example)["labels"] if label != process.NO_LABEL]
    assert (known, len(process.row(example)["labels"])) == ([0.9, 1.0], len(example.tokens))
    _, left_out = process.fitting(recipe, tokenizer, [whole], len(example.tokens) - 1)
    assert left_out == {"cut": 1}


def test_8_every_row_is_judged_in_one_pass_each_and_a_model_that_does_not_load_is_an_error(
    models: dict[str, ProcessRewardModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RLHFlow's evaluator takes `ds.select(range(8))`, runs one pass per step, and retries to load a model for ever."""
    many = [comparison(STEPS, problem=f"{number}: {PROBLEM}") for number in range(20)]
    passes: list[int] = []
    forward = models["token_classes"].engine._reader.forward  # type: ignore[union-attr]
    run = forward._run

    def counted(ids: Any, *given: Any, **options: Any) -> Any:
        passes.append(len(ids))
        return run(ids, *given, **options)

    monkeypatch.setattr(forward, "_run", counted)
    assert len(list(models["token_classes"].run(many))) == 20
    assert 0 < len(passes) <= 20 < 20 * len(STEPS)
    with pytest.raises(FathomError, match="nowhere"):
        LocalEngine(tmp_path / "nowhere")
