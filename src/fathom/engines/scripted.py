"""An engine with scripted replies, for tests, examples and trying out a judge.

    ScriptedEngine("Final verdict: [[A]]")                         # the same reply to every request
    ScriptedEngine(["Final verdict: [[A]]", "I cannot say."])      # one reply after another
    ScriptedEngine(lambda request: "[[A]]" if "tea" in request.messages[0]["content"] else "[[B]]")

A reply is a text, a `Completion`, or an exception to raise, such as an `EngineError`. `requests` lists all requests.
Usage counts one token per word.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from fathom.engines import BaseEngine, Capability, Completion, EngineError, Request, TokenLogprob
from fathom.engines.usage import Usage
from fathom.errors import FathomError

Reply = str | Completion | BaseException
Script = Reply | Sequence[Reply] | Callable[[Request], Reply]


class ScriptedEngine(BaseEngine):
    """Replies according to `script`. Raises FathomError when a list of replies is used up.

    `provides`: the capabilities that it declares. Log-probabilities must come from replies that are a `Completion`.
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
        await asyncio.sleep(0)  # yield control, so concurrent requests interleave as with a real engine
        reply = self._reply(request)
        if isinstance(reply, BaseException):
            raise reply
        return _completion(request, reply) if isinstance(reply, str) else reply


def no_calls() -> ScriptedEngine:
    """The engine of a run that makes no calls: each call fails."""
    return ScriptedEngine(EngineError("this run makes no calls"), identity="none")


def choosing(before: str, probabilities: Mapping[str, float], after: str = "") -> Completion:
    """A completion with these probabilities at the token between `before` and `after`; the most likely one is its text.

    `choosing("Final verdict: [[", {"A": 0.7, "B": 0.2}, "]]")` has the text "Final verdict: [[A]]". Probabilities may
    sum to less than 1: the rest belongs to unlisted tokens.
    """
    ranked = sorted(probabilities.items(), key=lambda choice: -choice[1])
    top = tuple((token, math.log(probability)) for token, probability in ranked if probability > 0)
    choice, logprob = top[0]
    first, last = (TokenLogprob(text, 0.0, ((text, 0.0),)) for text in (before, after))
    tokens = (first, TokenLogprob(choice, logprob, top), last)
    return Completion(before + choice + after, logprobs=tuple(token for token in tokens if token.token))


def _replies(script: Script) -> Callable[[Request], Reply]:
    if isinstance(script, str | Completion | BaseException):
        return lambda request: script
    if callable(script):
        return script
    replies: Iterator[tuple[int, Reply]] = enumerate(script, 1)

    def next_reply(request: Request) -> Reply:
        number, reply = next(replies, (0, ""))
        if not number:
            raise FathomError(f"the script has {len(script)} replies, and one more was requested; give a longer list")
        return reply

    return next_reply


def _completion(request: Request, text: str) -> Completion:
    words = sum(len(message["content"].split()) for message in request.messages)
    return Completion(text, usage=Usage(words, len(text.split())))
