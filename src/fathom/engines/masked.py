"""Runs a masked language model in this process: the log-probability of given words in a slot of a text.

    engine = MaskedLMEngine("runs/slot")                # any AutoModelForMaskedLM: BERT, RoBERTa, ModernBERT, ...
    request = SlotRequest((), "Two and two are five. This is", words=("right", "wrong"))
    (await engine.slot(request)).logprobs               # one per word, of the whole vocabulary

The text is encoded as the tokenizer encodes any text, with the mask token in the place of the slot. The model reads
both sides of the slot. Every word must be one token of the vocabulary, so that one slot can hold it. Mask tokens and
other special tokens in the text are broken by a space, so the slot is the only one.

A text longer than the context is an error: nothing is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from fathom.engines import BaseEngine, Capability, Completion, EngineError, Request, SlotRequest, SlotScores
from fathom.engines.batching import Batcher, Job, length_batches
from fathom.engines.chat import Tokens, without_control
from fathom.engines.checkpoints import fingerprint, resolve_checkpoint
from fathom.engines.loading import ModelKind, context_length, load
from fathom.engines.usage import Usage
from fathom.errors import FathomError

MASKED = ModelKind("AutoModelForMaskedLM", "masked language model")
ROWS = 64


class EncodedSlot(NamedTuple):
    """A text with a slot as tokens."""

    tokens: Tokens
    position: int
    """The position of the mask token."""


class MaskedLMEngine(BaseEngine):
    """Reads slots with the checkpoint `model`. Options are as for the local engine.

    Raises FathomError if the checkpoint cannot be loaded, or if its output layer is in no file.
    """

    provides: frozenset[Capability] = frozenset({"slot"})

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "auto",
        dtype: str = "auto",
        max_batch_tokens: int = 2**12,
        max_wait: float = 0.005,
        trust_remote_code: bool = False,
        revision: str | None = None,
    ) -> None:
        self.name = resolve_checkpoint(model)
        self.revision = revision
        self.max_batch_tokens = max_batch_tokens
        loaded = load(
            self.name, MASKED, device=device, dtype=dtype, trust_remote_code=trust_remote_code, revision=revision
        )
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        if loaded.missing:
            raise FathomError(
                f"{self.name} is no trained masked language model: no file of it has "
                f"{', '.join(sorted(loaded.missing)[:3])}"
            )
        check_mask(self.tokenizer, self.name)
        self._batcher = Batcher(self._work, max_wait=max_wait, full=ROWS)

    @cached_property
    def identity(self) -> str:
        dtype = str(self.model.dtype).removeprefix("torch.")
        return f"masked:{self.name}:{dtype}:{fingerprint(self.name, self.revision)}"

    @cached_property
    def context(self) -> int:
        """The maximum number of tokens of a text."""
        return context_length(self.model.config, self.tokenizer)

    async def complete(self, request: Request) -> Completion:
        raise FathomError(f"{self.identity} reads slots and writes no text; give another engine to write text")

    async def slot(self, request: SlotRequest) -> SlotScores:
        """The log-probabilities of words in a slot. Raises EngineError for a text that is too long, and FathomError
        for a word that is not one token."""
        return await self._batcher(request)

    def _work(self, jobs: Sequence[Job[SlotRequest, SlotScores]]) -> None:
        encoded = []
        for job in jobs:
            if job.cancelled:
                continue
            try:
                encoded.append((job, *self._encoded(job.item)))
            except (EngineError, FathomError) as error:
                job.settle(error)
        encoded.sort(key=lambda each: len(each[1].tokens))
        for batch in length_batches(
            encoded, lambda each: len(each[1].tokens), max_rows=ROWS, max_tokens=self.max_batch_tokens
        ):
            logprobs = slot_logprobs(self.model, [slot for _, slot, _ in batch])
            for (job, slot, words), row in zip(batch, logprobs, strict=True):
                job.settle(SlotScores(tuple(row[list(words)].tolist()), Usage(prompt_tokens=len(slot.tokens))))

    def _encoded(self, request: SlotRequest) -> tuple[EncodedSlot, Tokens]:
        """The text, and the tokens of the words. Raises EngineError for tokens that the model cannot read."""
        slot = encode_slot(self.tokenizer, request.answer, request.after)
        words = word_tokens(self.tokenizer, request.words)
        if len(slot.tokens) > self.context:
            message = f"the text has {len(slot.tokens)} tokens; {self.name} has a context of {self.context}"
            raise EngineError(message, hint="shorten the text or use a model with a longer context", kind="text")
        vocabulary = self.model.get_input_embeddings().weight.shape[0]
        if (largest := max(*slot.tokens, *words)) >= vocabulary:
            raise EngineError(
                f"the tokenizer gives the token {largest}; {self.name} knows {vocabulary} tokens",
                hint="the tokenizer's files belong to another model",
                kind="text",
            )
        return slot, words


def check_mask(tokenizer: Any, name: str) -> None:
    if tokenizer.mask_token_id is None:
        raise FathomError(f"{name} has no mask token; expected a masked language model, such as BERT")


def encode_slot(tokenizer: Any, before: str, after: str) -> EncodedSlot:
    """The tokens of a text with the mask token between `before` and `after`. Training and engines use the same.

    Raises EngineError if the tokenizer writes no or several mask tokens.
    """
    messages = without_control(tokenizer, [{"role": "user", "content": text} for text in (before, after)])
    before, after = (message["content"] for message in messages)
    tokens: list[int] = tokenizer(f"{before} {tokenizer.mask_token}{after}")["input_ids"]
    positions = [place for place, token in enumerate(tokens) if token == tokenizer.mask_token_id]
    if len(positions) != 1:
        raise EngineError(f"the text has {len(positions)} mask tokens, expected one")
    return EncodedSlot(tuple(tokens), positions[0])


def word_tokens(tokenizer: Any, words: Sequence[str]) -> tuple[int, ...]:
    """The token of each word after a space. Raises FathomError unless all words are different single tokens."""
    found = tuple(_token(tokenizer, word) for word in words)
    if len(set(found)) < len(found) or len(found) < 2:
        raise FathomError(f"words {', '.join(words)}: expected two or more that are different tokens")
    return found


def _token(tokenizer: Any, word: str) -> int:
    for text in (f" {word}", word):
        tokens = tokenizer.encode(text, add_special_tokens=False)
        if len(tokens) == 1 and tokens[0] != tokenizer.unk_token_id:
            return int(tokens[0])
    raise FathomError(
        f"the tokenizer has no single token for the word {word!r}, so it does not fit into one slot; give other words"
    )


def slot_logprobs(model: Any, slots: Sequence[EncodedSlot]) -> Any:
    """The log-probabilities of the whole vocabulary in the slot of each text: (texts, vocabulary), in float32."""
    import torch

    longest = max(len(slot.tokens) for slot in slots)
    tokens = torch.zeros(len(slots), longest, dtype=torch.long, device=model.device)
    mask = torch.zeros_like(tokens)
    for row, slot in enumerate(slots):
        tokens[row, : len(slot.tokens)] = torch.tensor(slot.tokens, device=model.device)
        mask[row, : len(slot.tokens)] = 1
    with torch.inference_mode():
        logits = model(input_ids=tokens, attention_mask=mask).logits
        rows = logits[torch.arange(len(slots), device=model.device), [slot.position for slot in slots]]
        return rows.float().log_softmax(-1).cpu()
