"""Clients of the reward server.

    with RewardClient("http://127.0.0.1:8090") as client:
        answers = client.rewards([{"prompt": "2 + 2?", "response": "4"}])
        answers[0].reward                        # a number, or None with a status and an error

    async with AsyncRewardClient(url, token_file="token.txt", pin="spct-1f0c9a3b77de") as client:
        answers = await client.rewards(samples)

Connections are pooled. Requests are retried after the same failures as calls to models: broken connections, timeouts,
the statuses 408, 425, 429 and 5xx (but not 501 and 505). Retry-After is obeyed, and such a wait does not count as a
try. An answer must have one entry per item, with the items' ids in order and finite numbers. The reward of a response
that could not be scored is None; the client does not retry it, because the server has.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import aiohttp
from pydantic import ValidationError
from pydantic_core import to_json

from fathom.data.records import Comparison
from fathom.engines.failures import NOT_PASSING, PASSING
from fathom.engines.limits import backoff, retry_after
from fathom.errors import FathomError
from fathom.serve.identity import RewardIdentity
from fathom.serve.messages import (
    Answer,
    Answered,
    Judgment,
    JudgmentsAnswer,
    ModelsAnswer,
    RankingAnswer,
    RankingsAnswer,
    RewardAnswer,
    RewardsAnswer,
)
from fathom.serve.threads import LoopThread

AnswerT = TypeVar("AnswerT", bound=Answer)
Fields = Mapping[str, Any]
MAX_MESSAGE = 500
"""Characters of a server's message that an error repeats."""


class AsyncRewardClient:
    """A client for asynchronous code.

    - `token`, `token_file`: the bearer token, or a file whose first line is the token.
    - `pin`: the identity that the reward must have (`identity()`); the server refuses another one.
    - `concurrency`: maximum number of requests in flight; `batch`: maximum number of items in one.
    - `timeout`: seconds for one try; `deadline`: seconds for a request with all its tries; `retries`: tries after the
      first one.

    Methods raise FathomError for requests that the server refuses, and if no try succeeds.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        token_file: str | Path | None = None,
        pin: str | None = None,
        concurrency: int = 64,
        batch: int = 64,
        timeout: float = 600,
        deadline: float = 1800,
        retries: int = 8,
        first_backoff: float = 0.5,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise FathomError(f"url={url!r}: expected the address of a server, as in http://127.0.0.1:8090")
        self.url = url.rstrip("/")
        self.pin = pin
        self.batch = batch
        self.timeout = timeout
        self.deadline = deadline
        self.retries = retries
        self.first_backoff = first_backoff
        self._token = _token(token, token_file)
        self._concurrency = concurrency
        self._opened: _Opened | None = None

    async def rewards(self, samples: Sequence[Fields], *, group_size: int | None = None) -> list[RewardAnswer]:
        """The reward of each sample: a mapping with `prompt` and `response`, and optionally `reference`, `baseline`,
        `group`, `steps`, `step_types` and `id`.

        Responses to one prompt are sent together. If they are spread over several clients, `group_size` tells the
        server how many belong to a group.
        """
        batches = _batches(samples, self.batch)
        more = {} if group_size is None else {"group_size": group_size}
        rewards: dict[int, RewardAnswer] = {}
        works = (self._batch("rewards", "samples", [samples[i] for i in each], RewardsAnswer, more) for each in batches)
        for places, answer in zip(batches, await asyncio.gather(*works), strict=True):
            rewards |= zip(places, answer.rewards, strict=True)
        return [rewards[place] for place in range(len(samples))]

    async def judgments(self, comparisons: Sequence[Fields | Comparison], *, texts: bool = False) -> list[Judgment]:
        """A verdict for each comparison: a mapping with `prompt` and `responses`, and optionally `reference`,
        `steps`, `step_types` and `id`. With `texts`, verdicts have the texts of their votes."""
        items = [_item(each) for each in comparisons]
        chunks = _chunks(items, self.batch)
        works = (self._batch("judgments", "comparisons", chunk, JudgmentsAnswer, {"texts": texts}) for chunk in chunks)
        return [entry for answer in await asyncio.gather(*works) for entry in answer.judgments]

    async def rankings(self, comparisons: Sequence[Fields | Comparison]) -> list[RankingAnswer]:
        """The responses of each comparison from best to worst; comparisons as in `judgments`."""
        chunks = _chunks([_item(each) for each in comparisons], self.batch)
        works = (self._batch("rankings", "comparisons", chunk, RankingsAnswer, {}) for chunk in chunks)
        return [entry for answer in await asyncio.gather(*works) for entry in answer.rankings]

    async def identity(self) -> RewardIdentity:
        """The identity of the server's reward. Its `id` is what `pin` expects."""
        return _parsed(ModelsAnswer, await self._request("GET", "/v1/models", None)).reward

    async def _batch(
        self, name: str, field: str, items: Sequence[Fields], kind: type[AnswerT], more: Fields
    ) -> AnswerT:
        body = to_json({field: [dict(item) for item in items], **more})
        answer = _parsed(kind, await self._request("POST", f"/v1/{name}", body))
        _check_order([item.get("id") for item in items], getattr(answer, name))
        return answer

    async def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        """The body of a successful answer, after as many tries as are allowed."""
        latest = time.monotonic() + self.deadline
        failures = 0
        async with self._open().places:
            while True:
                wait, message = await self._try(method, path, body, latest)
                if isinstance(message, bytes):
                    return message
                if wait is None:
                    failures += 1
                pause = backoff(failures, failures, self.first_backoff) if wait is None else wait
                if failures > self.retries or time.monotonic() + pause > latest:
                    raise FathomError(f"{self.url}{path}: no answer after {failures} tries; the last one: {message}")
                await asyncio.sleep(pause)

    async def _try(self, method: str, path: str, body: bytes | None, latest: float) -> tuple[float | None, bytes | str]:
        """Make one try. Returns the seconds to wait (None if the server gave none), and the body or an error message.

        Raises FathomError if another try cannot succeed.
        """
        seconds = max(0.001, min(self.timeout, latest - time.monotonic()))
        try:
            async with (
                asyncio.timeout(seconds),
                self._open().session.request(
                    method, self.url + path, data=body, headers=self._headers(), allow_redirects=False
                ) as response,
            ):
                content = await response.read()
        except TimeoutError:
            return None, f"no answer within {seconds:g} s"
        except (aiohttp.ClientError, OSError) as error:
            return None, f"the connection failed: {type(error).__name__}: {error}"
        if response.status == 200:
            return None, content
        message = f"status {response.status}: {_message(content)}"
        passing = response.status in PASSING - {409} or (response.status >= 500 and response.status not in NOT_PASSING)
        if not passing:
            raise FathomError(f"{self.url}{path}: {message}")
        return retry_after(response.headers), message

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        if self.pin:
            headers["x-fathom-reward"] = self.pin
        return headers

    def _open(self) -> _Opened:
        """The connections of the running event loop. Those of another loop, or made before a fork, are not reused."""
        loop = asyncio.get_running_loop()
        if self._opened is None or self._opened.loop is not loop or self._opened.session.closed:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
            session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
            self._opened = _Opened(loop, session, asyncio.Semaphore(self._concurrency))
        return self._opened

    async def close(self) -> None:
        """Close the connections. A later request opens new ones."""
        if self._opened is not None:
            await self._opened.session.close()
            self._opened = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Opened(NamedTuple):
    loop: asyncio.AbstractEventLoop
    session: aiohttp.ClientSession
    places: asyncio.Semaphore


class RewardClient:
    """As `AsyncRewardClient`, for synchronous code. It can be pickled; the copy opens its own connections.

    Connections that are still open when the process ends are closed then.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self._arguments = (url, options)
        self._client = AsyncRewardClient(url, **options)
        self._thread = LoopThread()
        atexit.register(_close_if_open, weakref.ref(self))

    def rewards(self, samples: Sequence[Fields], *, group_size: int | None = None) -> list[RewardAnswer]:
        """The reward of each sample; see `AsyncRewardClient.rewards`."""
        return self._thread.run(self._client.rewards(samples, group_size=group_size))

    def judgments(self, comparisons: Sequence[Fields | Comparison], *, texts: bool = False) -> list[Judgment]:
        """A verdict for each comparison; see `AsyncRewardClient.judgments`."""
        return self._thread.run(self._client.judgments(comparisons, texts=texts))

    def rankings(self, comparisons: Sequence[Fields | Comparison]) -> list[RankingAnswer]:
        """The responses of each comparison from best to worst; see `AsyncRewardClient.rankings`."""
        return self._thread.run(self._client.rankings(comparisons))

    def identity(self) -> RewardIdentity:
        """The identity of the server's reward. Its `id` is what `pin` expects."""
        return self._thread.run(self._client.identity())

    def close(self) -> None:
        """Close the connections. A later request opens new ones."""
        self._thread.run(self._client.close())
        self._thread.close()
        self._client = AsyncRewardClient(self._arguments[0], **self._arguments[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, self._arguments


def _close_if_open(client: weakref.ref[RewardClient]) -> None:
    """Trainers keep a client in a module and never close it; aiohttp would complain when the process ends."""
    if (found := client()) is not None and found._thread.running:
        found.close()


def _made(url: str, options: dict[str, Any]) -> RewardClient:
    return RewardClient(url, **options)


def _token(token: str | None, file: str | Path | None) -> str | None:
    if file is None:
        return token
    if token is not None:
        raise FathomError(f"token_file={str(file)!r}: got a token, too; expected one of them")
    try:
        words = Path(file).read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise FathomError(f"token_file={str(file)!r}: cannot be read: {error}") from None
    if not words:
        raise FathomError(f"token_file={str(file)!r}: the file is empty; expected a token in it")
    return words[0]


def _item(comparison: Fields | Comparison) -> Fields:
    """The fields of a comparison that the server accepts. Its label is not sent."""
    if not isinstance(comparison, Comparison):
        return comparison
    return comparison.model_dump(
        include={"id", "prompt", "responses", "reference", "steps", "step_types"}, exclude_none=True
    )


def _chunks(items: Sequence[Fields], most: int) -> list[Sequence[Fields]]:
    return [items[start : start + most] for start in range(0, len(items), most)]


def _batches(samples: Sequence[Fields], most: int) -> list[list[int]]:
    """The indices of the samples of each request. A group is never split, even if it exceeds `most`."""
    groups: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        key = json.dumps([sample.get("group"), sample.get("prompt"), sample.get("reference")], default=str)
        groups.setdefault(key, []).append(index)
    batches: list[list[int]] = []
    for group in groups.values():
        if batches and len(batches[-1]) + len(group) <= most:
            batches[-1] += group
        else:
            batches.append(list(group))
    return batches


def _parsed(kind: type[AnswerT], content: bytes) -> AnswerT:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise FathomError(
            f"the server's answer is not one of a Fathom server: {where}: {problem['msg']}; check the url"
        ) from None


def _check_order(sent: Sequence[Any], entries: Sequence[Answered]) -> None:
    """Raise FathomError unless there is one entry per item, with its id, in order."""
    got = [entry.id for entry in entries]
    if got != list(sent):
        raise FathomError(
            f"the server's answer has {len(got)} entries for {len(sent)} items, or other ids; nothing is used"
        )


def _message(content: bytes) -> str:
    text = content.decode(errors="replace")
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(content)["error"]["message"])
    return text[:MAX_MESSAGE]
