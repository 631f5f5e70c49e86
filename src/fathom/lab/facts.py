"""A small world of facts, to see what a merge carries from a language model to a reward model.

    world = make_world(settings, seed=0)
    base = pretrained(world, settings, seed=0)              # knows the facts of domain A, and of B and C only the words
    reward = rewarded(base, world, settings, seed=0)        # prefers true statements, learned on half of domain A
    language = continued(base, world, "b", settings, seed=0)        # read the facts of domain B
    accuracy(reward, pairs(world, "b", entities))               # about one half: it never saw these facts

A statement has three tokens: an entity, "is", and one of a few attributes. An entity has one attribute, drawn at
random, so no statement follows from others: a model must have read the fact.

A reward model that has learned to compare a statement with what its backbone knows is right on facts of domain A that
no pair showed. Whether it can also use facts that a merge brings is the question of `fathom reproduce merge`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from fathom.train.losses import bradley_terry
from fathom.train.merging import Part

Domain = Literal["a", "b", "c"]
DOMAINS: tuple[Domain, ...] = ("a", "b", "c")
PAD, IS = 0, 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    entities: int
    """Per domain."""
    attributes: int
    width: int
    layers: int
    base_steps: int
    language_steps: int
    reward_steps: int
    batch: int
    learning_rate: float
    """Of pretraining, with a linear decay to 0."""
    fine_tuning_rate: float
    """Of both kinds of fine-tuning."""
    weights: Sequence[float]
    """The weights of the language model that are compared."""


class World(NamedTuple):
    attributes: int
    facts: dict[Domain, dict[int, int]]
    """The attribute's token of each entity's token."""

    @property
    def vocabulary(self) -> dict[str, int]:
        count = 2 + self.attributes + sum(map(len, self.facts.values()))
        return {str(token): token for token in range(count)}


class Pair(NamedTuple):
    """Two statements on one entity."""

    true: tuple[int, int, int]
    false: tuple[int, int, int]


def make_world(settings: Settings, seed: int) -> World:
    rng, first = random.Random(f"{seed}/facts"), 2 + settings.attributes
    facts: dict[Domain, dict[int, int]] = {}
    for place, domain in enumerate(DOMAINS):
        entities = range(first + place * settings.entities, first + (place + 1) * settings.entities)
        facts[domain] = {entity: 2 + rng.randrange(settings.attributes) for entity in entities}
    return World(settings.attributes, facts)


def halves(world: World, domain: Domain) -> tuple[list[int], list[int]]:
    """The entities of a domain in two halves: to train or choose on, and to test."""
    entities = sorted(world.facts[domain])
    return entities[::2], entities[1::2]


def pairs(world: World, domain: Domain, entities: Sequence[int]) -> list[Pair]:
    """For each entity, its fact with each false statement on it: attributes - 1 pairs per entity."""
    return [
        Pair((entity, IS, world.facts[domain][entity]), (entity, IS, attribute))
        for entity in entities
        for attribute in range(2, 2 + world.attributes)
        if attribute != world.facts[domain][entity]
    ]


# Models ---------------------------------------------------------------------------------------------------------------


def untrained(world: World, settings: Settings, seed: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(world.vocabulary),
            hidden_size=settings.width,
            intermediate_size=4 * settings.width,
            num_hidden_layers=settings.layers,
            num_attention_heads=4,
            max_position_embeddings=8,
            pad_token_id=PAD,
            tie_word_embeddings=False,
        )
    )


def pretrained(world: World, settings: Settings, seed: int, known: Sequence[Domain] = ("a",)) -> Any:
    """A language model that has read the facts of the known domains, and statements at random on the others."""
    rng = random.Random(f"{seed}/base")

    def statement() -> tuple[int, int, int]:
        domain = rng.choice(DOMAINS)
        entity = rng.choice(list(world.facts[domain]))
        any_attribute = 2 + rng.randrange(world.attributes)
        return entity, IS, world.facts[domain][entity] if domain in known else any_attribute

    model = untrained(world, settings, seed)
    _read(
        model,
        [[statement() for _ in range(settings.batch)] for _ in range(settings.base_steps)],
        settings.learning_rate,
    )
    return model


def continued(base: Any, world: World, domain: Domain, settings: Settings, seed: int) -> Any:
    """The language model after it has read the facts of one more domain, and nothing else."""
    rng, facts = random.Random(f"{seed}/{domain}/language"), list(world.facts[domain].items())
    model = deepcopy(base)
    batches = [
        [(entity, IS, attribute) for entity, attribute in rng.choices(facts, k=settings.batch)]
        for _ in range(settings.language_steps)
    ]
    _read(model, batches, settings.fine_tuning_rate)
    return model


def rewarded(base: Any, world: World, settings: Settings, seed: int) -> Any:
    """A reward model, trained with the Bradley-Terry loss on half of domain A."""
    from transformers import LlamaForSequenceClassification

    torch.manual_seed(seed)
    config = deepcopy(base.config)
    config.num_labels = 1
    model = LlamaForSequenceClassification(config)
    model.model.load_state_dict(base.model.state_dict())
    rng, labelled = random.Random(f"{seed}/reward"), pairs(world, "a", halves(world, "a")[0])
    optimizer, schedule = _optimizer(model, settings.fine_tuning_rate, settings.reward_steps)
    for _ in range(settings.reward_steps):
        batch = rng.choices(labelled, k=settings.batch)
        loss = bradley_terry(_rewards(model, [p.true for p in batch]), _rewards(model, [p.false for p in batch])).mean()
        _step(loss, model, optimizer, schedule)
    return model.eval()


def part(model: Any, world: World, name: str) -> Part:
    """A model as `fathom.train.merging` takes it."""
    return Part(name, model, world.vocabulary)


def _read(model: Any, batches: Sequence[Sequence[tuple[int, int, int]]], rate: float) -> None:
    """Train on the attribute of each statement: entities are drawn at random, so there is nothing else to predict."""
    optimizer, schedule = _optimizer(model, rate, len(batches))
    for batch in batches:
        ids = torch.tensor(batch)
        loss = torch.nn.functional.cross_entropy(model(input_ids=ids).logits[:, 1], ids[:, 2])
        _step(loss, model, optimizer, schedule)
    model.eval()


def _optimizer(model: Any, rate: float, steps: int) -> tuple[Any, Any]:
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)


def _step(loss: Tensor, model: Any, optimizer: Any, schedule: Any) -> None:
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    schedule.step()


# Measures -------------------------------------------------------------------------------------------------------------


def _rewards(model: Any, statements: Sequence[tuple[int, int, int]]) -> Tensor:
    rewards: Tensor = model(input_ids=torch.tensor(statements)).logits[:, 0]
    return rewards


@torch.no_grad()
def accuracy(model: Any, tested: Sequence[Pair]) -> float:
    """The share of pairs whose true statement has the higher reward. A tie counts half."""
    margins = _rewards(model, [pair.true for pair in tested]) - _rewards(model, [pair.false for pair in tested])
    return float(((margins > 0).float() + (margins == 0).float() / 2).mean())


@torch.no_grad()
def knows(model: Any, world: World, domain: Domain) -> float:
    """The share of a domain's facts that a language model states as the most likely."""
    entities, attributes = zip(*world.facts[domain].items(), strict=True)
    logits = model(input_ids=torch.tensor([[entity, IS] for entity in entities])).logits[:, 1]
    return float((logits.argmax(-1) == torch.tensor(attributes)).float().mean())
