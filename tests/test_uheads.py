"""Uncertainty heads: features of steps from a frozen model's readings, a fitted head, and its votes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from fathom.data.records import Comparison, Label
from fathom.engines import Answer, AnyRequest, EngineError, EngineWrapper, Likelihood, States
from fathom.engines.cache import CachedEngine
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.judges import Vote, find
from fathom.metrics.separation import auc
from fathom.rationale import Status
from fathom.rewards.uheads import STATISTICS, Head, UncertaintyHeads, step_features
from fathom.train.uheads import fit
from tiny import make_checkpoint

LAYER = 2


def solution(number: int) -> Comparison:
    """Four sums; a wrong one states a result that is 1 too large, and ends with another mark."""
    wrong = number % 5
    steps, total = [], number
    for place in range(4):
        bad = place == wrong
        steps.append(f"{total} + {place} = {total + place + bad}{'!' if bad else '.'}")
        total += place
    labels = tuple(0.0 if place == wrong else 1.0 for place in range(4))
    return Comparison(
        id=str(number),
        prompt=f"Add 0 to 3 to {number}.",
        responses=("\n\n".join(steps),),
        steps=(tuple(steps),),
        label=Label(steps=(labels,)),
    )


TRAIN, TEST = [solution(number) for number in range(10, 40)], [solution(number) for number in range(50, 65)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LocalEngine:
    return LocalEngine(make_checkpoint(tmp_path_factory.mktemp("model") / "tiny", seed=3))


@pytest.fixture(scope="module")
def head(engine: LocalEngine) -> Head:
    return asyncio.run(fit(TRAIN, engine, layer=LAYER))


@pytest.fixture
def file(head: Head, tmp_path: Path) -> Path:
    (tmp_path / "head.json").write_text(head.model_dump_json(), encoding="utf-8")
    return tmp_path / "head.json"


def voted(model: UncertaintyHeads, comparison: Comparison) -> Vote:
    (vote,) = asyncio.run(model.votes(comparison))
    return vote


def test_features_are_the_state_at_the_end_of_a_step_and_statistics_of_its_log_probabilities() -> None:
    steps = ("ab.\n\n", "c")
    likelihood = Likelihood(("ab", ".", "\n\n", "c"), (-1.0, -2.0, -0.0, -4.0))
    features = step_features([States(((0.5, 0.25),)), States(((1.0, 2.0),)), likelihood], steps)
    assert np.allclose(features, [[0.5, 0.25, -1.0, -2.0, np.log(3)], [1.0, 2.0, -4.0, -4.0, 0.0]])


def test_a_head_finds_wrong_steps_of_problems_it_was_not_fitted_to(engine: LocalEngine, file: Path) -> None:
    model = UncertaintyHeads(engine=engine, head=file)
    scores: dict[bool, list[float]] = {True: [], False: []}
    for comparison in TEST:
        vote = voted(model, comparison)
        assert vote.step_scores is not None
        assert vote.scores == (min(score for score in vote.step_scores[0] if score is not None),)
        assert comparison.label is not None
        assert comparison.label.steps is not None
        for score, label in zip(vote.step_scores[0], comparison.label.steps[0], strict=True):
            assert score is not None
            scores[bool(label)].append(score)
    assert (auc(scores[True], scores[False]) or 0) > 0.95


def test_earlier_scores_do_not_change_when_later_steps_do(engine: LocalEngine, file: Path) -> None:
    model = UncertaintyHeads(engine=engine, head=file)
    changed = TEST[0].model_copy(update={"steps": ((*(TEST[0].steps or ((),))[0][:3], "So 7."),)})
    before, after = (voted(model, each).step_scores for each in (TEST[0], changed))
    assert before is not None
    assert after is not None
    assert np.allclose(np.array(before[0][:3], dtype=float), np.array(after[0][:3], dtype=float), atol=1e-4)
    assert before[0][3] != after[0][3]


def test_a_head_without_states_uses_log_probabilities_alone(engine: LocalEngine) -> None:
    blind = asyncio.run(fit(TRAIN, engine, layer=LAYER, states=False))
    assert set(blind.weights[:-STATISTICS]) == {0.0}
    assert 0.0 not in blind.weights[-STATISTICS:]


def test_a_head_is_refused_for_another_model(file: Path, tmp_path: Path) -> None:
    other = LocalEngine(make_checkpoint(tmp_path / "other", seed=4))
    with pytest.raises(FathomError, match="was fitted to"):
        voted(UncertaintyHeads(engine=other, head=file), TEST[0])


def test_a_head_works_through_a_journal(engine: LocalEngine, file: Path, tmp_path: Path) -> None:
    with CachedEngine(engine, tmp_path / "journal") as cached:
        assert voted(UncertaintyHeads(engine=cached, head=file), TEST[0]).status is Status.OK
        assert cached.misses == 5


def test_steps_of_one_kind_fit_no_head(engine: LocalEngine) -> None:
    right = [each for each in TRAIN if each.id.endswith(("4", "9"))]
    with pytest.raises(FathomError, match="right and wrong steps; got 24 labelled steps"):
        asyncio.run(fit(right, engine, layer=LAYER))


class Failing(EngineWrapper):
    """An engine that answers for ten solutions, and fails for all others."""

    async def answer(self, request: AnyRequest) -> Answer:
        if not any(each.prompt == request.messages[0]["content"] for each in TRAIN[:10]):
            raise EngineError("503 from the server")
        return await super().answer(request)


def test_solutions_whose_calls_fail_are_not_left_out_of_a_head_in_silence(engine: LocalEngine) -> None:
    with pytest.raises(FathomError, match=r"20 of 30 solutions could not be read: '20', .*503 from the server"):
        asyncio.run(fit(TRAIN, Failing(engine), layer=LAYER))


def test_a_solution_beyond_the_context_is_named(engine: LocalEngine) -> None:
    text = " + ".join(["1"] * 5000)
    long = Comparison(id="long", prompt="?", responses=(text,), steps=((text,),), label=Label(steps=((0.0,),)))
    with pytest.raises(FathomError, match=r"1 of 31 solutions could not be read: 'long'; .* has a context of"):
        asyncio.run(fit([*TRAIN, long], engine, layer=LAYER))


def test_a_missing_or_broken_head_is_named_before_a_model_is_loaded(tmp_path: Path) -> None:
    assert find("uheads") is UncertaintyHeads
    with pytest.raises(FathomError, match=r"nowhere\.json"):
        UncertaintyHeads(head=tmp_path / "nowhere.json")
    (tmp_path / "bad.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FathomError, match=r"head of fathom\.train\.uheads"):
        UncertaintyHeads(head=tmp_path / "bad.json")
    with pytest.raises(FathomError, match="needs a head"):
        UncertaintyHeads().requests(TEST[0])


def test_an_empty_solution_has_no_score(engine: LocalEngine, file: Path) -> None:
    vote = voted(UncertaintyHeads(engine=engine, head=file), Comparison(prompt="?", responses=("",)))
    assert (vote.status, vote.scores) == (Status.INVALID, None)
