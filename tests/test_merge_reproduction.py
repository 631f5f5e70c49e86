"""DogeRM in a world of facts: the world, and the arithmetic of its claims."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch

import fresh
from fathom.lab import facts
from fathom.lab.experiments.results import Row
from fathom.lab.reproductions import merge as reproduction
from fathom.lab.reproductions.merge import PARTNERS

SETTINGS = reproduction.EXPERIMENT.settings
SMALL = replace(SETTINGS, entities=16, width=32, layers=2, base_steps=150, language_steps=100, reward_steps=100)
WORLD = facts.make_world(SMALL, 0)


def test_every_fact_is_of_one_domain_and_halves_share_no_entity() -> None:
    entities = [entity for domain in facts.DOMAINS for entity in WORLD.facts[domain]]
    assert len(set(entities)) == len(entities) == 3 * SMALL.entities
    first, second = facts.halves(WORLD, "b")
    assert sorted([*first, *second]) == sorted(WORLD.facts["b"])
    assert len(first) == len(second) == SMALL.entities // 2


def test_pairs_are_each_fact_with_every_false_statement_on_its_entity() -> None:
    found = facts.pairs(WORLD, "a", list(WORLD.facts["a"]))
    assert len(set(found)) == len(found) == SMALL.entities * (SMALL.attributes - 1)
    for pair in found:
        assert pair.true[:2] == pair.false[:2]
        assert WORLD.facts["a"][pair.true[0]] == pair.true[2] != pair.false[2]
        assert 2 <= pair.false[2] < 2 + WORLD.attributes


def test_the_base_knows_domain_a_alone_and_a_language_model_what_it_read() -> None:
    base = facts.pretrained(WORLD, SMALL, 0)
    assert facts.knows(base, WORLD, "a") > 0.9
    assert facts.knows(base, WORLD, "b") < 0.5
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    assert facts.knows(facts.continued(base, WORLD, "b", SMALL, 0), WORLD, "b") > 0.9
    assert all(torch.equal(weight, before[name]) for name, weight in base.state_dict().items())


def test_a_base_knows_the_domains_that_it_read() -> None:
    base = facts.pretrained(WORLD, SMALL, 0, known=("a", "b"))
    assert min(facts.knows(base, WORLD, domain) for domain in ("a", "b")) > 0.9
    assert facts.knows(base, WORLD, "c") < 0.5


def test_the_whole_path_runs(tmp_path: Path) -> None:
    tiny = replace(SMALL, base_steps=2, language_steps=2, reward_steps=2, weights=[0.0, 0.5, 1.0])
    for part in reproduction.EXPERIMENT.parts:
        reproduction.run(part, 0, tiny, tmp_path)
    measured = reproduction.measure(0, tiny, tmp_path)
    assert measured.figures["sweep"]["fitting"]["0.0"] == measured.figures["alone"]
    assert measured.figures["sweep"]["foreign"]["0.0"] == measured.figures["alone"]


def measurements(gain: float, harm: float, unrelated: float, foreign: float, usable: float = 0.35) -> list[Row]:
    """Accuracies at three weights; the best one for domain B is 0.5."""

    def of(seed: int) -> dict[str, dict[str, dict[str, float]]]:
        noise = random.Random(seed).uniform(-0.01, 0.01)

        def at(weight: float, b: float, a: float) -> dict[str, float]:
            part = 1 - abs(2 * weight - 1)
            return {"a": 1 - part * a, "b": 0.5 + part * (b + noise), "chosen on": 0.5 + part * max(b, 0.01)}

        shapes = {"fitting": (gain, harm), "unrelated": (unrelated, harm), "foreign": (0.0, foreign)}
        return {part: {str(w): at(w, *shape) for w in (0.0, 0.5, 1.0)} for part, shape in shapes.items()}

    known = {part: {"a": 1.0, "b": 1.0, "c": 0.1} for part in reproduction.EXPERIMENT.parts}
    similarity = {"fitting": 0.9, "unrelated": 0.9, "foreign": 0.1}
    control = {"a": 0.9, "b": 0.5 + usable}
    return fresh.rows(reproduction.measured(of(seed), control, known, similarity) for seed in range(10))


def test_the_claims_hold_if_a_merge_brings_knowledge_and_fail_if_it_does_not() -> None:
    found = fresh.holding(reproduction.EXPERIMENT, measurements(0.3, 0.02, 0.0, 0.4))
    assert found == dict.fromkeys(found, True)
    found = fresh.holding(reproduction.EXPERIMENT, measurements(0.0, 0.2, 0.0, 0.2, usable=0.1))
    assert found == dict.fromkeys(found, False)


def test_the_page_shows_every_partner(tmp_path: Path) -> None:
    text = fresh.page(reproduction.EXPERIMENT, measurements(0.3, 0.02, 0.0, 0.4), tmp_path)
    assert all(f"Merged with a language model that {words}" in text for words in PARTNERS.values())


def test_the_page_says_which_merges_the_library_would_refuse_and_where_nothing_is_merged(tmp_path: Path) -> None:
    text = " ".join(fresh.page(reproduction.EXPERIMENT, measurements(0.3, 0.02, 0.0, 0.4), tmp_path).split())
    assert text.count("it would refuse this merge on 0 of 10 seeds") == 2
    assert text.count("it would refuse this merge on 10 of 10 seeds") == 1
    assert "nothing is merged, on 0 of 10 seeds" in text
