"""Plans and votes: what a reward model would ask is what it asks, and recorded answers give the same votes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom import (
    Comparison,
    EngineError,
    MixJudge,
    Repeated,
    Request,
    RewardModel,
    Sampling,
    ScriptedEngine,
    Shuffled,
    SPCTJudge,
    Status,
    Swapped,
)
from fathom.judges import complete, gather
from fathom.judges.libra import LibraJudge
from strategies import comparisons

WRAPPERS = {
    "repeated": lambda model: Repeated(model, 3),
    "swapped": Swapped,
    "shuffled": lambda model: Shuffled(model, seed=3),
    "repeated swapped": lambda model: Repeated(Swapped(model), 2),
    "swapped repeated": lambda model: Swapped(Repeated(model, 2)),
    "shuffled repeated": lambda model: Repeated(Shuffled(Repeated(model, 2)), 2),
}


def reply(request: Request) -> str:
    """A score that depends on all that a request says, so that a mix-up of calls changes a vote."""
    return f"Final Score: {sum(map(ord, str(request))) % 10 + 1}"


def models() -> dict[str, RewardModel]:
    engine = ScriptedEngine(reply)
    pointwise = LibraJudge(engine=engine, sampling=Sampling(temperature=1.0))
    listwise = SPCTJudge(engine=engine, sampling=Sampling(temperature=1.0))
    wrapped = {
        f"{name} of {kind}": wrap(inner)
        for name, wrap in WRAPPERS.items()
        for kind, inner in (("pointwise", pointwise), ("listwise", listwise))
    }
    return {"pointwise": pointwise, "listwise": listwise, **wrapped}


@pytest.mark.parametrize("name", models())
@given(comparison=comparisons(), sample=st.integers(0, 3))
def test_a_plan_is_what_is_asked_and_its_answers_give_the_votes(name: str, comparison: Comparison, sample: int) -> None:
    model = models()[name]
    asks = model.plan(comparison, sample)
    engine = asks[0].judge.engine
    assert isinstance(engine, ScriptedEngine)
    votes = asyncio.run(model.votes(comparison, sample))
    assert sorted(map(repr, engine.requests)) == sorted(repr(ask.request) for ask in asks)
    assert gather(asks, asyncio.run(complete(asks))) == votes != []


@given(comparisons())
def test_every_ask_shows_the_responses_that_it_names(comparison: Comparison) -> None:
    asks = [ask for model in models().values() for ask in model.plan(comparison)]
    assert asks
    for ask in asks:
        assert ask.comparison.responses == tuple(comparison.responses[place] for place in ask.order)


def test_a_failed_call_is_a_failed_vote_and_spoils_no_other() -> None:
    comparison = Comparison(prompt="?", responses=("a", "b"))
    engine = ScriptedEngine([EngineError("broken"), "Final verdict: [[A]]"])
    votes = asyncio.run(Repeated(MixJudge(engine=engine), 2).votes(comparison))
    assert [(vote.status, vote.winner, vote.order) for vote in votes] == [
        (Status.FAILED, None, (0, 1)),
        (Status.OK, 0, (0, 1)),
    ]
