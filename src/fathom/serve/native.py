"""Fathom's own protocol: `/v1/judgments`, `/v1/rankings`, `/v1/rewards`, `/v1/models`.

Answers have one entry per item of the request, in the same order and with the item's `id`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from pydantic import ValidationError

from fathom.data.records import Comparison
from fathom.engines.usage import Usage
from fathom.judges import Verdict, Vote
from fathom.ranking import Ranking
from fathom.rationale import Status, render
from fathom.serve.core import Core, StrictJSONRoute
from fathom.serve.errors import RequestError, problems
from fathom.serve.messages import (
    ComparisonsBody,
    Id,
    Item,
    Judgment,
    JudgmentsAnswer,
    Model,
    ModelsAnswer,
    RankingAnswer,
    RankingsAnswer,
    RewardAnswer,
    RewardsAnswer,
    RewardsBody,
    Tokens,
    VoteAnswer,
)
from fathom.serve.service import Attempt


def router(core: Core) -> APIRouter:
    """The routes of Fathom's own protocol."""
    routes = APIRouter(route_class=StrictJSONRoute, tags=["Fathom"])
    service = core.service

    @routes.post("/v1/judgments", summary="A verdict for each comparison")
    async def judgments(body: ComparisonsBody, request: Request) -> JudgmentsAnswer:
        core.check_pin(body.reward)
        comparisons = _comparisons(body)
        core.check(comparisons, "comparisons")
        attempts = await core.available(service.judge(comparisons, request.state.deadline), "comparisons")
        entries = [
            _judgment(item.id, attempt, body.texts) for item, attempt in zip(body.comparisons, attempts, strict=True)
        ]
        return JudgmentsAnswer(reward=service.identity, judgments=core.counted(entries, request))

    @routes.post("/v1/rankings", summary="The responses of each comparison in order")
    async def rankings(body: ComparisonsBody, request: Request) -> RankingsAnswer:
        core.check_pin(body.reward)
        comparisons = _comparisons(body)
        core.check(comparisons, "comparisons", to_rank=True)
        attempts = await core.available(service.rank(comparisons, request.state.deadline), "comparisons")
        entries = [_ranking(item, attempt) for item, attempt in zip(body.comparisons, attempts, strict=True)]
        return RankingsAnswer(reward=service.identity, rankings=core.counted(entries, request))

    @routes.post("/v1/rewards", summary="A reward for each response of a policy")
    async def rewards(body: RewardsBody, request: Request) -> RewardsAnswer:
        core.check_pin(body.reward)
        samples = [each.sample() for each in body.samples]
        rewarded = await core.rewarded(samples, "samples", request, size=body.group_size)
        entries = [RewardAnswer.of(each.id, made) for each, made in zip(body.samples, rewarded, strict=True)]
        return RewardsAnswer(reward=service.identity, rewards=entries)

    @routes.get("/v1/models", summary="The model, and the identity of its reward")
    async def models() -> ModelsAnswer:
        identity = service.identity
        return ModelsAnswer(data=[Model(id=identity.model or identity.id, root=identity.model)], reward=identity)

    return routes


def _comparisons(body: ComparisonsBody) -> list[Comparison]:
    """The comparisons of a body. Raises RequestError for one that contradicts itself, as in its number of steps."""

    def one(index: int, item: Item) -> Comparison:
        try:
            return item.comparison()
        except ValidationError as error:
            raise RequestError(422, f"comparisons[{index}].{problems(error.errors())}") from None

    return [one(index, item) for index, item in enumerate(body.comparisons)]


class _Votes(NamedTuple):
    votes: int
    votes_read: int
    tokens: Tokens


def _votes(votes: Sequence[Vote]) -> _Votes:
    usage = sum((vote.usage for vote in votes), Usage())
    return _Votes(len(votes), sum(vote.status is Status.OK for vote in votes), Tokens.of(usage))


def _judgment(id: Id, attempt: Attempt[Verdict], texts: bool) -> Judgment:
    verdict = attempt.value
    if verdict is None:
        return Judgment(**_failed(id, attempt), winner=None, scores=None, agreement=None)
    return Judgment(
        id=id,
        status=verdict.status,
        error=None if verdict.status is Status.OK else _error(verdict.votes),
        **_votes(verdict.votes)._asdict(),
        cached=attempt.cached,
        winner=verdict.winner,
        scores=None if verdict.scores is None else list(verdict.scores),
        agreement=verdict.agreement,
        texts=[_vote(vote) for vote in verdict.votes] if texts else None,
    )


def _ranking(item: Item, attempt: Attempt[Ranking]) -> RankingAnswer:
    ranking = attempt.value
    if ranking is None:
        return RankingAnswer(**_failed(item.id, attempt), winner=None, order=[], scores=[None] * len(item.responses))
    votes = [vote for verdict in ranking.verdicts.values() for vote in verdict.votes]
    bad = next((verdict for verdict in ranking.verdicts.values() if verdict.status is not Status.OK), None)
    return RankingAnswer(
        id=item.id,
        status=bad.status if bad else Status.OK,
        error=_error(bad.votes) if bad else None,
        **_votes(votes)._asdict(),
        cached=attempt.cached,
        winner=ranking.winner,
        order=[list(level) for level in ranking.order],
        scores=list(ranking.scores),
    )


def _failed(id: Id, attempt: Attempt[Any]) -> dict[str, Any]:
    return {
        "id": id,
        "status": Status.FAILED,
        "error": attempt.error,
        "votes": 0,
        "votes_read": 0,
        "cached": False,
        "tokens": Tokens(prompt=0, completion=0),
    }


def _error(votes: Sequence[Vote]) -> str:
    return next((vote.error for vote in votes if vote.error), "no vote could be read")


def _vote(vote: Vote) -> VoteAnswer:
    return VoteAnswer(
        status=vote.status,
        winner=vote.winner,
        scores=None if vote.scores is None else list(vote.scores),
        order=list(vote.order),
        text=vote.text,
        rationale=None if vote.rationale is None else render(vote.rationale),
        error=vote.error,
    )
