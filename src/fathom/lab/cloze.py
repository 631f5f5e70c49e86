"""Slots and causal twins: small models that fill in a label, with or without an explanation before it.

    examples = order_examples(1000, seed=0)                  # premises, a hypothesis, the chain of facts that decides
    model = built("masked", ORDER_WORDS, settings, seed=0)       # "causal": the same layers, but they see the left only
    pretrain(model, [unlabelled(each) for each in examples], settings, seed=0)
    tune(model, [(each, "explained") for each in examples], settings, seed=0)
    accuracy(model, [(each, "explained") for each in tested])

The order task is that of six entities in a hidden order. The premises are four of the five facts "a < b" about
neighbours, in random order; the hypothesis "x < y" follows, is contradicted, or is undecided because of the missing
fact. The explanation is the chain of facts upwards from x and from y, as far as it goes. It does not name the label,
but gives it away without the premises: y is in the first chain, x in the second, or neither.

The words of the labels, and the token before the slot, occur in no text of pretraining. Both kinds of model learn them
from labelled items, so a masked model here does not fill its slot with words that it already knows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from fathom.train.slot import slot_loss

Kind = Literal["masked", "causal"]
KINDS: tuple[Kind, ...] = ("masked", "causal")
Shown = Literal["none", "explained", "alone"]
"""What stands before the slot: the context, the context and its explanation, or the explanation alone."""
PAD, MASK, BECAUSE, SO, STOP = range(5)
LABELS = (5, 6, 7)
"""The words of entailment, neutral and contradiction."""
SPECIAL = 8
ENTITIES, LESS, NEXT, QUESTION = 8, SPECIAL + 8, SPECIAL + 9, SPECIAL + 10
ORDER_WORDS = SPECIAL + ENTITIES + 3
LONGEST = 128
INITIAL = 0.05
"""The standard deviation of initial weights. BERT's 0.02 is for a width of 768; narrow ones learn too slowly."""
HIDDEN = 0.3
"""The share of tokens that are masked in pretraining."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    width: int
    layers: int
    batch: int
    pretraining: int
    """Steps. Both kinds read the same texts, but the masked one predicts a share `HIDDEN` of the tokens only."""
    tuning: int
    learning_rate: float
    tuning_rate: float


class Example(NamedTuple):
    context: tuple[int, ...]
    explanation: tuple[int, ...]
    label: int
    """0: entailment, 1: neutral, 2: contradiction."""


Task = tuple[Example, Shown]


def order_examples(count: int, seed: int | str) -> list[Example]:
    rng = random.Random(f"{seed}/order")
    return [_order_example(rng) for _ in range(count)]


def _order_example(rng: random.Random) -> Example:
    ordered = rng.sample(range(SPECIAL, SPECIAL + ENTITIES), 6)
    missing = rng.randrange(5)
    above = {ordered[place]: ordered[place + 1] for place in range(5) if place != missing}
    facts = list(above.items())
    rng.shuffle(facts)
    label = rng.randrange(3)
    while True:  # the three labels are equally frequent
        x, y = rng.sample(ordered, 2)
        chains = chain(above, x), chain(above, y)
        if (0 if y in chains[0] else 2 if x in chains[1] else 1) == label:
            break
    premises = [token for a, b in facts for token in (a, LESS, b, NEXT)]
    return Example((*premises, QUESTION, x, LESS, y), (*chains[0], NEXT, *chains[1]), label)


def chain(above: dict[int, int], start: int) -> list[int]:
    """The entities upwards from one, as far as the facts go."""
    found = [start]
    while found[-1] in above:
        found.append(above[found[-1]])
    return found


# Texts ----------------------------------------------------------------------------------------------------------------


def unlabelled(example: Example) -> list[int]:
    """A context with its explanation, for pretraining."""
    return [*example.context, BECAUSE, *example.explanation, STOP]


def prompt(example: Example, shown: Shown) -> list[int]:
    """The tokens up to the slot."""
    context = [] if shown == "alone" else list(example.context)
    explanation = [] if shown == "none" else [BECAUSE, *example.explanation]
    return [*context, *explanation, SO]


# Models ---------------------------------------------------------------------------------------------------------------


def built(kind: Kind, words: int, sizes: Sizes, seed: int) -> Any:
    """A BERT with random weights. Both kinds of one seed begin with the same ones, and differ by the attention mask."""
    from transformers import BertConfig, BertForMaskedLM, BertLMHeadModel

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=words,
        hidden_size=sizes.width,
        intermediate_size=4 * sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=4,
        max_position_embeddings=LONGEST,
        pad_token_id=PAD,
        initializer_range=INITIAL,
        is_decoder=kind == "causal",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertLMHeadModel(config) if kind == "causal" else BertForMaskedLM(config)


def kind_of(model: Any) -> Kind:
    return "causal" if model.config.is_decoder else "masked"


def pretrain(model: Any, texts: Sequence[Sequence[int]], sizes: Sizes, seed: int) -> None:
    """Predict masked tokens, or the next ones, of texts without labels."""
    rng, noise = random.Random(f"{seed}/pretraining"), torch.Generator().manual_seed(seed)
    optimizer, schedule = _optimizer(model, sizes.learning_rate, sizes.pretraining)
    for _ in range(sizes.pretraining):
        ids, mask = _padded(rng.choices(texts, k=sizes.batch))
        if kind_of(model) == "causal":
            states, wanted, counted = _states(model, ids, mask)[:, :-1], ids[:, 1:], mask[:, 1:].bool()
        else:
            counted = (torch.rand(ids.shape, generator=noise) < HIDDEN) & mask.bool()
            states, wanted = _states(model, ids.masked_fill(counted, MASK), mask), ids
        loss = torch.nn.functional.cross_entropy(model.cls(states[counted]), wanted[counted])
        _step(loss, model, optimizer, schedule)
    model.eval()


def tune(model: Any, tasks: Sequence[Task], sizes: Sizes, seed: int) -> None:
    """Train the words of the labels in the slot, with the loss of `fathom train slot`."""
    rng = random.Random(f"{seed}/tuning")
    optimizer, schedule = _optimizer(model, sizes.tuning_rate, sizes.tuning)
    for _ in range(sizes.tuning):
        batch = rng.choices(tasks, k=sizes.batch)
        labels = torch.tensor([example.label for example, _ in batch])
        _step(slot_loss(_slots(model, batch), labels), model, optimizer, schedule)
    model.eval()


@torch.no_grad()
def explain(writer: Any, examples: Sequence[Example], *, seed: int) -> list[Example]:
    """The examples with explanations that are sampled from a causal model at temperature 1, at most 16 tokens each."""
    noise, written = torch.Generator().manual_seed(seed), [list[int]() for _ in examples]
    going = list(range(len(examples)))
    while going and max(map(len, written)) < 16:
        ids, mask = _padded([[*examples[place].context, BECAUSE, *written[place]] for place in going])
        logits = writer.cls(_states(writer, ids, mask)[torch.arange(len(going)), mask.sum(1) - 1])
        tokens = torch.multinomial(logits.softmax(-1), 1, generator=noise)[:, 0]
        for place, token in zip(going, tokens.tolist(), strict=True):
            written[place].append(token)
        going = [place for place in going if written[place][-1] != STOP]
    return [
        each._replace(explanation=tuple(token for token in text if token >= SPECIAL))
        for each, text in zip(examples, written, strict=True)
    ]


@torch.no_grad()
def probabilities(model: Any, tasks: Sequence[Task]) -> Tensor:
    """The probability of each label among the labels, (tasks, labels)."""
    parts = [_slots(model, tasks[start : start + 128]).softmax(-1) for start in range(0, len(tasks), 128)]
    return torch.cat(parts)


def accuracy(model: Any, tasks: Sequence[Task]) -> float:
    labels = torch.tensor([example.label for example, _ in tasks])
    return float((probabilities(model, tasks).argmax(-1) == labels).float().mean())


def _slots(model: Any, tasks: Sequence[Task]) -> Tensor:
    """The logits of the labels' words: in the place of a mask, or after the last token."""
    end = [MASK] if kind_of(model) == "masked" else []
    ids, mask = _padded([[*prompt(*task), *end] for task in tasks])
    logits: Tensor = model.cls(_states(model, ids, mask)[torch.arange(len(tasks)), mask.sum(1) - 1])
    return logits[:, list(LABELS)]


def _states(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """The last hidden states. `model.cls` maps them to logits, which takes most of the time, so only where needed."""
    states: Tensor = model.bert(input_ids=ids, attention_mask=mask).last_hidden_state
    return states


def _padded(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, texts))
    ids = torch.tensor([[*text, *[PAD] * (longest - len(text))] for text in texts])
    return ids, torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])


def _optimizer(model: Any, rate: float, steps: int) -> tuple[Any, Any]:
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    warm = max(1, steps // 10)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, 1 - step / steps)
    )


def _step(loss: Tensor, model: Any, optimizer: Any, schedule: Any) -> None:
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    schedule.step()
