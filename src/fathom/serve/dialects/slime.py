"""slime's remote reward model: `--rm-type remote_rm --rm-url http://127.0.0.1:8090/remote_rm`.

    POST /remote_rm  {"prompt": "What is 2 + 2?", "response": "4", "label": "4"}  ->  0.9

slime sends one sample per request and takes the JSON of the answer as its reward, here a number. The prompt is a text,
rendered or not, or a list of messages; the label is the reference answer. It tries a refused request 10 times and then
ends the job. The answer has no null, so the policy `unscored` applies to a missing reward. Contract:
slime/rollout/rm_hub/__init__.py, August 2026.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from fathom.data import rendered
from fathom.data.records import Message
from fathom.serve.core import Core, StrictJSONRoute
from fathom.serve.dialects._conversations import LONGEST
from fathom.serve.service import Sample


class RemoteBody(BaseModel):
    prompt: Annotated[str, Field(min_length=1)] | Annotated[list[Message], Field(min_length=1, max_length=LONGEST)]
    response: str
    label: Any = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prompt": "What is 2 + 2?", "response": "4", "label": "4"}]}
    )


def router(core: Core) -> APIRouter:
    """The route of slime."""
    routes = APIRouter(route_class=StrictJSONRoute, tags=["slime"])

    @routes.post("/remote_rm", summary="The reward of one response, as a number")
    async def remote_rm(body: RemoteBody, request: Request) -> float:
        (value,), _ = await core.numbers([_sample(body)], "response", request, "slime")
        return value

    return routes


def _sample(body: RemoteBody) -> Sample:
    prompt = rendered.prompt_of(body.prompt) if isinstance(body.prompt, str) else tuple(body.prompt)
    reference = body.label if isinstance(body.label, str) and body.label else None
    return Sample(prompt, rendered.without_end(body.response), reference)
