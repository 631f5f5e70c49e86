"""OpenRLHF's remote reward model: `--reward.remote_url http://127.0.0.1:8090/get_reward`.

A query is the decoded prompt and response, with special tokens; `prompts` has the prompts alone, and `labels` the
reference answers. OpenRLHF usually sends one query per request. Versions before 0.11 send an empty list to each
additional server, and lose all rewards unless it is answered. OpenRLHF fails on a batch of numbers and None, so the
policy `unscored` applies to missing rewards. Contract: openrlhf/utils/agent.py, version 0.11.2.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from fathom.data import rendered
from fathom.serve.core import Core, StrictJSONRoute
from fathom.serve.errors import RequestError
from fathom.serve.service import Rewarded, Sample


class GetRewardBody(BaseModel):
    query: list[str] = Field(max_length=100_000)
    prompts: list[str] | None = Field(default=None, max_length=100_000)
    labels: list[Any] | None = Field(default=None, max_length=100_000)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": ["What is 2 + 2? 4"], "prompts": ["What is 2 + 2? "], "labels": ["4"]}]
        }
    )


def router(core: Core) -> APIRouter:
    """The route of OpenRLHF."""
    routes = APIRouter(route_class=StrictJSONRoute, tags=["OpenRLHF"])

    @routes.post("/get_reward", summary="Rewards of queries")
    async def get_reward(body: GetRewardBody, request: Request) -> dict[str, Any]:
        if not body.query:
            return {"rewards": []}
        samples = [_sample(body, index) for index in range(len(body.query))]
        values, made = await core.numbers(samples, "query", request, "openrlhf")
        return {"rewards": values, "scores": values, "extra_logs": _logs(core, made)}

    return routes


def _sample(body: GetRewardBody, index: int) -> Sample:
    query = body.query[index]
    prompt = _at(body.prompts, index, len(body.query), "prompts")
    label = _at(body.labels, index, len(body.query), "labels")
    reference = label if isinstance(label, str) and label else None
    found = rendered.split_query(query, prompt)
    if found is None:
        raise RequestError(
            422,
            f"query[{index}]: found no response; expected a query that contains its entry in prompts",
        )
    return Sample(found.prompt, found.response, reference)


def _at(values: list[Any] | None, index: int, count: int, field: str) -> Any:
    if not values:
        return None
    if len(values) != count:
        raise RequestError(422, f"{field}: got {len(values)}, expected one per query, {count}")
    return values[index]


def _logs(core: Core, made: list[Rewarded]) -> dict[str, list[float]]:
    """Numbers that OpenRLHF logs. The keys are always the same, because it concatenates them over batches."""
    return {
        "unscored": [float(core.unscored(each) is not None) for each in made],
        "votes": [float(each.reward.votes) for each in made],
        "votes_read": [float(each.reward.votes_read) for each in made],
        "cached": [float(each.cached) for each in made],
    }
