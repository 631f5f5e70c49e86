"""An engine with given replies, which computes nothing: for tests, examples and trying out a judge.

    ScriptedEngine("Final verdict: [[A]]")                         # the same reply to every request
    ScriptedEngine(["Final verdict: [[A]]", "I cannot say."])      # one reply after another
    ScriptedEngine(lambda request: "[[A]]" if "tea" in request.messages[0]["content"] else "[[B]]")

A reply is a text, a whole `Completion`, or an exception to raise, such as an `EngineError`. `requests` holds what was
asked. A text costs one token per word.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from fathom.engines import BaseEngine, Capability, Completion, Request, TokenLogprob
from fathom.engines.usage import Usage
from fathom.errors import FathomError

Reply = str | Completion | BaseException
Script = Reply | Sequence[Reply] | Callable[[Request], Reply]


class ScriptedEngine(BaseEngine):
    """Replies as `script` says. Raises FathomError where a list of replies is used up.

    `provides`: what it declares; log-probabilities are those of a reply that is a `Completion`.
    """

    def __init__(
        self,
        script: Script,
        identity: str = "scripted",
        *,
        provides: Collection[Capability] = ("text", "logprobs", "prefix"),
    ) -> None:
        self.identity = identity
        self.provides = frozenset(provides)
        self.requests: list[Request] = []
        self._reply = _replies(script)

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        await asyncio.sleep(0)  # as a real engine does, so that concurrent requests take turns
        reply = self._reply(request)
        if isinstance(reply, BaseException):
            raise reply
        return _completion(request, reply) if isinstance(reply, str) else reply


def choosing(before: str, probabilities: Mapping[str, float], after: str = "") -> Completion:
    """A completion whose one decisive token has these alternatives; the likeliest one is written.

    `choosing("Final verdict: [[", {"A": 0.7, "B": 0.2}, "]]")` writes A. Probabilities need not sum to 1: the rest went
    to tokens that are not listed.
    """
    ranked = sorted(probabilities.items(), key=lambda choice: -choice[1])
    top = tuple((token, math.log(probability)) for token, probability in ranked if probability > 0)
    written, logprob = top[0]
    first, last = (TokenLogprob(text, 0.0, ((text, 0.0),)) for text in (before, after))
    tokens = (first, TokenLogprob(written, logprob, top), last)
    return Completion(before + written + after, logprobs=tuple(token for token in tokens if token.token))


def _replies(script: Script) -> Callable[[Request], Reply]:
    if isinstance(script, str | Completion | BaseException):
        return lambda request: script
    if callable(script):
        return script
    left: Iterator[tuple[int, Reply]] = enumerate(script, 1)

    def following(request: Request) -> Reply:
        number, reply = next(left, (0, ""))
        if not number:
            raise FathomError(f"the script has {len(script)} replies, and one more was asked for; give a longer list")
        return reply

    return following


def _completion(request: Request, text: str) -> Completion:
    words = sum(len(message["content"].split()) for message in request.messages)
    return Completion(text, usage=Usage(words, len(text.split())))
