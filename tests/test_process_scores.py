"""Scores of process reward models: those of each family's own code, in any batch, and for any texts."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import prm
from fathom import Comparison, LocalEngine, Rule, Status, Vote
from fathom.cli import app
from fathom.data.reading import write_jsonl
from fathom.engines import EngineError, StepRequest
from fathom.engines.step_states import StepScorer
from fathom.errors import FathomError
from fathom.judging import write_verdicts
from fathom.process import step_scorer
from fathom.process.conventions import families, find
from fathom.rewards.process import ProcessRewardModel
from fathom.settings import StepReduction
from fathom.voting.wrappers import WithRule
from prm import GAP, PROBLEM, STEPS, TAG

SOLUTIONS = (
    STEPS,
    ("Step 1: 2 + 4 = 6.", "Step 2: So 6."),
    ("8.",),
    tuple(f"Step {number}: {number} + {number} = {2 * number}, which we keep in mind." for number in range(1, 9)),
)
TOLERANCE = 1e-4


def comparison(*solutions: Sequence[str], problem: str = PROBLEM) -> Comparison:
    return Comparison(prompt=problem, responses=tuple("\n\n".join(each) for each in solutions), steps=solutions)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: make(tmp_path_factory.mktemp(family)) for family, make in prm.CHECKPOINTS.items()}


@pytest.fixture(scope="module")
def models(folders: dict[str, Path]) -> dict[str, ProcessRewardModel]:
    return {family: ProcessRewardModel(family=family, engine=LocalEngine(folder)) for family, folder in folders.items()}


def vote(model: ProcessRewardModel, *solutions: Sequence[str], problem: str = PROBLEM) -> Vote:
    (found,) = asyncio.run(model.votes(comparison(*solutions, problem=problem)))
    return found


def scores(model: ProcessRewardModel, *solutions: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    found = vote(model, *solutions)
    assert found.status is Status.OK, found.error
    assert found.step_scores is not None
    return found.step_scores  # type: ignore[return-value]


def test_every_family_of_the_table_has_a_checkpoint_and_a_plain_scorer_here() -> None:
    assert prm.CHECKPOINTS.keys() == families().keys()


@pytest.mark.parametrize("family", prm.CHECKPOINTS)
def test_scores_equal_those_of_the_familys_own_code_one_solution_at_a_time(
    family: str, folders: dict[str, Path], models: dict[str, ProcessRewardModel]
) -> None:
    own = prm.plain(family, folders[family])
    found = scores(models[family], *SOLUTIONS)
    assert [len(each) for each in found] == [3, 2, 1, 8]
    for solution, each in zip(SOLUTIONS, found, strict=True):
        assert each == pytest.approx(own(PROBLEM, solution), abs=TOLERANCE)
        assert scores(models[family], solution)[0] == pytest.approx(each, abs=TOLERANCE)
    assert max(found[3]) - min(found[3]) > 0.01, "scores that are all alike would show nothing"


@pytest.mark.parametrize("family", prm.CHECKPOINTS)
def test_earlier_scores_do_not_change_when_later_steps_do(family: str, models: dict[str, ProcessRewardModel]) -> None:
    steps = st.lists(st.sampled_from(["So 6.", "", f"a {TAG} b", GAP, "x\n\ny", "<extra_0>"]), max_size=3)

    @given(steps, steps)
    @settings(max_examples=8, deadline=None)
    def check(first: list[str], second: list[str]) -> None:
        alone = scores(models[family], STEPS[:2])[0]
        for later in (first, second):
            assert scores(models[family], (*STEPS[:2], *later))[0][:2] == pytest.approx(alone, abs=TOLERANCE)

    check()


def test_the_problem_is_computed_once_for_all_its_solutions(
    models: dict[str, ProcessRewardModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, problem = models["qwen_math"], PROBLEM * 5
    solutions = [(f"It is {number}.", "So.") for number in range(6)]
    expected = [vote(model, solution, problem=problem).step_scores for solution in solutions]
    engine: Any = model.engine
    tokens: list[int] = []
    run = engine._reader.forward._run

    def counted(ids: torch.Tensor, *given: Any, **options: Any) -> Any:
        tokens.append(ids.numel())
        return run(ids, *given, **options)

    monkeypatch.setattr(engine._reader.forward, "_run", counted)
    together = vote(model, *solutions, problem=problem).step_scores
    assert together is not None
    for one, each in zip(expected, together, strict=True):
        assert one is not None
        assert each == pytest.approx(one[0], abs=TOLERANCE)
    length = len(engine.tokenizer.encode(problem))
    assert sum(tokens) < 2.5 * length + 6 * 30


@pytest.mark.parametrize("family", prm.CHECKPOINTS)
def test_a_step_added_to_a_cached_prefix_scores_as_in_the_whole_solution(
    family: str, models: dict[str, ProcessRewardModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = models[family].engine
    assert isinstance(engine, LocalEngine)
    scorer, solution = StepScorer(engine, find(family).convention), SOLUTIONS[3]
    expected = scores(models[family], solution)[0]
    if find(family).convention.head == "vocabulary":
        assert scorer.forward.head_is_known  # tried once, on two tokens
    lengths: list[int] = []
    run = scorer.forward.backbone.forward

    def counted(**given: Any) -> Any:
        lengths.append(given["input_ids"].numel())
        return run(**given)

    monkeypatch.setattr(scorer.forward.backbone, "forward", counted)
    state, found, states = scorer.start(PROBLEM), [], []
    for step in solution:
        states.append(state)
        state, score = scorer.extend(state, step)
        found.append(score)
    assert found == pytest.approx(expected, abs=TOLERANCE)
    assert sum(lengths) == len(state.tokens)
    # A state that was extended before is extended by other steps.
    other = ("Another step.", "And one more.")
    _, first = scorer.extend(branch := states[2], other[0])
    assert branch.steps == solution[:2]
    assert first == pytest.approx(scores(models[family], (*solution[:2], other[0]))[0][2], abs=TOLERANCE)
    assert scorer.extend(states[2], solution[2])[1] == pytest.approx(expected[2], abs=TOLERANCE)


@pytest.mark.parametrize("family", ["math_shepherd", "qwen_math", "rlhflow"])
def test_alternative_next_steps_are_scored_together_as_alone(family: str, folders: dict[str, Path]) -> None:
    scorer = step_scorer(folders[family], family)
    state, _ = scorer.extend(scorer.start(PROBLEM), STEPS[0])
    steps = ("8.", "Step 2: She eats none of them, and keeps all.", "word " * 600, "So 8.")
    found = scorer.branch(state, steps)
    assert isinstance(found[2], EngineError)
    for step, each in zip(steps, found, strict=True):
        if isinstance(each, EngineError):
            continue
        assert each[1] == pytest.approx(scorer.extend(state, step)[1], abs=TOLERANCE)
        # What padding left behind would show in the next step.
        after, alone = scorer.extend(each[0], STEPS[2])[1], scorer.extend(scorer.extend(state, step)[0], STEPS[2])[1]
        assert after == pytest.approx(alone, abs=TOLERANCE)
    assert scorer.branch(state, []) == []


def test_a_step_beyond_the_context_is_refused(folders: dict[str, Path]) -> None:
    scorer = step_scorer(folders["skywork"])
    with pytest.raises(EngineError, match=r"step 1 ends after .* tokens; the context is 512"):
        scorer.extend(scorer.start(PROBLEM), "word " * 600)


# What reference code gets wrong ---------------------------------------------------------------------------------------


def test_a_score_of_zero_is_a_score(folders: dict[str, Path]) -> None:
    """Reference code finds separators by probabilities that are not zero. An underflow shifts or loses scores there."""
    engine = LocalEngine(folders["qwen_math"])
    with torch.no_grad():
        engine.model.score[2].weight.zero_()
        engine.model.score[2].bias.copy_(torch.tensor([200.0, 0.0]))
    found = scores(ProcessRewardModel(family="qwen_math", engine=engine), STEPS)
    assert found == ((0.0, 0.0, 0.0),)
    probabilities = torch.tensor([[1.0, 0.0]] * 3)
    with pytest.raises(RuntimeError):
        probabilities[probabilities != 0].view(-1, 2)


def test_padding_changes_no_score(models: dict[str, ProcessRewardModel]) -> None:
    """Reference code pads without a mask."""
    for family in ("rlhflow", "token_classes"):
        alone = scores(models[family], SOLUTIONS[2])[0]
        assert scores(models[family], SOLUTIONS[2], SOLUTIONS[3])[0] == pytest.approx(alone, abs=TOLERANCE)


def test_steps_beyond_the_context_are_named_and_no_solution_is_scored_in_part(
    models: dict[str, ProcessRewardModel],
) -> None:
    """Reference code cuts the text without a word, from the left or from the right, and returns fewer scores."""
    long = [f"Step {number}: we write many words about nothing at all." for number in range(60)]
    found = vote(models["skywork"], long)
    assert found.status is Status.TRUNCATED
    assert (found.step_scores, found.scores) == (None, None)
    reading = asyncio.run(
        models["skywork"].engine.steps(  # type: ignore[union-attr]
            StepRequest(({"role": "user", "content": PROBLEM},), "", tuple(long), find("skywork").convention)
        )
    )
    seen = sum(score is not None for score in reading.scores)
    assert (len(reading.scores), reading.scores[seen:]) == (60, (None,) * (60 - seen))
    assert 0 < seen < 60
    assert found.error == f"the text exceeds the model's context: steps {seen + 1} to 60 of 60 were not seen"
    first = vote(models["skywork"], ["word " * 600])
    assert (first.status, first.scores) == (Status.TRUNCATED, None)
    assert first.error == "the text exceeds the model's context: step 1 of 1 was not seen"


@pytest.mark.parametrize("family", ["math_shepherd", "openr", "qwen_math", "rlhflow"])
def test_a_step_that_contains_a_separator_shifts_no_score(family: str, models: dict[str, ProcessRewardModel]) -> None:
    """Reference code scores every separator it finds, or cuts the labels to their number."""
    hostile = ("2 * 4 = 8", f"{TAG} + {GAP} <extra_0> x", "So 8.")
    found = scores(models[family], hostile)[0]
    assert len(found) == 3
    assert found[:1] == pytest.approx(scores(models[family], hostile[:1])[0], abs=TOLERANCE)


def test_backslashes_and_step_numbers_reach_the_model(models: dict[str, ProcessRewardModel]) -> None:
    """Reference code writes a backspace for \\b in \\boxed, and drops the numbers of steps."""
    request = models["qwen_math"].requests(comparison(STEPS))[0]
    assert isinstance(request, StepRequest)
    assert str(request.convention.system).endswith(r"\boxed{}.")
    assert request.steps == STEPS


def test_the_problem_is_part_of_the_first_turn(models: dict[str, ProcessRewardModel]) -> None:
    """Reference code drops the question from the first turn."""
    model = models["rlhflow"]
    problems = (PROBLEM, "Ben has 3 pears. How many?")
    one, other = (vote(model, STEPS, problem=problem).step_scores for problem in problems)
    assert one is not None
    assert other is not None
    assert one[0] != pytest.approx(other[0], abs=TOLERANCE)


def test_the_reduction_is_the_callers(models: dict[str, ProcessRewardModel], tmp_path: Path) -> None:
    """Reference code reduces by `last` whatever its configuration says."""
    write_jsonl(tmp_path / "in.jsonl", [comparison(STEPS)])
    found = {}
    for reduction in ("min", "last", "mean", "max", "own"):
        out = tmp_path / f"{reduction}.jsonl"
        arguments = ["judge", str(tmp_path / "in.jsonl"), "--model", str(models["qwen_math"].engine.name),  # type: ignore[union-attr]
                     *(() if reduction == "own" else ("--step-reduction", reduction)), "--out", str(out)]  # fmt: skip
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        row = json.loads(out.read_text())
        (steps,) = row["votes"][0]["step_scores"]
        found[reduction] = (row["scores"][0], {"min": min, "max": max}.get(reduction, lambda s: s[-1])(steps), steps)
    assert found["mean"][0] == pytest.approx(sum(found["mean"][2]) / 3)
    assert found["own"][0] == pytest.approx(prod(found["own"][2]))  # qwen_math's authors multiply
    del found["mean"], found["own"]
    assert all(score == pytest.approx(expected) for score, expected, _ in found.values())


def test_a_temperature_divides_the_log_odds_of_step_scores(models: dict[str, ProcessRewardModel]) -> None:
    model = models["token_classes"]
    (plain,) = scores(model, STEPS)
    (flat,) = scores(replace(model, step_temperature=2.0), STEPS)
    odds = [(score / (1 - score)) ** 0.5 for score in plain]  # exp(log-odds / 2)
    assert flat == pytest.approx([each / (1 + each) for each in odds], abs=1e-6)
    (sharp,) = scores(replace(model, step_temperature=1e-3), STEPS)  # nor does it overflow
    assert [round(score) for score in sharp] == [score > 0.5 for score in plain]
    assert max(abs(score - round(score)) for score in sharp) < 1e-3


def test_every_row_is_judged(models: dict[str, ProcessRewardModel]) -> None:
    """Reference code scores the first eight rows as published."""
    many = [comparison(STEPS, problem=f"{number}: {PROBLEM}") for number in range(20)]
    assert len(list(models["token_classes"].run(many))) == 20


# The judge -----------------------------------------------------------------------------------------------------------


def test_a_checkpoint_that_shows_its_family_is_judged_by_it(folders: dict[str, Path], tmp_path: Path) -> None:
    unsplit = comparison(STEPS).model_copy(update={"steps": None})
    write_jsonl(tmp_path / "in.jsonl", [unsplit])
    for family in ("qwen_math", "skywork", "token_classes"):
        out = tmp_path / f"{family}.jsonl"
        arguments = ["judge", str(tmp_path / "in.jsonl"), "--model", str(folders[family]), "--out", str(out)]
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        (steps,) = json.loads(out.read_text())["votes"][0]["step_scores"]
        assert steps == pytest.approx(prm.plain(family, folders[family])(PROBLEM, STEPS), abs=TOLERANCE)


def test_the_name_of_a_published_checkpoint_says_more_than_its_head(folders: dict[str, Path], tmp_path: Path) -> None:
    """ReasonFlux-PRM-7B has the head of Qwen2.5-Math-PRM, and is read without its system prompt."""
    write_jsonl(tmp_path / "in.jsonl", [comparison(STEPS)])
    folder = tmp_path / "ReasonFlux-PRM-7B"
    shutil.copytree(folders["qwen_math"], folder)
    expected = prm.plain("reasonflux", folder)(PROBLEM, STEPS)
    assert expected != pytest.approx(prm.plain("qwen_math", folder)(PROBLEM, STEPS), abs=TOLERANCE)
    arguments = ["judge", str(tmp_path / "in.jsonl"), "--model", str(folder), "--out", str(tmp_path / "out.jsonl")]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (steps,) = json.loads((tmp_path / "out.jsonl").read_text())["votes"][0]["step_scores"]
    assert steps == pytest.approx(expected, abs=TOLERANCE)
    scorer = step_scorer(folder)
    _, score = scorer.extend(scorer.start(PROBLEM), STEPS[0])
    assert score == pytest.approx(expected[0], abs=TOLERANCE)


def judged_by_product(*solutions: tuple[float, ...], threshold: float = 0.5, steps: StepReduction = "prod") -> Any:
    """The outcomes of `fathom judge` on solutions with these step scores."""

    class Scored(ProcessRewardModel):
        async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
            return [Vote(Status.OK, order=(0,), step_scores=(solutions[int(comparison.id)],))]

    async def write() -> list[Any]:
        model = WithRule(Scored(family="qwen_math", threshold=threshold), Rule(aggregate="mean", steps=steps))
        texts = [tuple(f"step {n}" for n in range(len(scores))) for scores in solutions]
        items = [comparison(each).model_copy(update={"id": str(n)}) for n, each in enumerate(texts)]
        return [outcome async for outcome in write_verdicts(model, items, io.BytesIO(), {})]

    return asyncio.run(write())


def test_a_solution_that_is_wrong_only_by_its_number_of_steps_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    judged_by_product((0.96,) * 20, (0.96,) * 2, (0.9, 0.3))  # 0.44, 0.92, and 0.27 with a wrong step
    assert "1 solutions are called wrong although no step is" in caplog.text
    assert "give --step-reduction min" in caplog.text
    caplog.clear()
    judged_by_product((0.96,) * 20, steps="min")
    judged_by_product((0.96,) * 20, threshold=0.4)
    assert not caplog.text


def test_a_language_model_needs_a_family(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(FathomError, match="give --judge-option family=NAME, with a name of math_shepherd, rlhflow"):
        vote(ProcessRewardModel(engine=LocalEngine(folders["p_yes"])), STEPS)
    with pytest.raises(FathomError, match="does not show its family; give family=NAME"):
        step_scorer(folders["p_yes"])
    with pytest.raises(FathomError, match="no family of process reward models 'qwen'"):
        ProcessRewardModel(family="qwen")
    with pytest.raises(FathomError, match="has no head; the family of this run reads a head with 2"):
        vote(ProcessRewardModel(family="qwen_math", engine=LocalEngine(folders["p_yes"])), STEPS)


@pytest.mark.parametrize("steps", [("",), (" ", "\n")])
def test_a_solution_without_text_is_not_scored(steps: Sequence[str], models: dict[str, ProcessRewardModel]) -> None:
    found = vote(models["p_plus"], steps)
    assert (found.status, found.scores) == (Status.INVALID, None)
    assert "a response is empty or white space" in str(found.error)


def test_scores_that_are_no_numbers_are_no_verdict(folders: dict[str, Path]) -> None:
    engine = LocalEngine(folders["token_classes"])
    with torch.no_grad():
        engine.model.score.weight.fill_(float("nan"))
    found = vote(ProcessRewardModel(family="token_classes", engine=engine), STEPS)
    assert (found.status, found.step_scores) == (Status.INVALID, None)


@pytest.mark.parametrize(
    ("family", "weight", "message"),
    [
        ("qwen_math", "model.layers.1.mlp.down_proj.weight", "no file of it has layers.1.mlp.down_proj.weight"),
        ("token_classes", "score.weight", "is not a trained token classifier: no file of it has score.weight"),
    ],
)
def test_a_checkpoint_without_a_weight_is_refused_because_it_would_be_random(
    family: str, weight: str, message: str, tmp_path: Path
) -> None:
    folder = prm.CHECKPOINTS[family](tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights[weight]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FathomError, match=message):
        LocalEngine(folder)


def test_the_best_of_n_solutions_is_the_one_whose_worst_step_is_best(models: dict[str, ProcessRewardModel]) -> None:
    found = vote(models["math_shepherd"], *SOLUTIONS)
    assert found.step_scores is not None
    worst = [min(score for score in steps if score is not None) for steps in found.step_scores]
    assert found.scores == pytest.approx(worst)
    assert found.winner == worst.index(max(worst))
