"""The shipped base model: an ordinary checkpoint that can do both, judge at sight and solve, when told to."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from fathom.engines import Sampling
from fathom.engines.local import LocalEngine
from fathom.judges import Vote, judge_all
from fathom.judges.mix import MixJudge, Style
from fathom.lab import base, world
from fathom.rationale import render


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine(base.PATH)


def told(engine: LocalEngine, style: Style, domain: str, temperature: float) -> list[tuple[world.Item, Vote]]:
    items = [item for item in world.items(240, seed=3, prefix="base") if item.domain == domain]
    judge = MixJudge(
        engine=engine, style=style, trained=True, sampling=Sampling(temperature=temperature, max_tokens=96)
    )

    async def judged() -> list[Vote]:
        return [verdict.votes[0] async for _, verdict in judge_all(judge, (item.comparison for item in items))]

    return list(zip(items, asyncio.run(judged()), strict=True))


@pytest.mark.parametrize(("style", "domain"), [("depth", "correctness"), ("breadth", "preference")])
def test_told_how_to_judge_it_is_right_on_nine_of_ten(engine: LocalEngine, style: Style, domain: str) -> None:
    votes = told(engine, style, domain, temperature=1.0)
    assert sum(vote.winner == item.winner for item, vote in votes) >= 0.9 * len(votes)


def test_it_writes_what_the_world_would_write(engine: LocalEngine) -> None:
    votes = told(engine, "depth", "correctness", temperature=0.0)
    exact = [vote.text == render(world.rationale(item, "depth", random.Random(0))) for item, vote in votes]
    assert sum(exact) >= 0.95 * len(exact)


def test_it_loads_as_any_checkpoint_does(engine: LocalEngine) -> None:
    from safetensors import safe_open

    weights = base.PATH / "model.safetensors"
    assert weights.stat().st_size < 3_000_000
    with safe_open(weights, framework="pt") as file:
        assert sum(file.get_slice(name).get_shape()[0] for name in file.keys()) > 0  # noqa: SIM118
    assert not list(Path(base.PATH).glob("*.bin"))


def test_the_shipped_tokenizer_is_the_one_the_world_makes(engine: LocalEngine) -> None:
    assert engine.tokenizer.get_vocab() == base.tokenizer().get_vocab()


@pytest.mark.parametrize("style", ["vanilla", "breadth", "depth"])
def test_every_text_of_the_world_survives_tokenising(engine: LocalEngine, style: world.Style) -> None:
    rng = random.Random(0)
    for item in world.items(200, seed=9, prefix="tokens"):
        text = render(world.rationale(item, style, rng))
        tokens = engine.tokenizer.encode(text, add_special_tokens=False)
        assert engine.tokenizer.decode(tokens) == text
        assert engine.tokenizer.unk_token_id not in tokens
