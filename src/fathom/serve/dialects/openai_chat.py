"""OpenAI's `/v1/chat/completions`, for clients that speak nothing else: the judge's text, with the reward beside it.

    POST /v1/chat/completions  {"messages": [..., {"role": "assistant", "content": "4"}], "responses": ["5"]}

The last message, of the assistant, is the response; `responses` has further ones to the same conversation. The answer
has a choice for each of them, in this order: `content` is the rationale of its first readable vote, empty for judges
that write none, and `reward` the reward, null if it could not be scored. Never read the reward from the text. `model`
and the fields of sampling are ignored, because a request cannot choose another reward; streaming is refused.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from fathom.data.records import Content, Message
from fathom.serve.core import Core, StrictJSONRoute, usage_of
from fathom.serve.dialects._conversations import LONGEST, sample_of_messages
from fathom.serve.errors import RequestError
from fathom.serve.service import Rewarded


class ChatBody(BaseModel):
    model: str | None = None
    messages: list[Message] = Field(max_length=LONGEST)
    responses: list[Content] = Field(default=[], max_length=LONGEST)
    stream: bool | None = None
    n: int | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "messages": [
                        {"role": "user", "content": "What is 2 + 2?"},
                        {"role": "assistant", "content": "4"},
                    ],
                    "responses": ["5"],
                }
            ]
        }
    )


def router(core: Core) -> APIRouter:
    """The route of chat completions."""
    routes = APIRouter(route_class=StrictJSONRoute, tags=["OpenAI chat"])

    @routes.post("/v1/chat/completions", summary="The rationale of each response, with its reward")
    async def chat_completions(body: ChatBody, request: Request) -> dict[str, Any]:
        if body.stream or (body.n or 1) != 1:
            raise RequestError(
                422, "stream and n: expected neither; an answer has one choice per response and is sent whole"
            )
        last = sample_of_messages(body.messages, "messages")
        samples = [last, *(last._replace(response=each) for each in body.responses)]
        size = len(samples) if len(samples) > 1 else None
        made = await core.rewarded(samples, "responses", request, size=size)
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": core.model,
            "choices": [_choice(core, index, each) for index, each in enumerate(made)],
            "usage": usage_of(made),
        }

    return routes


def _choice(core: Core, index: int, made: Rewarded) -> dict[str, Any]:
    return {
        "index": index,
        "message": {"role": "assistant", "content": made.reward.rationale},
        "finish_reason": "stop",
        "reward": made.reward.value,
        "fathom": core.origin(made),
    }
