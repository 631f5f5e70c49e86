"""Forward passes over given texts: hidden states at chosen positions, in batches of similar length.

    forward = Forward(model, max_batch_tokens=4096)
    for places, states in forward.states([Passage(tokens, positions=(7, 8, 9))]):
        forward.logprobs(states, targets)       # of the passages at `places`, whose states are concatenated

All readings of the local engine use it: likelihoods, classifications, pooled states, step scores. It saves work in
three ways. Passages are sorted by length, so there is little padding. Passages with the same prefix, such as the
responses to one prompt, share its computation. The output layer is applied to the chosen positions only, in chunks, so
the logits of a whole text are never stored.

The results do not depend on the other passages of a batch, up to floating-point rounding.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.nn.functional import linear
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from fathom.engines.batching import length_batches
from fathom.engines.chat import Tokens
from fathom.errors import FathomError

WORTHWHILE = 0.25
"""A prefix is shared if that saves this share of a group's tokens, because the second pass has an overhead."""
CHUNK = 2**26
"""Maximum number of logits held at a time: 256 MB in float32."""


def batch_tokens(device: Any) -> int:
    """The default batch size in tokens: on a CPU, larger batches exceed its cache and are slower."""
    return 2**11 if device.type == "cpu" else 2**14


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, and the positions whose states are read, in ascending order. The state at p follows tokens 0 to p."""

    tokens: Tokens
    positions: Sequence[int]


class Forward:
    """Computes hidden states with `model`, a model of the `transformers` library in evaluation mode.

    A batch has at most `max_batch_tokens` tokens, padding included, and at most `max_batch` rows.
    """

    def __init__(self, model: Any, *, max_batch_tokens: int, max_batch: int = 128) -> None:
        self.model = model
        self.max_batch_tokens = max_batch_tokens
        self.max_batch = max_batch
        whole = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.backbone = whole.base_model if whole.base_model is not whole else whole.model
        self.accepted = inspect.signature(self.backbone.forward).parameters

    # States -----------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def states(
        self, passages: Sequence[Passage], layers: Sequence[int] | None = None
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield for each batch the indices of its passages, and the states of all their positions, concatenated.

        The states have the shape (positions, hidden), or (layers, positions, hidden) with `layers`: 0 is the embedding,
        -1 the last layer after the final normalization.
        """
        lengths = [len(passage.tokens) for passage in passages]
        shared = _shared_beginnings(passages) if self.continues else {}
        single = sorted(set(range(len(passages))) - shared.keys(), key=lengths.__getitem__)
        for places in self._batches(single, lengths):
            yield places, self._plain([passages[place] for place in places], layers)
        grouped = sorted(shared, key=lambda place: (shared[place], passages[place].tokens))
        for places in self._batches(grouped, lengths):
            starts = [shared[place] for place in places]
            yield places, self._continued([passages[place] for place in places], starts, layers)

    @torch.inference_mode()
    def outputs(self, texts: Sequence[Tokens], separator: int | None) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield for each batch the indices of its texts, and a classifier's own outputs on them, (texts, outputs).

        For classifiers whose head is more than a layer on one state, such as BERT's. `separator`: the token that ends
        the first of two texts, if the model embeds to which of them a token belongs.
        """
        lengths = list(map(len, texts))
        for places in self._batches(sorted(range(len(texts)), key=lengths.__getitem__), lengths):
            tokens, mask = _right_padded([texts[place] for place in places], self.model.device)
            types = {} if separator is None else {"token_type_ids": _second_text(tokens, separator) * mask}
            yield places, self.model(input_ids=tokens, attention_mask=mask, **types).logits

    @cached_property
    def continues(self) -> bool:
        """Whether the model can continue a cached prefix: full attention, a cache and position ids."""
        layers = DynamicCache(config=self.model.config).layers
        plain = all(type(layer) is DynamicLayer for layer in layers)
        return plain and {"past_key_values", "position_ids"} <= set(self.accepted)

    def _batches(self, places: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
        limits = {"max_rows": self.max_batch, "max_tokens": self.max_batch_tokens}
        return length_batches(places, lambda place: lengths[place], **limits)

    def _plain(self, passages: Sequence[Passage], layers: Sequence[int] | None) -> torch.Tensor:
        tokens, mask = _right_padded([passage.tokens for passage in passages], self.model.device)
        output = self._run(tokens, mask, layers)
        return _picked(output, [list(passage.positions) for passage in passages], layers)

    def _continued(
        self, passages: Sequence[Passage], starts: Sequence[int], layers: Sequence[int] | None
    ) -> torch.Tensor:
        """Compute each distinct prefix once, then the rest of every passage on a copy of its keys and values.

        `starts`: the length of each passage's prefix.
        """
        device = self.model.device
        own = [passage.tokens[:start] for passage, start in zip(passages, starts, strict=True)]
        beginnings = {beginning: place for place, beginning in enumerate(dict.fromkeys(own))}
        tokens, mask = _left_padded(list(beginnings), device)
        cache = DynamicCache(config=self.model.config)
        position_ids = (mask.cumsum(-1) - 1).clamp(min=0)
        self._run(tokens, mask, None, past_key_values=cache, use_cache=True, position_ids=position_ids)
        owner = torch.tensor([beginnings[beginning] for beginning in own], device=device)
        cache.reorder_cache(owner)
        rest, rest_mask = _right_padded(
            [passage.tokens[start:] for passage, start in zip(passages, starts, strict=True)], device
        )
        position_ids = torch.tensor(starts, device=device)[:, None] + torch.arange(rest.shape[1], device=device)
        output = self._run(
            rest,
            torch.cat([mask[owner], rest_mask], dim=-1),
            layers,
            past_key_values=cache,
            use_cache=True,
            position_ids=position_ids,
        )
        after = [[at - start for at in passage.positions] for passage, start in zip(passages, starts, strict=True)]
        return _picked(output, after, layers)

    def _run(self, tokens: torch.Tensor, mask: torch.Tensor, layers: Sequence[int] | None, **options: Any) -> Any:
        if "use_cache" in self.accepted:
            options.setdefault("use_cache", False)
        return self.backbone(input_ids=tokens, attention_mask=mask, output_hidden_states=layers is not None, **options)

    # The output layer of a language model -----------------------------------------------------------------------------

    def logits(self, states: torch.Tensor, tokens: Sequence[int] | None = None) -> torch.Tensor:
        """The logits of the next token, (positions, vocabulary), at states (positions, hidden).

        With `tokens`, only the logits of these tokens, (positions, tokens).

        They are computed in float32 or better: in bfloat16, logits near 16 are multiples of 0.125, which decides some
        verdicts by rounding alone. Raises FathomError for an architecture whose logits are computed differently.
        """
        if not self.head_is_known:
            raise FathomError(
                f"{type(self.model).__name__} computes its logits in a way that Fathom does not know, so it gives no "
                "likelihoods; it can still complete text"
            )
        return self._logits(states, tokens)

    @cached_property
    @torch.inference_mode()
    def head_is_known(self) -> bool:
        """Whether `logits` gives the model's own logits, checked on two tokens.

        Architectures scale logits in different ways. An unknown way changes them by far more than the rounding of
        bfloat16, for which the tolerance is sufficient.
        """
        if self.model.get_output_embeddings() is None:
            return False
        tokens, mask = _right_padded([(0, 1)], self.model.device)
        own = self.model(input_ids=tokens, attention_mask=mask).logits[0].float()
        ours = self._logits(self._run(tokens, mask, None).last_hidden_state[0]).float()
        return bool((own - ours).abs().max() <= 0.05 * (own.max() - own.min()))

    def _logits(self, states: torch.Tensor, tokens: Sequence[int] | None = None) -> torch.Tensor:
        weight, bias = self._head
        if tokens is not None:
            weight, bias = weight[list(tokens)], None if bias is None else bias[list(tokens)]
        logits = linear(states.to(weight.dtype), weight, bias)
        config = self.model.config.get_text_config()
        if (scale := getattr(config, "logit_scale", None)) is not None:  # Cohere
            logits = logits * scale
        if (scaling := getattr(config, "logits_scaling", None)) is not None:  # Granite
            logits = logits / scaling
        if (cap := getattr(config, "final_logit_softcapping", None)) is not None:  # Gemma 2 and 3
            logits = cap * torch.tanh(logits / cap)
        return logits

    @cached_property
    def _head(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        layer = self.model.get_output_embeddings()
        half = layer.weight.dtype in (torch.bfloat16, torch.float16)
        dtype = torch.float32 if half else layer.weight.dtype
        bias = getattr(layer, "bias", None)
        return layer.weight.detach().to(dtype), None if bias is None else bias.detach().to(dtype)

    def chunks(self, states: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield slices of the positions, of bounded size, with the logits at their states."""
        size = max(1, CHUNK // self._head[0].shape[0])
        for start in range(0, len(states), size):
            yield slice(start, start + size), self.logits(states[start : start + size])

    @torch.inference_mode()
    def logprobs(
        self, states: torch.Tensor, targets: torch.Tensor, alpha: float | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The log-probability of each target token (positions,) at its state, in nats.

        With `alpha`, also the soft values alpha * logsumexp(logits / alpha), (positions,).
        """
        likely, soft = [], []
        for span, logits in self.chunks(states):
            chosen = logits.gather(1, targets[span, None].to(logits.device))[:, 0]
            likely.append(chosen - logits.logsumexp(-1))
            if alpha is not None:
                soft.append(alpha * (logits / alpha).logsumexp(-1))
        return torch.cat(likely), torch.cat(soft) if alpha is not None else None


def _right_padded(rows: Sequence[Tokens], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and mask, (rows, longest). Padding is defined by the mask; the padding token is arbitrary."""
    longest = max(map(len, rows))
    tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    return tokens, mask


def _second_text(tokens: torch.Tensor, separator: int) -> torch.Tensor:
    """1 for tokens after the first separator of their row, else 0."""
    separators = (tokens == separator).int()
    return ((separators.cumsum(-1) - separators) > 0).int()


def _left_padded(rows: Sequence[Tokens], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    tokens, mask = _right_padded([row[::-1] for row in rows], device)
    return tokens.flip(-1), mask.flip(-1)


def _picked(output: Any, positions: Sequence[Sequence[int]], layers: Sequence[int] | None) -> torch.Tensor:
    """The states at the positions of each row, concatenated."""
    device = output.last_hidden_state.device
    rows = torch.tensor([row for row, each in enumerate(positions) for _ in each], device=device)
    columns = torch.tensor([at for each in positions for at in each], device=device)
    if layers is None:
        states: torch.Tensor = output.last_hidden_state[rows, columns]
        return states
    return torch.stack([output.hidden_states[layer][rows, columns] for layer in layers])


def _shared_beginnings(passages: Sequence[Passage]) -> dict[int, int]:
    """The indices of passages that share a prefix worth computing once, with the length of that prefix.

    A prefix ends before the first position that is read. Passages are sorted by their tokens, so those with the same
    prefix are adjacent; a passage joins a group if that increases the number of saved tokens.
    """
    order = sorted(range(len(passages)), key=lambda place: passages[place].tokens)
    shared: dict[int, int] = {}
    group: list[int] = []
    common = 0
    for place in order:
        if group:
            joint = min(
                _common(passages[group[-1]].tokens, passages[place].tokens),
                passages[place].positions[0],
                common if len(group) > 1 else passages[group[0]].positions[0],
            )
            if joint * len(group) > common * (len(group) - 1):
                group.append(place)
                common = joint
                continue
        shared |= _worthwhile(passages, group, common)
        group, common = [place], 0
    return shared | _worthwhile(passages, group, common)


def _worthwhile(passages: Sequence[Passage], group: Sequence[int], common: int) -> dict[int, int]:
    saved, total = common * (len(group) - 1), sum(len(passages[place].tokens) for place in group)
    return dict.fromkeys(group, common) if saved > WORTHWHILE * total else {}


def _common(one: Tokens, other: Tokens) -> int:
    """The length of the common prefix."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
