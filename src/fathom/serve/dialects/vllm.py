"""vLLM's pooling endpoints `/classify`, `/pooling`, `/score` and `/rerank`, below `/vllm`.

    POST /vllm/classify  {"messages": [..., {"role": "assistant", "content": "4"}]}  ->  {"data": [{"probs": [0.9]}]}

The last turn, of the assistant, is the response. An `input` of text must have been rendered by a known chat template.
In `/score` and `/rerank`, the query is the prompt and each document a response. The field `model` is ignored: a request
cannot choose another reward. `use_activation: true`, for which vLLM returns the sigmoid of the score, is refused. The
responses have no null, so the policy `unscored` applies to missing rewards. Contract: vLLM
0.33, docs "pooling models"; verl sends `/classify` with one text.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from fathom.data import rendered
from fathom.data.records import Content, Message
from fathom.serve.core import Core, StrictJSONRoute
from fathom.serve.errors import RequestError
from fathom.serve.service import Rewarded, Sample

LONGEST = 100_000
RENDERED = "expected messages, or a text that a known chat template rendered, with a last turn of the assistant"


class PoolingBody(BaseModel):
    model: str | None = None
    input: str | list[str] | list[int] | list[list[int]] | None = None
    messages: list[Message] | None = Field(default=None, max_length=LONGEST)
    use_activation: bool | None = None
    task: Literal["classify", "score"] | None = None

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


class RootBody(PoolingBody):
    text: Any = None
    input_ids: Any = None


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
    """The routes below `/vllm`, and `/classify` at the root."""
    routes = APIRouter(route_class=StrictJSONRoute, tags=["vLLM"])

    @routes.post("/vllm/classify", summary="A reward per conversation, as the one class's value")
    async def classify(body: PoolingBody, request: Request) -> dict[str, Any]:
        values, made = await core.numbers(_conversations(body), "input", request, "vllm")
        data = [
            {"index": index, "label": "LABEL_0", "probs": [value], "num_classes": 1}
            for index, value in enumerate(values)
        ]
        return _answer("classify", body.model, core, made) | {"data": data}

    @routes.post("/classify", summary="As /vllm/classify, for the fields of vLLM")
    async def root_classify(body: RootBody, request: Request) -> dict[str, Any]:
        if body.text is not None or body.input_ids is not None:
            raise RequestError(422, "text and input_ids: expected vLLM's fields, input or messages, and no others")
        return await classify(body, request)

    @routes.post("/vllm/pooling", summary="A reward per conversation, as pooled data")
    async def pooling(body: PoolingBody, request: Request) -> dict[str, Any]:
        values, made = await core.numbers(_conversations(body), "input", request, "vllm")
        data = [{"index": index, "object": "pooling", "data": [value]} for index, value in enumerate(values)]
        return _answer("pool", body.model, core, made) | {"data": data}

    @routes.post("/vllm/score", summary="A reward per document, as a response to its query")
    @routes.post("/vllm/v1/score", include_in_schema=False)
    async def score(body: ScoreBody, request: Request) -> dict[str, Any]:
        _refuse_activation(body.use_activation)
        samples = [Sample(query, document) for query, document in _paired(body)]
        values, made = await core.numbers(samples, "documents", request, "vllm")
        data = [{"index": index, "object": "score", "score": value} for index, value in enumerate(values)]
        return _answer("score", body.model, core, made) | {"data": data}

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
        return _answer("rerank", body.model, core, made) | {"results": results}

    return routes


def _conversations(body: PoolingBody) -> list[Sample]:
    """One sample per conversation. Raises RequestError if there is no response in one."""
    _refuse_activation(body.use_activation)
    if (body.input is None) == (body.messages is None):
        raise RequestError(422, "expected exactly one of input and messages")
    if body.messages is not None:
        return [_last_turn(body.messages, "messages")]
    texts: Sequence[str | int | list[int]] = [body.input] if isinstance(body.input, str) else body.input or []
    return [_last_turn(_turns(text, index), f"input[{index}]") for index, text in enumerate(texts)]


def _turns(text: str | int | list[int], index: int) -> Sequence[Message]:
    if not isinstance(text, str):
        raise RequestError(
            422, f"input[{index}]: got token ids, of whose tokenizer the server knows nothing; {RENDERED}"
        )
    return rendered.parse(text) or ()


def _last_turn(messages: Sequence[Message], where: str) -> Sample:
    if len(messages) < 2 or messages[-1].role != "assistant":
        raise RequestError(422, f"{where}: found no response; {RENDERED}")
    return Sample(tuple(messages[:-1]), messages[-1].content)


def _paired(body: ScoreBody) -> list[tuple[str, str]]:
    """One query for all documents, or one for each, as in vLLM."""
    documents = [body.documents] if isinstance(body.documents, str) else body.documents
    queries = [body.queries] if isinstance(body.queries, str) else body.queries
    if len(queries) == 1:
        queries = queries * len(documents)
    if len(queries) != len(documents):
        raise RequestError(422, f"got {len(queries)} queries for {len(documents)} documents, expected 1 or as many")
    return list(zip(queries, documents, strict=True))


def _refuse_activation(use_activation: bool | None) -> None:
    if use_activation:
        raise RequestError(422, "use_activation: rewards are not squashed; expected false")


def _answer(kind: str, model: str | None, core: Core, made: Sequence[Rewarded]) -> dict[str, Any]:
    prompt = sum(each.reward.usage.prompt_tokens for each in made)
    completion = sum(each.reward.usage.completion_tokens for each in made)
    return {
        "id": f"{kind}-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": core.service.identity.model or core.service.identity.id,
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }
