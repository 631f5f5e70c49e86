"""Readings from a server: likelihoods, outputs of sequence classifiers, scores of steps.

    engine = ReadingServer("Skywork/Skywork-Reward-V2-Llama-3.1-8B", base_url="http://localhost:8000",
                           protocol="vllm_classify")
    await engine.classify(ClassifyRequest(messages, answer))

`protocol` is a name in `PROTOCOLS`, which define the server's path and bodies and the readings that it gives. Retries,
limits and the handling of failures are those of `fathom.engines.openai`.

Prompts are sent as messages if the server renders them, else as token ids; never as text, to which servers may add a
second begin token. Servers are asked for raw outputs, without a sigmoid.

Not guaranteed: that a server computes what its documentation says. The bodies here are constructed from documented
schemas (each protocol names its source and version) and tested against a local HTTP server with that schema, not
against the real servers. `fathom compare-engines --expect FILE` compares a server with known scores.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import yarl
from pydantic_core import to_json

from fathom.engines import (
    AnyRequest,
    Capability,
    Classification,
    ClassifyRequest,
    Completion,
    EngineError,
    Likelihood,
    LikelihoodRequest,
    Request,
    StepRequest,
    StepScores,
    check_request,
)
from fathom.engines.chat import Tokens, encode_conversation, encode_given
from fathom.engines.endpoint import Endpoint
from fathom.engines.guards import Guards
from fathom.engines.openai import OpenAIEngine
from fathom.engines.steps import render
from fathom.engines.usage import Usage
from fathom.errors import FathomError


class Given(NamedTuple):
    """An encoded request: its prompt, and the answer to score (none for a classifier)."""

    prompt: Tokens
    answer: Tokens
    steps: tuple[bool, ...] = ()
    """For each separator token of the prompt, in order: whether it ends a step."""
    good: int = 0
    """The index of the probability that a step is right."""


class Protocol(NamedTuple):
    """The request and response bodies by which a server gives readings."""

    path: str
    """Below the server's root, which is `base_url` without a final /v1."""
    capability: Capability
    source: str
    """The documentation, and the version, from which the bodies were constructed."""
    payload: Callable[[Any, Given], dict[str, Any]]
    """The fields of the body besides `model`, from the request and its tokens."""
    read: Callable[[Any, Given], Sequence[float]]
    """Extracts the values from the response body: log-probabilities of the answer's tokens, outputs, or step scores."""
    encoded: bool = True
    """Whether the prompt is sent as token ids, which needs the model's tokenizer."""
    joined: bool = False
    """Whether the answer's tokens are sent too, after those of the prompt."""

    def sent(self, given: Given) -> int:
        """The number of tokens that the server is to read."""
        return len(given.prompt) + (len(given.answer) if self.joined else 0)


class ReadingServer(OpenAIEngine):
    """Reads texts with `model` at `base_url`, by `protocol`.

    `tokenizer`: a folder or a hub name, for protocols that send token ids; by default `model`. Further options are
    those of `OpenAIEngine`. Raises FathomError for an unknown protocol.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        protocol: str = "vllm_classify",
        tokenizer: str | Path | None = None,
        **options: Any,
    ) -> None:
        if protocol not in PROTOCOLS:
            raise FathomError(f"protocol={protocol!r}: expected one of {', '.join(PROTOCOLS)}")
        try:
            super().__init__(model, base_url=base_url, **options)
        except TypeError as error:
            raise FathomError(f"the engine 'scores': {error}; it takes the options of the engine 'openai'") from None
        self.protocol_name = protocol
        self.protocol = PROTOCOLS[protocol]
        self.address = replace(self.address, url=_below_root(self.address.url, self.protocol.path))
        limits = {"timeout": self.endpoint.timeout, "connect_wait": self.endpoint.connect_wait}
        hedge = self.endpoint.hedging is not None
        self.endpoint = Endpoint(self.address, self.limit, hedge=hedge, parse=_whole, **limits)
        self.tokenizer_name = str(tokenizer or model) if self.protocol.encoded else None
        self.provides = frozenset({self.protocol.capability})
        self.guards = Guards(model)

    @property
    def identity(self) -> str:
        settings = json.dumps({"extra_body": self.extra_body, "tokenizer": self.tokenizer_name}, sort_keys=True)
        return f"scores:{self.base_url}:{self.protocol_name}:{self.model}:{settings}"

    async def complete(self, request: Request) -> Completion:
        check_request(self, "text")
        raise AssertionError("unreachable")

    async def close(self) -> None:
        self.guards.closed()
        await super().close()

    async def likelihood(self, request: LikelihoodRequest) -> Likelihood:
        """The log-probabilities of a given answer. Raises EngineError for what the server cannot score."""
        check_request(self, "likelihood")
        if request.soft_values is not None:
            check_request(self, "soft_values")
        given = Given(*encode_given(self.tokenizer, request))
        values, usage = await self._read(request, given)
        texts = tuple(self.tokenizer.batch_decode([[token] for token in given.answer]))
        return Likelihood(texts, tuple(values), usage=usage)

    async def classify(self, request: ClassifyRequest) -> Classification:
        """The raw outputs of the server's classifier."""
        check_request(self, "classification")
        tokens = encode_conversation(self.tokenizer, request.conversation) if self.protocol.encoded else ()
        values, usage = await self._read(request, Given(tuple(tokens), ()))
        self.guards.saturation(values)
        return Classification(tuple(values), usage=usage)

    async def steps(self, request: StepRequest) -> StepScores:
        """The scores of a solution's steps, read at the separators that were sent as tokens.

        Raises FathomError for a family whose scores such a server does not give.
        """
        check_request(self, "steps")
        convention = request.convention
        if convention.read == "before" or convention.head == "value":
            what = "a value" if convention.head == "value" else "the token before it"
            raise FathomError(f"{self.protocol_name} gives two probabilities at a separator; this family reads {what}")
        problem = "\n\n".join(message["content"] for message in request.messages)
        rendered = render(self.tokenizer, problem, request.steps, convention)
        separator = rendered.tokens[rendered.positions[-1]]
        places = [place for place, token in enumerate(rendered.tokens) if token == separator]
        positions = set(rendered.positions)
        ends = tuple(place in positions for place in places)
        # returned_token_ids are right, wrong; the classes of a classifier are wrong, right.
        given = Given(rendered.tokens, (), ends, good=int(convention.head == "classes"))
        values, usage = await self._read(request, given)
        return StepScores(tuple(values), usage)

    async def _read(self, request: AnyRequest, given: Given) -> tuple[Sequence[float], Usage]:
        if self.protocol.encoded:
            self.guards.begin(given.prompt, self.tokenizer.bos_token_id)
        fields = {"model": self.model} | self.protocol.payload(request, given) | self.extra_body
        raw = await self._tried(request, to_json({name: value for name, value in fields.items() if value is not None}))
        self._check_read(self.protocol.sent(given), raw.usage)
        try:
            return self.protocol.read(json.loads(raw.text), given), raw.usage
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            message = self.endpoint.shown(f"{type(error).__name__}: {error} in {raw.text}")
            raise EngineError(
                f"the answer is not that of {self.protocol_name}: {message}",
                hint=f"expected the schema of {self.protocol.source}",
                usage=raw.usage,
            ) from error

    def _check_read(self, sent: int, usage: Usage) -> None:
        """Raise EngineError if the server reports that it read more or fewer tokens than the `sent` ones."""
        if not self.protocol.encoded:
            return
        if usage.unknown_calls:
            self.guards.uncounted()
        elif usage.prompt_tokens != sent:
            raise EngineError(
                f"{sent} tokens were sent to {self.protocol_name}, and the server read {usage.prompt_tokens}",
                hint="raise the server's context length, or turn off its truncation of prompts"
                if usage.prompt_tokens < sent
                else "turn off the begin token that the server adds to prompts",
                usage=usage,
            )


def _below_root(url: yarl.URL, path: str) -> yarl.URL:
    """The address of `path`, from that of the chat completions."""
    return url.with_path(url.path.removesuffix("/chat/completions").removesuffix("/v1") + path, keep_query=True)


def _whole(answer: Any) -> Completion:
    """The whole body as text, with its usage. The values are extracted later, because that depends on the request."""
    first = answer if isinstance(answer, Mapping) else answer[0]
    usage = first.get("usage") or first.get("meta_info")
    tokens = (usage or {}).get("prompt_tokens")
    counted = Usage(unknown_calls=1) if tokens is None else Usage(prompt_tokens=tokens)
    return Completion(json.dumps(answer), usage=counted)


# Bodies ---------------------------------------------------------------------------------------------------------------


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"got {value!r}, expected a number")
    return float(value)


def _echo(_request: LikelihoodRequest, given: Given) -> dict[str, Any]:
    # One token is generated and ignored: some servers take 0 for "no limit".
    return {"prompt": [*given.prompt, *given.answer], "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}


def _read_echo(body: Any, given: Given) -> list[float]:
    logprobs = body["choices"][0]["logprobs"]["token_logprobs"]
    count = len(given.prompt) + len(given.answer)
    if not count <= len(logprobs) <= count + 1:
        raise ValueError(f"{len(logprobs)} log-probabilities for {count} tokens and at most one more")
    return [_number(value) for value in logprobs[len(given.prompt) : count]]


def _prompt_logprobs(_request: LikelihoodRequest, given: Given) -> dict[str, Any]:
    return {"prompt": [*given.prompt, *given.answer], "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}


def _read_prompt_logprobs(body: Any, given: Given) -> list[float]:
    logprobs = body["choices"][0]["prompt_logprobs"]
    if len(logprobs) != len(given.prompt) + len(given.answer):
        raise ValueError(f"{len(logprobs)} log-probabilities for {len(given.prompt) + len(given.answer)} tokens")
    likely = logprobs[len(given.prompt) :]
    return [_number(each[str(token)]["logprob"]) for each, token in zip(likely, given.answer, strict=True)]


def _labels(_request: LikelihoodRequest, given: Given) -> dict[str, Any]:
    """The probability of one token after the prompt. No softmax: over a single label it would always be 1."""
    if len(given.answer) != 1:
        raise EngineError(
            f"the answer has {len(given.answer)} tokens; this protocol scores one",
            hint="use another protocol",
            kind="text",
        )
    items = {"query": list(given.prompt[:-1]), "items": [list(given.prompt[-1:])]}
    return {**items, "label_token_ids": list(given.answer), "apply_softmax": False, "item_first": False}


def _log(probability: Any) -> list[float]:
    value = _number(probability)
    if not 0 <= value <= 1:
        raise ValueError(f"got the probability {value}, expected 0 to 1")
    return [log(value) if value else float("-inf")]


def _read_steps(body: Any, given: Given) -> list[float]:
    pairs = body["data"][0]["data"]
    if len(pairs) != len(given.steps):
        raise ValueError(f"{len(pairs)} pairs for {len(given.steps)} separators; the server needs their step_tag_id")
    return [_step(pair, given.good) for pair, ends in zip(pairs, given.steps, strict=True) if ends]


def _step(pair: Any, good: int) -> float:
    values = [_number(value) for value in pair]
    if len(values) != 2 or abs(sum(values) - 1) > SUM_TOLERANCE or min(values) < 0:
        raise ValueError(f"got {values}, expected two probabilities; STEP pooling returns returned_token_ids good, bad")
    return values[good]


SUM_TOLERANCE = 0.01
"""Maximum difference from 1 of the sum of two probabilities in half precision."""

PROTOCOLS: Mapping[str, Protocol] = {
    "echo": Protocol(
        "/v1/completions",
        "likelihood",
        "OpenAI's API reference, Completions (echo, logprobs, prompt as token ids), and vLLM 0.15",
        _echo,
        _read_echo,
        joined=True,
    ),
    "vllm_logprobs": Protocol(
        "/v1/completions",
        "likelihood",
        "vLLM 0.15, completions with the extra parameter prompt_logprobs",
        _prompt_logprobs,
        _read_prompt_logprobs,
        joined=True,
    ),
    "vllm_labels": Protocol(
        "/generative_scoring",
        "likelihood",
        "vLLM 0.22, Generative Scoring",
        _labels,
        lambda body, given: _log(body["data"][0]["score"]),
    ),
    "sglang_labels": Protocol(
        "/v1/score",
        "likelihood",
        "SGLang, native API (docs.sglang.io), /v1/score",
        _labels,
        lambda body, given: _log(body["scores"][0][0]),
    ),
    "vllm_classify": Protocol(
        "/classify",
        "classification",
        "vLLM 0.15, ClassificationChatRequest",
        lambda request, given: {
            "messages": request.conversation,
            "use_activation": False,  # by default one output gets a sigmoid, and several a softmax
            "add_special_tokens": False,
        },
        lambda body, given: [_number(value) for value in body["data"][0]["probs"]],
        encoded=False,
    ),
    "vllm_pooling": Protocol(
        "/pooling",
        "classification",
        "vLLM 0.15, PoolingChatRequest",
        lambda request, given: {
            "messages": request.conversation,
            "task": "classify",
            "use_activation": False,
            "add_special_tokens": False,
        },
        lambda body, given: [_number(value) for value in body["data"][0]["data"]],
        encoded=False,
    ),
    "vllm_steps": Protocol(
        "/pooling",
        "steps",
        "vLLM 0.15, PoolingCompletionRequest of a model with STEP pooling",
        lambda request, given: {
            "input": list(given.prompt),
            "task": "token_classify",
            "add_special_tokens": False,
        },
        _read_steps,
    ),
    # Not /v1/classify, which applies a softmax even to a single output, so that the result is always 1.
    "sglang_classify": Protocol(
        "/classify",
        "classification",
        "SGLang, native API (docs.sglang.io), /classify of a server with --is-embedding",
        lambda request, given: {"input_ids": list(given.prompt)},
        lambda body, given: [_number(value) for value in (body[0] if isinstance(body, list) else body)["embedding"]],
    ),
}
