"""NeMo-Gym's verifiers: `/verify` of a resources server, and `/compare` of its GenRM server.

    POST /verify   {"responses_create_params": {"input": "2 + 2?"}, "response": {"output": [...]}}  ->  + "reward": 0.9
    POST /compare  {"conversation_history": [...], "response_objs": [{"output": [...]}, ...]}  ->  {"rewards": [...]}

`/verify` returns the request's fields with the reward. A response that could not be scored gets status 200, the reward
0.0 that the protocol requires, and `_ng_failure_class`: NeMo-Gym writes such rows to a file of failures, excludes them
from scores and can verify them again. NeMo-RL masks a row by `instance_config.mask_sample`. `failure_kind` tells failed
calls from texts without a verdict and incomplete groups. Rows of one attempt at a group (`_ng_group_id`), or of one
task (`_ng_task_index` or `prompt_id`), are judged together. `/compare` has neither null nor failure classes, so the
policy `unscored` applies. The field `principle` is refused: a request cannot change what the judge is asked.

`/aggregate_metrics`, which NeMo-Gym calls after the last rollout, has statistics of rewards, of the rows that have one.

Judges see the text of messages, and calls of tools as JSON, but no reasoning. Contract: `base_resources_server.py`,
`judge.py`, `failure_kinds.py`, `reward_profile.py` and `resources_servers/genrm_compare` of NeMo-Gym, August 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import to_json

from fathom.data.records import Message
from fathom.serve.core import Core, StrictJSONRoute, Unscored, UnscoredKind
from fathom.serve.dialects._conversations import LONGEST
from fathom.serve.errors import RequestError
from fathom.serve.service import Sample

KINDS: Mapping[UnscoredKind, str] = {
    "failed": "judge_failed",
    "unread": "judge_unparseable",
    "partial": "cohort_incomplete",
}
"""The names of `nemo_gym.failure_kinds`."""
FAILURE_FIELDS = ("_ng_failure_class", "_ng_failure_judge_error", "mask_sample", "failure_kind", "failure_reason")
"""A row that is verified again still has these fields of the last time."""
LARGEST_REWARD = 1e300
"""The largest absolute value of a reward, so that the sum of `LONGEST` of them fits into a float."""
LONGEST_REASON = 2000
"""Characters of a failure's reason that NeMo-Gym keeps."""
NOT_SHOWN = frozenset({"type", "id", "call_id", "status"})

ANSWER: dict[str, Any] = {
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "4"}]}]
}
ANOTHER: dict[str, Any] = {
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "5"}]}]
}


class VerifyBody(BaseModel):
    responses_create_params: dict[str, Any]
    response: dict[str, Any]
    expected_answer: Any = None
    principle: str | None = None

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "responses_create_params": {"input": "What is 2 + 2?"},
                    "response": ANSWER,
                    "expected_answer": "4",
                }
            ]
        },
    )


class SessionBody(BaseModel):
    resources_session_id: str | None = None


class VerifiedRow(BaseModel):
    """The fields of a verified row that its statistics depend on."""

    reward: float | None = None
    mask_sample: bool = False
    failure_class: str | None = Field(default=None, alias="_ng_failure_class")
    task: int | str | None = Field(default=None, alias="_ng_task_index")

    @field_validator("reward")
    @classmethod
    def _sums_are_finite(cls, reward: float | None) -> float | None:
        if reward is not None and not abs(reward) <= LARGEST_REWARD:
            raise ValueError(f"expected a number from {-LARGEST_REWARD:g} to {LARGEST_REWARD:g}")
        return reward

    @property
    def score(self) -> float | None:
        """The reward; None if it is only the placeholder of a failure."""
        return None if self.mask_sample or self.failure_class else self.reward


class RowsBody(BaseModel):
    verify_responses: list[VerifiedRow] = Field(max_length=LONGEST)

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"verify_responses": [{"_ng_task_index": 0, "reward": 0.5}]}]}
    )


class CompareBody(BaseModel):
    conversation_history: list[Message] = Field(min_length=1, max_length=LONGEST)
    response_objs: list[dict[str, Any]] = Field(max_length=LONGEST)
    principle: str | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "conversation_history": [{"role": "user", "content": "What is 2 + 2?"}],
                    "response_objs": [ANSWER, ANOTHER],
                }
            ]
        }
    )


def router(core: Core) -> APIRouter:
    """The routes of NeMo-Gym."""
    routes = APIRouter(route_class=StrictJSONRoute, tags=["NeMo-Gym"])

    @routes.post("/seed_session", summary="Nothing: sessions have no state", include_in_schema=False)
    @routes.post("/close_session", include_in_schema=False)
    async def session(body: SessionBody) -> dict[str, Any]:
        return body.model_dump(exclude_none=True)

    @routes.get("/reverify_mode", include_in_schema=False)
    async def reverify_mode() -> str:
        return (
            "stateless" if core.service.model.arity == "pointwise" else "unsupported"
        )  # one row of a group is no group

    @routes.post("/aggregate_metrics", summary="Statistics of the rewards of verified rows")
    async def aggregate_metrics(body: RowsBody) -> dict[str, Any]:
        return aggregated(body.verify_responses)

    @routes.post("/verify", summary="The reward of a response, in the row that was sent")
    async def verify(body: VerifyBody, request: Request) -> dict[str, Any]:
        _refuse_principle(body.principle)
        sample = _sample(body)
        core.check_sizes([sample], "response")
        (made,) = await core.rewarded([sample], "response", request)
        why = core.unscored(made)
        row = {name: value for name, value in body.model_dump(exclude_unset=True).items() if name not in FAILURE_FIELDS}
        row |= {"reward": 0.0 if why else made.reward.value, "fathom": core.origin(made)}
        row |= _masked(row.get("instance_config"), masked=why is not None)
        if why:
            core.metrics.unscored.labels("nemo_gym", "failure_class").inc()
            row |= _failure(why)
        return row

    @routes.post("/compare", summary="The rewards of several responses to one conversation")
    async def compare(body: CompareBody, request: Request) -> dict[str, Any]:
        _refuse_principle(body.principle)
        history = tuple(body.conversation_history)
        responses = [_text(each, f"response_objs[{index}]") for index, each in enumerate(body.response_objs)]
        samples = [Sample(history, response) for response in responses]
        values, made = await core.numbers(samples, "response_objs", request, "nemo_gym", size=len(samples) or None)
        metrics = {
            "votes": float(sum(each.reward.votes for each in made)),
            "votes_read": float(sum(each.reward.votes_read for each in made)),
            "unscored": float(sum(core.unscored(each) is not None for each in made)),
        }
        return {"rewards": values, "comparison_results": None, "metrics": metrics}

    return routes


def _refuse_principle(principle: str | None) -> None:
    if principle:
        raise RequestError(422, "principle: the judge's criteria are the server's (--rubric); expected none")


def _failure(why: Unscored) -> dict[str, Any]:
    """The fields by which NeMo-Gym keeps a row apart: those of its failsafe, and those of newer versions."""
    reason = why.reason[:LONGEST_REASON]
    return dict(zip(FAILURE_FIELDS, ("judge_failed", reason, True, KINDS[why.kind], reason), strict=True))


def _masked(config: Any, *, masked: bool) -> dict[str, Any]:
    """The field by which NeMo-RL leaves a row out of the training; empty if there is nothing to say."""
    kept = config if isinstance(config, dict) else {}
    return {"instance_config": kept | {"mask_sample": masked}} if masked or "mask_sample" in kept else {}


def aggregated(rows: Sequence[VerifiedRow]) -> dict[str, Any]:
    """Statistics of the rewards of all rows and of each task's, by NeMo-Gym's names."""
    tasks: dict[Any, list[VerifiedRow]] = {}
    for row in rows:
        tasks.setdefault(row.task, []).append(row)
    overall = _statistics(rows)
    return {
        "group_level_metrics": [{"_ng_task_index": task, **_statistics(each)} for task, each in tasks.items()],
        "agent_metrics": overall,
        "key_metrics": {name: overall[name] for name in ("mean/reward", "unscored") if name in overall},
    }


def _statistics(rows: Sequence[VerifiedRow]) -> dict[str, float]:
    """The deviation has n - 1 in its denominator, and is 0 for a single reward, as in NeMo-Gym."""
    scores = [row.score for row in rows if row.score is not None]
    counts = {"unscored": float(len(rows) - len(scores))}
    if not scores:
        return counts if rows else {}
    values = (fmean(scores), max(scores), min(scores), median(scores), stdev(scores) if len(scores) > 1 else 0.0)
    names = ("mean", "max", "min", "median", "std")
    return {f"{name}/reward": value for name, value in zip(names, values, strict=True)} | counts


def _sample(body: VerifyBody) -> Sample:
    row = body.model_extra or {}
    expected = body.expected_answer
    return Sample(
        _prompt(body.responses_create_params),
        _text(body.response, "response"),
        reference=expected if isinstance(expected, str) and expected else None,
        group=_group(row),
    )


def _group(row: Mapping[str, Any]) -> str | None:
    """The name of the rows that are judged together. An attempt at a group that is repeated is another group."""
    fields = ("_ng_group_id", "_ng_task_index", "prompt_id")
    named = [f"{name} {row[name]}" for name in fields if isinstance(row.get(name), int | str)]
    attempt = row.get("_ng_group_attempt")
    return f"{named[0]} attempt {attempt}" if named and isinstance(attempt, int) else named[0] if named else None


def _prompt(params: Mapping[str, Any]) -> tuple[Message, ...]:
    """The instructions and the input of a request to OpenAI's Responses API, as messages."""
    where = "responses_create_params.input"
    given = params.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    instructions = params.get("instructions")
    turns = [{"role": "system", "content": instructions}] if isinstance(instructions, str) else []
    turns += [{"role": _role(item), "content": _shown(item, where)} for item in _items(items, where)]
    try:
        messages = tuple(Message.model_validate(turn) for turn in turns if turn["content"])
    except ValidationError as error:
        raise RequestError(422, f"{where}: {error.errors(include_url=False, include_input=False)[0]['msg']}") from None
    if not any(message.role != "system" for message in messages):
        raise RequestError(422, f"{where}: expected a text, or at least one message with text")
    return messages


def _text(response: Mapping[str, Any], where: str) -> str:
    """What a response of OpenAI's Responses API says and does. May be empty: a policy can fail to answer."""
    where = f"{where}.output"
    return "\n\n".join(text for item in _items(response.get("output"), where) if (text := _shown(item, where)))


def _items(items: Any, where: str) -> Iterable[Mapping[str, Any]]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise RequestError(422, f"{where}: expected a list of items of OpenAI's Responses API")
    return items


def _role(item: Mapping[str, Any]) -> Any:
    kind = str(item.get("type", "message"))
    return item.get("role") if kind == "message" else "tool" if kind.endswith("_output") else "assistant"


def _shown(item: Mapping[str, Any], where: str) -> str:
    """The text of an item for the judge."""
    kind = item.get("type", "message")
    if kind == "reasoning":
        return ""
    if kind != "message":
        return to_json({name: value for name, value in item.items() if name not in NOT_SHOWN}).decode()
    content = item.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return "".join(_part(part, where) for part in parts)


def _part(part: Any, where: str) -> str:
    text = part.get("text", part.get("refusal")) if isinstance(part, dict) else None
    if not isinstance(text, str):
        kind = part.get("type") if isinstance(part, dict) else None
        found = "an image" if kind == "input_image" else "a part without text"
        raise RequestError(422, f"{where}: got {found}; judges are shown text only")
    return text
