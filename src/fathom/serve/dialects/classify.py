"""`/classify` at the root: the path of vLLM and of SGLang, whose requests differ in their fields.

`input` and `messages` are vLLM's; `text` and `input_ids` are SGLang's. A request with fields of both is refused. `verl`
calls this path when its reward model is served by vLLM.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from fathom.serve.core import Core, StrictJSONRoute
from fathom.serve.dialects import sglang, vllm
from fathom.serve.errors import RequestError


class RootBody(vllm.ClassifyBody):
    text: str | list[str] | None = None
    input_ids: list[int] | list[list[int]] | None = None


def router(core: Core) -> APIRouter:
    """The route at the root."""
    routes = APIRouter(route_class=StrictJSONRoute, tags=["vLLM", "SGLang"])

    @routes.post("/classify", summary="As /vllm/classify or /sglang/classify, by the request's fields")
    async def classify(body: RootBody, request: Request) -> Any:
        of_vllm = body.input is not None or body.messages is not None
        of_sglang = body.text is not None or body.input_ids is not None
        if of_vllm == of_sglang:
            raise RequestError(422, "expected either vLLM's fields, input or messages, or SGLang's, text or input_ids")
        if of_vllm:
            return await vllm.classified(core, body, request)
        given = sglang.ClassifyBody(model=body.model, text=body.text, input_ids=body.input_ids)
        return await sglang.classified(core, given, request)

    return routes
