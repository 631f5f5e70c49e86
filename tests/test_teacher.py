"""The mini teacher: it answers from the prompt alone, as an LLM would, in the small world's own words."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import get_args

import pytest

from fathom import engines, prompts
from fathom.data.records import Comparison
from fathom.engines import EngineError, Request, Sampling
from fathom.judges.mix import MixJudge, Style
from fathom.lab import world
from fathom.lab.teacher import Teacher
from fathom.rationale import parse, render
from fathom.synth.merging import normalise

ITEMS = world.items(40, seed=1)


def asked(teacher: Teacher, item: world.Item, style: Style, sample: int = 0) -> str:
    return told(teacher, MixJudge(style=style).ask(item.comparison)[0]["content"], sample)


def told(teacher: Teacher, prompt: str, sample: int = 0) -> str:
    request = Request(({"role": "user", "content": prompt},), Sampling(temperature=0.8), sample)
    return asyncio.run(teacher.complete(request)).text


@pytest.mark.parametrize("item", ITEMS[:6], ids=lambda item: item.domain)
def test_every_style_of_judge_gets_what_the_world_says(item: world.Item) -> None:
    fitting = "depth" if item.domain == "correctness" else "breadth"
    for style, meant in (("breadth", "breadth"), ("depth", "depth"), ("mix", fitting)):
        expected = world.rationale(item, meant, random.Random(0))  # type: ignore[arg-type]
        assert parse(asked(Teacher(), item, style)).rationale == expected  # type: ignore[arg-type]


def test_a_sample_is_fixed_by_its_number_and_differs_from_the_next() -> None:
    texts = [[asked(Teacher(), item, "vanilla", sample) for sample in (0, 0, 1)] for item in ITEMS]
    assert all(first == again for first, again, _ in texts)
    assert any(first != other for first, _, other in texts)


def test_messy_answers_say_the_same_in_another_form() -> None:
    readings = [parse(asked(Teacher(messiness=1), item, "vanilla")).rationale for item in ITEMS]
    assert {rationale.verdict for rationale in readings} == {"A", "B"}
    assert 0 < sum(bool(rationale.units) for rationale in readings) < len(ITEMS)  # prose holds none
    for item, rationale in zip(ITEMS, readings, strict=True):
        for unit in rationale.units:
            assert replace(unit, principle=normalise(unit.principle)) == world.unit_at_sight(
                item, normalise(unit.principle)
            )


def is_canonical(text: str) -> bool:
    rationale = parse(text).rationale
    return render(rationale) == text and all(unit.principle in world.PRINCIPLES for unit in rationale.units)


def test_messiness_is_the_share_of_answers_that_are_not_canonical() -> None:
    texts = [asked(Teacher(messiness=0.25), item, "vanilla", sample) for item in ITEMS for sample in range(25)]
    messy = sum(not is_canonical(text) for text in texts)
    assert 180 < messy < 320  # of 1000 draws; the standard deviation is 14


def test_prose_is_standardised_into_the_units_it_tells_of() -> None:
    text = "On clarity I see A 3 B 5 so B is ahead.\nOn warmth I see A 2 B 1 so A is ahead.\nMy final verdict is: [[B]]"
    made = parse(told(Teacher(), prompts.render("synth/standardise", evaluation=text))).rationale
    assert [(u.principle, u.judgment, u.sub_verdict) for u in made.units] == [
        ("clarity", "A 3 B 5", "B"),
        ("warmth", "A 2 B 1", "A"),
    ]
    assert made.verdict == "B"


def test_a_mistaken_solution_is_written_and_judged_against() -> None:
    for item in (item for item in ITEMS if item.domain == "correctness"):
        made = parse(asked(Teacher(mistakes=1), item, "depth")).rationale
        value = int(made.trace.split()[-1])
        assert value != item.expression.value
        assert made.units == (world.solved_unit(item, value),)
        assert made.verdict == ("AB"[item.answers.index(value)] if value in item.answers else None)


def test_it_knows_its_own_world_and_says_so_elsewhere() -> None:
    elsewhere = Comparison(id="1", prompt="Write a poem.", responses=("Roses are red.", "Violets are blue."))
    for style in get_args(Style)[:4]:
        with pytest.raises(EngineError, match="small world"):
            told(Teacher(), MixJudge(style=style).ask(elsewhere)[0]["content"])
    with pytest.raises(EngineError, match="does not know this prompt"):
        told(Teacher(), "Hello!")


def test_words_inside_a_fence_do_not_change_the_step() -> None:
    item = ITEMS[0].comparison
    posing = item.model_copy(update={"responses": tuple(f"{text}\nChoose the principle" for text in item.responses)})
    plain_prompt, posing_prompt = (MixJudge(style="breadth").ask(each)[0]["content"] for each in (item, posing))
    assert told(Teacher(), posing_prompt) == told(Teacher(), plain_prompt)


def test_another_wording_of_the_prompt_changes_no_draw() -> None:
    prompts_of = [MixJudge(style="vanilla").ask(item.comparison)[0]["content"] for item in ITEMS]
    texts = [told(Teacher(messiness=0.5), prompt) for prompt in prompts_of]
    assert [told(Teacher(messiness=0.5), f"Please read on.\n{prompt}") for prompt in prompts_of] == texts
    assert [told(Teacher(messiness=0.5), prompt, sample=1) for prompt in prompts_of] != texts


def test_it_is_opened_by_name() -> None:
    assert engines.open("mini-teacher", mistakes=0.5) == Teacher(mistakes=0.5)
