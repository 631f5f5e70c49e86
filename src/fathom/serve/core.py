"""What all protocols share: strict JSON, limits on bodies, and the policy for responses without a score."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from fathom.data.records import Comparison
from fathom.engines.metering import BYTES_PER_TOKEN
from fathom.engines.usage import NO_USAGE
from fathom.errors import FathomError
from fathom.rationale import Status
from fathom.serve.admission import pin_message
from fathom.serve.errors import RequestError
from fathom.serve.metrics import Metrics
from fathom.serve.service import Refused, Rewarded, Sample, Service, Unavailable

Value = TypeVar("Value")
Entry = TypeVar("Entry", bound=Any)
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Place = tuple[str | int, ...]
VOTES_HEADER = "x-fathom-votes"
CACHED_HEADER = "x-fathom-cached"


UnscoredKind = Literal["failed", "unread", "partial"]


class Unscored(NamedTuple):
    """Why there is no reward: a call failed, no text could be read, or the group was incomplete."""

    kind: UnscoredKind
    reason: str

    @property
    def passing(self) -> bool:
        """Whether another try may succeed."""
        return self.kind != "unread"


class Core:
    """The service and the metrics, with the checks that all protocols share."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self.service = service
        self.metrics = metrics

    def check_pin(self, pinned: str | None) -> None:
        """Raise RequestError (409) if the request pins another reward."""
        current = self.service.identity.id
        if pinned is not None and pinned != current:
            raise RequestError(409, pin_message(current))

    def check(self, comparisons: Sequence[Comparison], field: str, *, to_rank: bool = False) -> None:
        """Raise RequestError for too many comparisons, and for those that are too large or do not fit the judge."""
        self._check_count(len(comparisons), field)
        most = self.service.serving.max_responses
        for index, comparison in enumerate(comparisons):
            where = f"{field}[{index}]"
            if len(comparison.responses) > most:
                raise RequestError(413, f"{where} has more than {most} responses: see --max-responses")
            self._check_tokens([comparison.prompt_text, *comparison.responses, comparison.reference or ""], where)
            try:
                self.service.check(comparison, to_rank=to_rank)
            except FathomError as error:
                raise RequestError(422, f"{where}: {error}") from None

    async def rewarded(
        self, samples: Sequence[Sample], field: str, request: Request, *, size: int | None = None
    ) -> list[Rewarded]:
        """Check the samples, reward them, and count them in the metrics. Raises RequestError."""
        self._check_count(len(samples), field)
        for index, sample in enumerate(samples):
            where = f"{field}[{index}]"
            if not sample.prompt:
                raise RequestError(422, f"{where}: got an empty prompt, expected text or at least one message")
            texts = [sample.response, sample.reference or "", sample.baseline or ""]
            self._check_tokens([sample.prompt_text, *texts], where)
        self._check_groups(samples, field, size)
        state = request.state
        work = self.service.reward(samples, state.deadline, size=size, client=state.client)
        made = await self.available(work, field)
        for each in made:
            self.metrics.judged(each.reward.status, cached=each.cached, partial=each.partial)
        _tell(request, [(each.reward.votes_read, each.reward.votes, each.cached) for each in made])
        return made

    async def numbers(
        self, samples: Sequence[Sample], field: str, request: Request, protocol: str, *, size: int | None = None
    ) -> tuple[list[float], list[Rewarded]]:
        """Rewards for a protocol that has no null. The setting `unscored` decides what happens if one is missing.

        `refuse`: one missing reward refuses the whole request, with 503 if another try may succeed, because a call
        failed or a group was incomplete, and else with 422. `substitute`: the user's number is returned in its place.
        Both are counted.
        """
        if size is None:
            self.check_sizes(samples, field)
        made = await self.rewarded(samples, field, request, size=size)
        serving = self.service.serving
        found = [self.unscored(each) for each in made]
        missing = [each for each in found if each is not None]
        if missing:
            self.metrics.unscored.labels(protocol, serving.unscored).inc(len(missing))
        if missing and serving.unscored == "refuse":
            passing = any(each.passing for each in missing)
            message = f"{len(missing)} of {len(made)} responses could not be scored ({missing[0].reason})"
            raise RequestError(
                503 if passing else 422, f"{message}; see --unscored", retry_after=1 if passing else None
            )
        substitute = serving.unscored_reward
        values = [substitute if why else each.reward.value for each, why in zip(made, found, strict=True)]
        return [value for value in values if value is not None], made

    def unscored(self, made: Rewarded) -> Unscored | None:
        """Why a protocol without null and without a mark for incomplete groups cannot give this reward as it is."""
        reward = made.reward
        if reward.value is None:
            kind: UnscoredKind = "failed" if reward.status is Status.FAILED else "unread"
            return Unscored(kind, f"{reward.status}: {reward.error}")
        if made.partial and self.service.serving.partial == "refuse":
            return Unscored("partial", f"only {made.size} responses of its group arrived in time; see --partial")
        return None

    def origin(self, made: Rewarded) -> dict[str, Any]:
        """Where a reward comes from, for answers of protocols that allow fields of their own."""
        reward = made.reward
        return {
            "reward": self.service.identity.id,
            "status": str(reward.status),
            "error": reward.error,
            "votes": reward.votes,
            "votes_read": reward.votes_read,
            "cached": made.cached,
        }

    @property
    def model(self) -> str:
        """The model's name in answers: requests cannot choose another one."""
        return self.service.identity.model or self.service.identity.id

    def check_sizes(self, samples: Sequence[Sample], field: str) -> None:
        """Raise RequestError for a response whose group may be incomplete, because nobody stated the group's size."""
        serving = self.service.serving
        if self.service.model.arity == "pointwise" or serving.group_size is not None or serving.partial == "accept":
            return
        counts = Counter(sample.group_key for sample in samples if sample.baseline is None)
        if 1 in counts.values():
            raise RequestError(
                422,
                f"{field}: got one response to a prompt, and the judge compares responses; start the server with "
                "--group-size, or with --partial accept to judge those that arrive within --window-ms",
            )

    async def available(self, work: Awaitable[Value], field: str) -> Value:
        """The result of `work` on the items of `field`.

        Raises RequestError: 503 if the engine makes no calls at present, 422 if an item does not fit the judge.
        """
        try:
            return await work
        except Refused as error:
            raise RequestError(422, f"{field}[{error.index}]: {error}") from None
        except Unavailable as error:
            refusal = self.service.health.refusal()
            raise RequestError(503, str(error), retry_after=refusal.retry_after if refusal else 1) from None

    def counted(self, entries: list[Entry], request: Request) -> list[Entry]:
        """The entries of an answer, counted in the metrics and in the headers of the answer."""
        for entry in entries:
            self.metrics.judged(entry.status, cached=entry.cached)
        _tell(request, [(entry.votes_read, entry.votes, entry.cached) for entry in entries])
        return entries

    def _check_count(self, count: int, field: str) -> None:
        most = self.service.serving.max_batch
        if count > most:
            raise RequestError(413, f"{field}: {count} in one request, at most {most}: see --max-batch")

    def _check_groups(self, samples: Sequence[Sample], field: str, size: int | None) -> None:
        """Raise RequestError for too large groups: the number of calls grows with the square of their size."""
        most = self.service.serving.max_responses
        if size is not None and size > most:
            raise RequestError(413, f"group_size: got {size}, at most {most}: see --max-responses")
        if self.service.model.arity != "pointwise":
            largest = Counter(sample.group_key for sample in samples if sample.baseline is None).most_common(1)
            if largest and largest[0][1] > most:
                found = f"{largest[0][1]} responses to one prompt"
                raise RequestError(413, f"{field}: {found}, at most {most}: see --max-responses")

    def _check_tokens(self, texts: Sequence[str], where: str) -> None:
        most = self.service.serving.max_item_tokens
        tokens = sum(len(text.encode(errors="replace")) for text in texts) // BYTES_PER_TOKEN
        if tokens > most:
            raise RequestError(413, f"{where} has about {tokens:,} tokens, at most {most:,}: see --max-item-tokens")


def usage_of(made: Iterable[Rewarded]) -> dict[str, int]:
    """The tokens of rewards, in OpenAI's names."""
    usage = sum((each.reward.usage for each in made), NO_USAGE)
    tokens = usage.prompt_tokens, usage.completion_tokens
    return {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}


def _tell(request: Request, entries: Sequence[tuple[int, int, bool]]) -> None:
    """Put sums over the entries of an answer into its headers, as some protocols have no other place for them.

    An entry is the number of votes that could be read, that of all votes, and whether no call was made.
    """
    read, votes, cached = (sum(column) for column in zip(*entries, strict=True)) if entries else (0, 0, 0)
    request.state.answer_headers |= {VOTES_HEADER: f"{read}/{votes}", CACHED_HEADER: f"{cached}/{len(entries)}"}


class StrictJSONRoute(APIRoute):
    """A route with one JSON body, whose answer is a model, a value of JSON or a response.

    The body must be strict JSON: NaN, Infinity, numbers that do not fit into a float, nesting over 200 levels and other
    content types are refused. The last keeps pages of other sites from sending requests with the browser of a user of
    this machine. The answer is strict JSON too: a number in it that is not finite is an internal error.

    `direct` handles a request without FastAPI (`fathom.serve.app.Direct`). It is None for routes with other parameters
    than a body and the request: FastAPI handles these, and does not refuse NaN.
    """

    direct: Handler | None = None

    def get_route_handler(self) -> Handler:
        declared = self.dependant
        others = (declared.path_params, declared.query_params, declared.header_params, declared.cookie_params)
        if len(declared.body_params) != 1 or any(others) or declared.dependencies:
            return super().get_route_handler()
        (field,) = declared.body_params
        body: TypeAdapter[Any] = TypeAdapter(field.field_info.annotation or Any)
        request_name = declared.request_param_name

        async def handle(request: Request) -> Response:
            values: dict[str, Any] = {field.name: await _parsed(request, body)}
            if request_name is not None:
                values[request_name] = request
            answer = await self.endpoint(**values)
            return answer if isinstance(answer, Response) else Response(_written(answer), media_type="application/json")

        self.direct = handle
        return handle


async def _parsed(request: Request, body: TypeAdapter[Any]) -> Any:
    """The body of a request. Raises RequestError for what is not JSON, RequestValidationError for other fields."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.startswith("application/") or not kind.endswith(("/json", "+json")):
        raise RequestError(415, "the content type is not JSON; expected the header Content-Type: application/json")
    try:
        given = from_json(await request.body(), allow_inf_nan=False)
    except ValueError as error:
        raise RequestError(400, f"the body is not JSON: {error}") from None
    if (place := _infinite(given, ("body",))) is not None:
        raise RequestValidationError([{"loc": place, "msg": "expected a number that fits into a 64-bit float"}])
    try:
        return body.validate_python(given)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in problems]) from None


def _infinite(value: Any, place: Place) -> Place | None:
    """The place of the first infinite number in a value at `place`: JSON may have 1e999, which is read as infinity."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in entries:
        kind = type(each)  # a body may have millions of values, and comparing types is the fastest test of them
        if kind is float and math.isinf(each):
            return *place, key
        if (kind is dict or kind is list) and (found := _infinite(each, (*place, key))) is not None:
            return found
    return None


def _written(answer: Any) -> bytes:
    """An answer as JSON. Raises ValueError for a number that is not finite, for which pydantic writes `Infinity`."""
    if isinstance(answer, BaseModel):
        return to_json(answer)
    return json.dumps(answer, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
