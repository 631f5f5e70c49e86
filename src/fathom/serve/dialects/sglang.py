"""SGLang's `/classify` and `/v1/score`, below `/sglang`.

    POST /sglang/classify  {"text": ["<|im_start|>user\\n..."]}               ->  [{"embedding": [0.9], ...}]
    POST /sglang/v1/score  {"query": "What is 2 + 2?", "items": ["4", "5"]}   ->  {"scores": [[0.9], [0.1]]}

A text must have been rendered by a known chat template, and its last turn is the response; one text gives one object, a
list of texts a list. In `/v1/score`, the query is the prompt and each item a response. A reward is not the probability
of a token: several `label_token_ids`, `apply_softmax` and `item_first` are refused. The responses have no null, so
the policy `unscored` applies to missing rewards. Contract: SGLang 0.5, `srt/managers/io_struct.py` and
`srt/entrypoints/openai/protocol.py`.
"""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from fathom.serve.core import Core, StrictJSONRoute, usage_of
from fathom.serve.dialects._conversations import refuse_activation, samples_of_input
from fathom.serve.errors import RequestError
from fathom.serve.service import Rewarded, Sample

EXAMPLE = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n"


class ClassifyBody(BaseModel):
    model: str | None = None
    text: str | list[str] | None = None
    input_ids: list[int] | list[list[int]] | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": [EXAMPLE]}]})


class ScoreBody(BaseModel):
    model: str | None = None
    query: str
    items: str | list[str]
    label_token_ids: list[int] | None = Field(default=None, max_length=1)
    apply_softmax: bool = False
    item_first: bool = False

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "What is 2 + 2?", "items": ["4", "5"]}]})


def router(core: Core) -> APIRouter:
    """The routes below `/sglang`."""
    routes = APIRouter(route_class=StrictJSONRoute, tags=["SGLang"])

    @routes.post("/sglang/classify", summary="A reward per rendered conversation")
    async def classify(body: ClassifyBody, request: Request) -> Any:
        return await classified(core, body, request)

    @routes.post("/sglang/v1/score", summary="A reward per item, as a response to the query")
    async def score(body: ScoreBody, request: Request) -> dict[str, Any]:
        refuse_activation("apply_softmax", body.apply_softmax)
        if body.item_first:
            raise RequestError(422, "item_first: an item is a response, which follows its query; expected false")
        items = [body.items] if isinstance(body.items, str) else body.items
        samples = [Sample(body.query, item) for item in items]
        values, made = await core.numbers(samples, "items", request, "sglang")
        return {
            "scores": [[value] for value in values],
            "object": "scoring",
            "model": core.model,
            "usage": usage_of(made),
            "fathom": [core.origin(each) for each in made],
        }

    return routes


async def classified(core: Core, body: ClassifyBody, request: Request) -> Any:
    """The answer of `/classify`: one object for one text, else a list."""
    field, given = ("input_ids", body.input_ids) if body.text is None else ("text", body.text)
    if given is None or (body.text is not None and body.input_ids is not None):
        raise RequestError(422, "expected exactly one of text and input_ids")
    samples = samples_of_input(given, field)
    values, made = await core.numbers(samples, field, request, "sglang")
    answers = [_answer(core, value, each) for value, each in zip(values, made, strict=True)]
    return answers[0] if isinstance(given, str) else answers


def _answer(core: Core, value: float, made: Rewarded) -> dict[str, Any]:
    meta = usage_of([made]) | {"id": uuid.uuid4().hex, "fathom": core.origin(made)}
    return {"embedding": [value], "meta_info": meta}
