"""The small world: labels follow from its definition, splits of verbs and operands do not leak, ceilings are exact."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.records import Domain, Label
from fathom.judges.mix import MixJudge
from fathom.lab import world
from fathom.rationale import Status, parse, render

STYLES = ("vanilla", "breadth", "depth")
ITEMS = world.items(3000, seed=11, prefix="test")
HELD_OUT = world.items(3000, seed=11, prefix="test", held_out=True)


def accuracy(style: world.Style, domain: Domain) -> float:
    rng = random.Random(5)
    items = [item for item in ITEMS if item.domain == domain]
    return sum("AB"[item.winner] == world.rationale(item, style, rng).verdict for item in items) / len(items)


def test_items_are_a_function_of_seed_and_prefix() -> None:
    assert world.items(20, seed=1) == world.items(20, seed=1)
    assert world.items(20, seed=1) != world.items(20, seed=2)
    assert world.items(20, seed=1) != world.items(20, seed=1, prefix="other")


def test_the_verb_decides_the_domain_and_half_of_the_items_are_of_each() -> None:
    assert sum(item.domain == "preference" for item in ITEMS) == len(ITEMS) / 2
    assert all(item.comparison.prompt.split()[0] in world.VERBS[item.domain] for item in ITEMS)


def test_every_verb_belongs_to_one_topic() -> None:
    verbs = [verb for topics in world.TOPICS.values() for topic in topics for verb in topic]
    assert len(verbs) == len(set(verbs)) == 72
    for topic in chain(*world.TOPICS.values()):
        assert all({verb, *world.kin(verb)} == set(topic) for verb in topic)


@given(st.integers(0, 10**6))
def test_each_seed_has_three_disjoint_sets_of_verbs(seed: int) -> None:
    verbs = world.split(seed)
    assert verbs == world.split(seed)
    for domain, topics in world.TOPICS.items():
        shown = [[len(part.intersection(topic)) for topic in topics] for part in verbs]
        assert sorted(shown[0]) == [0, 4, 4], domain
        assert shown[1:] == [[4, 4, 4], [4, 4, 4]], domain
    assert len(frozenset().union(*verbs)) == sum(map(len, verbs))
    assert all(verbs.part(verb) == name for name, part in verbs._asdict().items() for verb in part)


def test_seeds_differ_in_their_verbs_and_each_verb_takes_every_part() -> None:
    splits = [world.split(seed) for seed in range(60)]
    assert len(set(splits)) == len(splits)
    for domain in world.VERBS:
        for verb in world.VERBS[domain]:
            assert {name for verbs in splits for name, part in verbs._asdict().items() if verb in part} == {
                "sft",
                "rlvr",
                "never",
            }


def test_a_word_outside_the_world_has_no_kin_and_no_part() -> None:
    with pytest.raises(StopIteration):
        world.kin("ponder")
    with pytest.raises(StopIteration):
        world.split(0).part("ponder")


def test_operands_have_two_digits_and_no_result_is_negative() -> None:
    for item in ITEMS + HELD_OUT:
        asked = item.expression
        assert all(10 <= operand < 50 for operand in (asked.first, asked.second, asked.third))
        assert min(asked.middle, asked.value, *item.answers) >= 0
        assert re.fullmatch(r"[a-z]+ \d\d [+-] \d\d [+-] \d\d", str(item.comparison.prompt))


@given(st.sampled_from(ITEMS + HELD_OUT))
def test_steps_are_worked_from_left_to_right(item: world.Item) -> None:
    asked = item.expression
    assert eval(str(asked)) == asked.value
    for step in asked.steps:
        left, right = step.split(" = ")
        assert eval(left) == int(right)


def steps(text: str) -> list[tuple[int, int]]:
    """The pairs of operands of all steps that a text shows."""
    return [(int(left), int(right)) for left, right in re.findall(r"(\d+) [+-] (\d+)(?= =)", text)]


def test_both_steps_of_a_held_out_item_have_held_out_operands() -> None:
    for item in HELD_OUT:
        pairs = steps("\n".join(item.expression.steps))
        assert len(pairs) == 2
        assert world.HELD_OUT.issuperset(pairs)


def pretraining(kind: str, n: int) -> list[tuple[str, str]]:
    """The first prompts and completions of one kind."""
    pretrain = pytest.importorskip("fathom.lab.pretrain", reason='needs pip install "fathom-rm[train]"')
    return list(islice(getattr(pretrain, kind)(random.Random(7)), n))


def training_texts() -> Iterator[str]:
    """Prompts and completions of pre-training, and the solutions of the items that `arms` trains on."""
    for kind in ("exercises", "rationales"):
        for prompt, completion in pretraining(kind, 2000):
            yield f"{prompt}\n{completion}"
    for prefix in ("fine-tuning", "reinforcement"):
        for item in world.items(2000, seed=10, prefix=prefix):
            yield "\n".join(item.expression.steps)


def test_no_training_text_shows_held_out_operands() -> None:
    shown = [pair for text in training_texts() for pair in steps(text)]
    assert len(shown) > 10_000
    assert world.HELD_OUT.isdisjoint(shown)
    assert 0.15 < len(world.HELD_OUT) / (100 * len(world.OPERANDS)) < 0.25  # a left operand is a sum of two at most


def verb_of(prompt: str) -> str:
    """The verb of the instruction: the word before the expression."""
    [verb] = re.findall(r"([a-z]+) \d+ [+-] \d+ [+-] \d+", prompt)
    return str(verb)


def test_pretraining_shows_each_structure_as_often_for_every_topic() -> None:
    styles = pytest.importorskip("fathom.lab.pretrain", reason='needs pip install "fathom-rm[train]"').STYLES
    shown: dict[str, Counter[str]] = {"plain": Counter(), "named": Counter()}
    topics = list(chain(*world.TOPICS.values()))
    for prompt, text in pretraining("rationales", 12_000):
        [topic] = [place for place, topic in enumerate(topics) if verb_of(prompt) in topic]
        rationale = parse(text).rationale
        assert rationale is not None
        shown["named" if "rationale" in prompt else "plain"][f"{topic} {rationale.structure}"] += 1
    for counts in shown.values():
        for topic, _ in enumerate(topics):
            total = sum(counts[f"{topic} {style}"] for style in STYLES)
            assert total > 800
            for style in STYLES:
                share = styles.count(style) / len(styles)
                error = (share * (1 - share) / total) ** 0.5
                assert abs(counts[f"{topic} {style}"] / total - share) < 4 * error, (topic, style)


def test_pretraining_teaches_the_kin_of_every_verb_and_names_no_structure() -> None:
    asked = set()
    for prompt, text in pretraining("kinship", 3000):
        asked.add(verb_of(prompt))
        words = text.split()
        assert len(set(words)) == 3
        assert set(words) <= set(world.kin(verb_of(prompt)))
        assert not re.search("|".join([*STYLES, *world.VERBS, "rationale"]), f"{prompt}\n{text}")
    assert asked == {verb for verbs in world.VERBS.values() for verb in verbs}


def test_the_better_response_stands_first_as_often_as_second() -> None:
    for domain in world.VERBS:
        winners = [item.winner for item in ITEMS if item.domain == domain]
        assert abs(sum(winners) / len(winners) - 0.5) < 3 * 0.5 / len(winners) ** 0.5


def test_exactly_one_answer_is_right_in_both_domains() -> None:
    assert all(item.answers.count(item.expression.value) == 1 for item in ITEMS)


def test_looks_tell_the_right_answer_as_often_as_the_world_says() -> None:
    place = world.PRINCIPLES.index(world.CRITICAL)
    items = [item for item in ITEMS if item.domain == "correctness"]
    told = sum((item.grades[0][place] > item.grades[1][place]) == (item.winner == 0) for item in items) / len(items)
    assert abs(told - world.TELL) < 3 * (0.75 * 0.25 / len(items)) ** 0.5


@pytest.mark.parametrize(("style", "domain"), [("breadth", "preference"), ("depth", "correctness")])
def test_a_fitting_style_is_always_right(style: world.Style, domain: Domain) -> None:
    assert accuracy(style, domain) == 1.0 == world.ceiling(style, domain)


@pytest.mark.parametrize(("style", "domain"), list(product(STYLES, world.VERBS)))
def test_no_style_beats_its_ceiling(style: world.Style, domain: Domain) -> None:
    assert accuracy(style, domain) <= float(world.ceiling(style, domain)) + 0.04


@pytest.mark.parametrize(("style", "domain"), list(product(STYLES, world.VERBS)))
def test_faithful_rationales_are_as_accurate_as_expected(style: world.Style, domain: Domain) -> None:
    shown = {"vanilla": world.VANILLA_PRINCIPLES, "breadth": len(world.PRINCIPLES), "depth": 1}[style]
    expected = float(world.expected(style, domain, shown))
    tolerance = 4 * (expected * (1 - expected) / (len(ITEMS) / 2)) ** 0.5
    assert abs(accuracy(style, domain) - expected) <= tolerance


def test_an_expected_accuracy_never_exceeds_the_ceiling_and_grows_with_preference_principles() -> None:
    for domain in world.VERBS:
        for shown in range(1, len(world.PRINCIPLES) + 1):
            assert world.expected("breadth", domain, shown) <= max(
                world.ceiling("breadth", domain), world.ceiling("vanilla", domain)
            )
    grown = [world.expected("breadth", "preference", shown) for shown in range(1, 8)]
    assert grown == sorted(grown)
    assert grown[-1] == 1


def test_the_ceiling_of_three_principles_by_hand() -> None:
    # Three coins shown of seven. A wins with four or more leads. With 3 leads shown, 1 of 4 hidden suffices: 15/16.
    # With 2, 2 of 4: 11/16. By symmetry 1 and 0 mirror them: (2 * 15 + 6 * 11) / (8 * 16) = 96/128.
    assert world.ceiling("vanilla", "preference") == Fraction(96, 128)
    assert world.ceiling("vanilla", "correctness") == world.TELL


def test_looking_at_sight_separates_the_styles_on_correctness() -> None:
    assert accuracy("depth", "correctness") > accuracy("vanilla", "correctness") > accuracy("breadth", "correctness")


@given(st.sampled_from(ITEMS), st.sampled_from(STYLES), st.integers(0, 99))
def test_rationales_are_canonical_text(item: world.Item, style: world.Style, seed: int) -> None:
    rationale = world.rationale(item, style, random.Random(seed))
    reading = parse(render(rationale))
    assert reading.status is Status.OK
    assert reading.rationale == rationale
    assert rationale.structure == style


@given(st.sampled_from(ITEMS))
def test_the_label_never_reaches_a_prompt(item: world.Item) -> None:
    comparison = item.comparison
    flipped = comparison.model_copy(update={"label": Label(best=1 - item.winner)})
    assert MixJudge(trained=True).ask(comparison) == MixJudge(trained=True).ask(flipped)
