"""The readings of a local model: encodes requests as passages, and reduces the states of `forward` to values.

reader = Reader(model, tokenizer, name="judge-7b", context=4096, max_batch_tokens=2**14)
for place, reading in reader.read(requests):          # as batches finish; an EngineError for a bad request
    ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise, starmap
from typing import Any, cast

import torch

from fathom.engines import (
    Classification,
    ClassifyRequest,
    EngineError,
    Likelihood,
    LikelihoodRequest,
    Reading,
    ReadingRequest,
    States,
    StatesRequest,
    StepConvention,
    StepRequest,
    StepScores,
)
from fathom.engines.chat import Tokens, encode_chat, encode_conversation, encode_given, encode_prefix
from fathom.engines.forward import Forward, Passage
from fathom.engines.guards import BATCH_ROWS, Guards, spread
from fathom.engines.headed import HeadedModel
from fathom.engines.heads import Head, is_encoder
from fathom.engines.steps import candidate_tokens, render
from fathom.engines.usage import Usage
from fathom.errors import FathomError

Read = Iterator[tuple[int, Reading | EngineError]]
"""The index of each request with its reading, in the order in which they finish."""


@dataclass(frozen=True, slots=True)
class _Encoded:
    place: int
    passage: Passage
    targets: Tokens = ()
    """The tokens of the answer, whose log-probabilities are read at the passage's first positions."""
    unseen: int = 0
    """Number of steps beyond the context."""


class Reader:
    """Reads texts with `model`: a causal language model, or a sequence classifier."""

    def __init__(self, model: Any, tokenizer: Any, *, name: str, context: int, max_batch_tokens: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.context = context
        self.head: Head | None = model.head if isinstance(model, HeadedModel) else None
        self.encoder = is_encoder(model)
        names = model.config.id2label
        self.labels: tuple[str, ...] = tuple(names[place] for place in sorted(names))
        self.vocabulary: int = model.get_input_embeddings().weight.shape[0]
        self.forward = Forward(model, max_batch_tokens=max_batch_tokens)
        self.guards = Guards(name)
        self._batches_checked = False
        self._encoders: dict[type[ReadingRequest], Callable[[int, Any], _Encoded | StepScores]] = {
            LikelihoodRequest: self._given,
            ClassifyRequest: self._conversation,
            StatesRequest: self._answered,
            StepRequest: self._rendered,
        }
        self._reductions: dict[type[ReadingRequest], Callable[[Sequence[_Encoded], torch.Tensor, Any], list[Reading]]]
        self._reductions = {
            LikelihoodRequest: self._likelihoods,
            ClassifyRequest: self._classifications,
            StatesRequest: self._pooled,
            StepRequest: self._step_scores,
        }

    def outputs(self, texts: Sequence[Tokens]) -> list[list[float]]:
        """The raw outputs of a classifier on encoded texts, in their order."""
        encoded = [_Encoded(place, Passage(tokens, self._scored(tokens))) for place, tokens in enumerate(texts)]
        readings = dict(self._reduced((ClassifyRequest, None), encoded))
        return [list(cast(Classification, readings[place]).logits) for place in range(len(texts))]

    def read(self, requests: Sequence[ReadingRequest]) -> Read:
        """Yield every request's index with its reading, or with an EngineError if its text cannot be read."""
        groups: dict[Any, list[_Encoded]] = {}
        for place, request in enumerate(requests):
            try:
                encoded = self._encoded(place, request)
            except EngineError as error:
                yield place, error
                continue
            if isinstance(encoded, StepScores):
                yield place, encoded
            else:
                groups.setdefault(_group(request), []).append(encoded)
        for group, members in groups.items():
            if group[0] in _SCORES and len(members) > BATCH_ROWS and not self._batches_checked:
                yield from self._batch_checked(group, members)
            else:
                yield from self._reduced(group, members)

    def _batch_checked(self, group: tuple[type[ReadingRequest], Any], members: list[_Encoded]) -> Read:
        """The readings of a group. Warns if the scores of its first rows differ when computed one by one."""
        self._batches_checked = True
        score = _SCORES[group[0]]
        together: dict[int, float] = {}
        for place, reading in self._reduced(group, members):
            together[place] = score(reading)
            yield place, reading
        rows = members[:BATCH_ROWS]
        alone = [score(next(self._reduced(group, [each]))[1]) for each in rows]
        self.guards.batch(alone, [together[each.place] for each in rows], spread(list(together.values())))

    def _reduced(self, group: tuple[type[ReadingRequest], Any], members: list[_Encoded]) -> Read:
        kind, options = group
        if kind is ClassifyRequest and self.encoder:
            yield from self._own_outputs(members)
            return
        reduce = self._reductions[kind]
        layers = options[0] if kind is StatesRequest else None
        for places, states in self.forward.states([each.passage for each in members], layers):
            batch = [members[place] for place in places]
            for member, reading in zip(batch, reduce(batch, states, options), strict=True):
                yield member.place, reading

    # From a request to a passage --------------------------------------------------------------------------------------

    def _encoded(self, place: int, request: ReadingRequest) -> _Encoded | StepScores:
        from jinja2 import TemplateError

        encode = self._encoders[type(request)]
        try:
            return encode(place, request)
        except TemplateError as error:
            raise EngineError(
                f"the chat template of {self.name} refuses these messages: {error}", kind="text"
            ) from error

    def _given(self, place: int, request: LikelihoodRequest) -> _Encoded:
        prompt, answer = encode_given(self.tokenizer, request)
        tokens = self._fitting((*prompt, *answer))
        # The state before each token of the answer predicts it. The state after the last one has a soft value too.
        last = len(tokens) - (request.soft_values is None)
        return _Encoded(place, Passage(tokens, range(len(prompt) - 1, last)), answer)

    def _conversation(self, place: int, request: ClassifyRequest) -> _Encoded:
        tokens = self._fitting(tuple(encode_conversation(self.tokenizer, request.conversation)))
        return _Encoded(place, Passage(tokens, self._scored(tokens)))

    def _scored(self, tokens: Tokens) -> Sequence[int]:
        """The positions that a classifier's head reads, as its own `forward` does.

        `transformers` reads the last token that is not the configured padding token, if there is one.
        """
        if self.encoder:
            return (len(tokens) - 1,)
        if self.head is not None:
            return range(len(tokens)) if self.head.pooling == "mean" else (len(tokens) - 1,)
        padding = self.model.config.get_text_config().pad_token_id
        position = max((at for at, token in enumerate(tokens) if token != padding), default=0)
        self.guards.padding(tokens, position)
        return [position]

    def _answered(self, place: int, request: StatesRequest) -> _Encoded:
        prompt = encode_chat(self.tokenizer, request.messages)
        answer = encode_prefix(self.tokenizer, request.answer)
        if not answer:
            raise EngineError("the answer is empty, so it has no states", kind="text")
        tokens = self._fitting((*prompt, *answer))
        first = len(prompt) if request.pool == "mean" else len(tokens) - 1
        return _Encoded(place, Passage(tokens, range(first, len(tokens))))

    def _rendered(self, place: int, request: StepRequest) -> _Encoded | StepScores:
        """The steps that fit into the context; if not even the first one does, scores of None for all steps."""
        problem = "\n\n".join(message["content"] for message in request.messages)
        rendered = render(self.tokenizer, problem, request.steps, request.convention)
        seen = rendered.seen(self.context)
        if not seen:
            return StepScores((None,) * len(request.steps), Usage(prompt_tokens=0))
        positions = rendered.positions[:seen]
        tokens = self._fitting(rendered.tokens[: positions[-1] + 1])
        return _Encoded(place, Passage(tokens, positions), unseen=len(rendered.positions) - seen)

    def _fitting(self, tokens: Tokens) -> Tokens:
        if len(tokens) > self.context:
            message = f"the text has {len(tokens)} tokens; {self.name} has a context of {self.context}"
            raise EngineError(message, hint="shorten the text or use a model with a longer context", kind="text")
        if (largest := max(tokens)) >= self.vocabulary:
            raise EngineError(
                f"the tokenizer gives the token {largest}; {self.name} knows {self.vocabulary} tokens",
                hint="the tokenizer's files belong to another model",
                kind="text",
            )
        self.guards.begin(tokens, self.tokenizer.bos_token_id)
        return tokens

    # From states to readings ------------------------------------------------------------------------------------------

    def _likelihoods(self, batch: Sequence[_Encoded], states: torch.Tensor, alpha: float | None) -> list[Reading]:
        ids = [token for each in batch for token in _padded(each)]
        logprobs, soft = self.forward.logprobs(states, torch.tensor(ids), alpha)
        likely, values = logprobs.tolist(), None if soft is None else soft.tolist()
        texts = dict(zip(seen := sorted(set(ids)), self.tokenizer.batch_decode([[each] for each in seen]), strict=True))
        return [
            Likelihood(
                tuple(texts[token] for token in each.targets),
                tuple(likely[span][: len(each.targets)]),
                None if values is None else tuple(values[span]),
                _usage(each),
            )
            for each, span in zip(batch, _spans(batch), strict=True)
        ]

    def _own_outputs(self, members: Sequence[_Encoded]) -> Read:
        typed = "token_type_ids" in self.tokenizer.model_input_names
        separator = self.tokenizer.sep_token_id if typed else None
        for places, outputs in self.forward.outputs([each.passage.tokens for each in members], separator):
            for place, row in zip(places, outputs.float().tolist(), strict=True):
                yield members[place].place, Classification(tuple(row), self.labels, _usage(members[place]))

    @torch.inference_mode()
    def _classifications(self, batch: Sequence[_Encoded], states: torch.Tensor, _options: Any) -> list[Reading]:
        dtype = next(self._score.parameters()).dtype
        outputs = self._score(torch.stack([states[span].to(dtype).mean(0) for span in _spans(batch)])).tolist()
        return [Classification(tuple(row), self.labels, _usage(each)) for each, row in zip(batch, outputs, strict=True)]

    @cached_property
    def _score(self) -> Any:
        """The classifier's head, in float32 or better: in bfloat16, rewards near 8 are multiples of 0.06."""
        half = next(self.model.score.parameters()).dtype in (torch.bfloat16, torch.float16)
        return deepcopy(self.model.score).float() if half else self.model.score

    def _pooled(self, batch: Sequence[_Encoded], states: torch.Tensor, _options: Any) -> list[Reading]:
        pooled = [states[:, span].float().mean(1).tolist() for span in _spans(batch)]
        return [States(tuple(map(tuple, rows)), _usage(each)) for each, rows in zip(batch, pooled, strict=True)]

    def _step_scores(
        self, batch: Sequence[_Encoded], states: torch.Tensor, convention: StepConvention
    ) -> list[Reading]:
        with torch.inference_mode():
            scores = step_scores(self.forward, self.tokenizer, states, convention).tolist()
        return [
            StepScores((*scores[span], *[None] * each.unseen), _usage(each))
            for each, span in zip(batch, _spans(batch), strict=True)
        ]


def step_scores(forward: Forward, tokenizer: Any, states: torch.Tensor, convention: StepConvention) -> torch.Tensor:
    """The scores (positions,) at the states (positions, hidden) of separators, 0 to 1, by a convention's head.

    Raises FathomError if the model does not have that head.
    """
    if convention.head == "vocabulary":
        return forward.logits(states, candidate_tokens(tokenizer, convention)).softmax(-1)[:, 0]
    head = getattr(forward.model, "score", None) or getattr(forward.model, "classifier", None)
    expected = 2 if convention.head == "classes" else 1
    outputs = None if head is None else head(states.to(next(head.parameters()).dtype)).float()
    if outputs is None or outputs.shape[-1] != expected:
        found = "no head" if outputs is None else f"{outputs.shape[-1]} outputs"
        raise FathomError(
            f"{type(forward.model).__name__} has {found}; the family of this run reads a head with {expected}. Choose "
            "another family of process reward models"
        )
    scores: torch.Tensor = outputs.softmax(-1)[:, 1] if expected == 2 else outputs[:, 0].sigmoid()
    return scores


_SCORES: Mapping[type[ReadingRequest], Callable[[Any], float]] = {
    ClassifyRequest: lambda reading: reading.logits[0],
    LikelihoodRequest: lambda reading: reading.total,
}
"""The number of a reading that is compared between batches, for each kind of request that is checked so."""


def _group(request: ReadingRequest) -> tuple[type[ReadingRequest], Any]:
    """The kind of a request and its options: requests of one group are computed together."""
    if isinstance(request, LikelihoodRequest):
        return LikelihoodRequest, request.soft_values
    if isinstance(request, StatesRequest):
        return StatesRequest, (request.layers, request.pool)
    if isinstance(request, StepRequest):
        return StepRequest, request.convention
    return ClassifyRequest, None


def _spans(batch: Sequence[_Encoded]) -> list[slice]:
    """The slice of each passage's states among those of the batch."""
    ends = list(accumulate(len(each.passage.positions) for each in batch))
    return list(starmap(slice, pairwise([0, *ends])))


def _padded(encoded: _Encoded) -> Tokens:
    """One target per position; the state after the last token has none."""
    return (*encoded.targets, *[0] * (len(encoded.passage.positions) - len(encoded.targets)))


def _usage(encoded: _Encoded) -> Usage:
    return Usage(prompt_tokens=len(encoded.passage.tokens))
