"""vLLM's pooling endpoints `/classify`, `/pooling`, `/score` and `/rerank`, below `/vllm`.

    POST /vllm/classify  {"messages": [..., {"role": "assistant", "content": "4"}]}  ->  {"data": [{"probs": [0.9]}]}

The last turn, of the assistant, is the response. An `input` of text must have been rendered by a known chat template.
In `/score` and `/rerank`, the query is the prompt and each document a response. `/pooling` with the task
`token_classify` returns the pair (1 - score, score) of each step, as vLLM's STEP pooling does. The field `model` is
ignored: a request cannot choose another reward. `use_activation: true`, for which vLLM returns the sigmoid of the
score, is refused. The responses have no null, so the policy `unscored` applies to missing rewards. Contract: vLLM
0.33, docs "pooling models"; verl sends `/classify` with one text.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from fathom.data.records import Content, Message
from fathom.serve.core import Core, StrictJSONRoute, usage_of
from fathom.serve.dialects._conversations import LONGEST, refuse_activation, sample_of_messages, samples_of_input
from fathom.serve.errors import RequestError
from fathom.serve.service import Rewarded, Sample

SEPARATOR = "<extra_0>"
"""Clients of Qwen2.5-Math-PRM put this token after each step."""


class ClassifyBody(BaseModel):
    model: str | None = None
    input: str | list[str] | list[int] | list[list[int]] | None = None
    messages: list[Message] | None = Field(default=None, max_length=LONGEST)
    use_activation: bool | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "messages": [
                        {"role": "user", "content": "What is 2 + 2?"},
                        {"role": "assistant", "content": "4"},
                    ],
                    "use_activation": False,
                }
            ]
        }
    )


class PoolingBody(ClassifyBody):
    task: Literal["classify", "score", "token_classify"] | None = None


class ScoreBody(BaseModel):
    model: str | None = None
    queries: str | list[str] = Field(validation_alias=AliasChoices("queries", "data_1", "text_1"))
    documents: str | list[str] = Field(validation_alias=AliasChoices("documents", "data_2", "text_2"))
    use_activation: bool | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"queries": "What is 2 + 2?", "documents": ["4", "5"]}]})


class RerankBody(BaseModel):
    model: str | None = None
    query: str
    documents: list[Content] = Field(max_length=LONGEST)
    top_n: int | None = Field(default=None, ge=0)

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "What is 2 + 2?", "documents": ["4", "5"]}]})


def router(core: Core) -> APIRouter:
    """The routes below `/vllm`."""
    routes = APIRouter(route_class=StrictJSONRoute, tags=["vLLM"])

    @routes.post("/vllm/classify", summary="A reward per conversation, as the one class's value")
    async def classify(body: ClassifyBody, request: Request) -> dict[str, Any]:
        return await classified(core, body, request)

    @routes.post("/vllm/pooling", summary="A reward per conversation, as pooled data")
    async def pooling(body: PoolingBody, request: Request) -> dict[str, Any]:
        pooled: list[Any]
        if body.task == "token_classify":
            pooled, made = await _step_pairs(core, _conversations(body), request)
        else:
            values, made = await core.numbers(_conversations(body), "input", request, "vllm")
            pooled = [[value] for value in values]
        data = [{"index": index, "object": "pooling", "data": each} for index, each in enumerate(pooled)]
        return _answer("pool", core, made) | {"data": data}

    @routes.post("/vllm/score", summary="A reward per document, as a response to its query")
    @routes.post("/vllm/v1/score", include_in_schema=False)
    async def score(body: ScoreBody, request: Request) -> dict[str, Any]:
        refuse_activation("use_activation", body.use_activation)
        samples = [Sample(query, document) for query, document in _paired(body)]
        values, made = await core.numbers(samples, "documents", request, "vllm")
        data = [{"index": index, "object": "score", "score": value} for index, value in enumerate(values)]
        return _answer("score", core, made) | {"data": data}

    @routes.post("/vllm/rerank", summary="Documents in the order of their rewards, as responses to the query")
    @routes.post("/vllm/v1/rerank", include_in_schema=False)
    @routes.post("/vllm/v2/rerank", include_in_schema=False)
    async def rerank(body: RerankBody, request: Request) -> dict[str, Any]:
        samples = [Sample(body.query, document) for document in body.documents]
        values, made = await core.numbers(samples, "documents", request, "vllm")
        order = sorted(range(len(values)), key=lambda index: -values[index])
        results = [
            {"index": index, "document": {"text": body.documents[index]}, "relevance_score": values[index]}
            for index in order[: body.top_n or None]
        ]
        return _answer("rerank", core, made) | {"results": results}

    return routes


async def classified(core: Core, body: ClassifyBody, request: Request) -> dict[str, Any]:
    """The answer of `/classify`."""
    values, made = await core.numbers(_conversations(body), "input", request, "vllm")
    data = [
        {"index": index, "label": "LABEL_0", "probs": [value], "num_classes": 1} for index, value in enumerate(values)
    ]
    return _answer("classify", core, made) | {"data": data}


def _conversations(body: ClassifyBody) -> list[Sample]:
    """One sample per conversation. Raises RequestError if there is no response in one."""
    refuse_activation("use_activation", body.use_activation)
    if body.input is not None and body.messages is None:
        return samples_of_input(body.input, "input")
    if body.messages is not None and body.input is None:
        return [sample_of_messages(body.messages, "messages")]
    raise RequestError(422, "expected exactly one of input and messages")


async def _step_pairs(
    core: Core, samples: Sequence[Sample], request: Request
) -> tuple[list[list[list[float]]], list[Rewarded]]:
    """Per sample, the pair (1 - score, score) of each step.

    Raises RequestError for a missing reward under either policy, because the number that the user chose is no
    probability, and for a step that the judge did not score.
    """
    if not core.service.model.scores_steps:
        raise RequestError(422, "task: token_classify needs a judge that scores steps; expected classify")
    _, made = await core.numbers([_at_separators(each) for each in samples], "input", request, "vllm")
    return [_pairs(each, index) for index, each in enumerate(made)], made


def _at_separators(sample: Sample) -> Sample:
    """The sample without separators, and with the steps that they end. Without any, the judge splits the response."""
    steps = tuple(step for step in sample.response.split(SEPARATOR) if step.strip())
    if SEPARATOR not in sample.response or not steps:
        return sample
    return sample._replace(response="".join(steps), steps=steps)


def _pairs(made: Rewarded, index: int) -> list[list[float]]:
    steps = made.reward.steps
    if steps is None or any(score is None for score in steps):
        raise RequestError(422, f"input[{index}]: not all steps were scored; use the task classify")
    pairs = [[1 - score, score] for score in steps if score is not None]
    if any(not 0 <= score <= 1 for _, score in pairs):
        raise RequestError(422, f"input[{index}]: the scores of its steps are no probabilities; expected task classify")
    return pairs


def _paired(body: ScoreBody) -> list[tuple[str, str]]:
    """One query for all documents, or one for each, as in vLLM."""
    documents = [body.documents] if isinstance(body.documents, str) else body.documents
    queries = [body.queries] if isinstance(body.queries, str) else body.queries
    if len(queries) == 1:
        queries = queries * len(documents)
    if len(queries) != len(documents):
        raise RequestError(422, f"got {len(queries)} queries for {len(documents)} documents, expected 1 or as many")
    return list(zip(queries, documents, strict=True))


def _answer(kind: str, core: Core, made: Sequence[Rewarded]) -> dict[str, Any]:
    return {
        "id": f"{kind}-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": core.model,
        "usage": usage_of(made),
        "fathom": [core.origin(each) for each in made],
    }
