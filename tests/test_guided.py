"""Votes chosen by a meta reward model: which of them count, and that nothing else about them changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.records import Comparison
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import RewardModel, Rule, Vote
from fathom.rationale import Status
from fathom.voting.meta import MetaFiltered, keep_best, n_kept
from fathom.voting.wrappers import WithRule

COMPARISON = Comparison(id="c", prompt="q", responses=("a", "b"))


def vote(readable: bool, first: int = 5) -> Vote:
    if not readable:
        return Vote(Status.INVALID, order=(0, 1), usage=Usage(10, 1))
    winner = None if first == 5 else int(first < 5)
    return Vote(Status.OK, winner=winner, scores=(float(first), 5.0), order=(0, 1), usage=Usage(10, 1))


votes = st.lists(st.builds(vote, st.booleans(), st.integers(1, 10)), min_size=1, max_size=12)
scores = st.none() | st.floats(0, 1)
keeps = st.integers(1, 12) | st.floats(0.01, 1.0)


@given(votes, st.data(), keeps)
def test_only_which_votes_count_is_changed(cast: list[Vote], data: st.DataObject, keep: float | int) -> None:
    told = data.draw(st.lists(scores, min_size=len(cast), max_size=len(cast)))
    found = keep_best(cast, told, keep)
    assert [replace(each, included=True, meta_score=None) for each in found] == cast
    assert [each.meta_score for each in found] == told
    assert sum(each.included for each in found) == n_kept(keep, len(cast))


@given(votes, st.data(), keeps)
def test_no_vote_that_counts_is_worse_than_one_that_does_not(
    cast: list[Vote], data: st.DataObject, keep: float | int
) -> None:
    told = data.draw(st.lists(scores, min_size=len(cast), max_size=len(cast)))

    def worth(each: Vote) -> tuple[bool, float]:
        return each.status is Status.OK, -1.0 if each.meta_score is None else each.meta_score

    found = keep_best(cast, told, keep)
    for kept in filter(lambda each: each.included, found):
        assert all(worth(kept) >= worth(left) for left in found if not left.included)


@pytest.mark.parametrize(
    ("keep", "count", "kept"),
    [(0.5, 32, 16), (0.5, 1, 1), (0.5, 3, 2), (1.0, 7, 7), (1, 7, 1), (16, 7, 7), (0.01, 8, 1)],
)
def test_a_share_is_rounded_up_and_a_number_is_at_most_all(keep: float | int, count: int, kept: int) -> None:
    assert n_kept(keep, count) == kept


@pytest.mark.parametrize("keep", [0, -1, 0.0, 1.5])
def test_to_keep_nothing_or_more_than_all_is_refused(keep: float | int) -> None:
    with pytest.raises(FathomError, match="expected a fraction of the votes above"):
        MetaFiltered(Cast(()), Likes(()), keep)


@dataclass(frozen=True)
class Cast(RewardModel):
    all: tuple[Vote, ...]

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        return list(self.all)


@dataclass(frozen=True)
class Likes:
    scores: tuple[float | None, ...]

    async def __call__(self, comparison: Comparison, votes: Sequence[Vote]) -> list[float | None]:
        return list(self.scores)


def test_the_verdict_is_that_of_the_votes_kept_at_the_cost_of_all() -> None:
    cast = (vote(True, 9), vote(True, 1), vote(True, 2), vote(False))
    guided = MetaFiltered(Cast(cast), Likes((0.9, 0.2, 0.1, 1.0)), 1)
    verdict = asyncio.run(WithRule(guided, Rule(aggregate="sum"))(COMPARISON))
    assert (verdict.winner, verdict.scores) == (0, (9.0, 5.0))
    assert len(verdict.votes) == 4
    assert verdict.usage == Usage(40, 4)


def test_votes_that_another_filter_left_out_stay_out() -> None:
    cast = [replace(vote(True, 9), included=False), vote(True, 1)]
    assert [each.included for each in keep_best(cast, [1.0, 0.0], 2)] == [False, True]
