"""Single sentences around a verdict: those that take it away, and those that leave it alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fathom.data.records import Comparison
from fathom.judges import find
from fathom.rationale import Status, parse

PHRASES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "phrases.yaml").read_text(encoding="utf-8"))
VERDICTS = [
    "Final verdict: [[A]]\n\n{}",
    "Response A is right about the dates. [[A]]\n\n{}",
    "**Final verdict: A**\n\n{}",
    "Final verdict: [[A]]. {}",
]


def verdict(text: str) -> str | None:
    return parse(text).rationale.verdict


@pytest.mark.parametrize("form", VERDICTS)
def test_a_verdict_that_is_taken_back_in_any_words_is_none(form: str) -> None:
    assert len(PHRASES["taken_back"]) >= 380
    assert [phrase for phrase in PHRASES["taken_back"] if verdict(form.format(phrase))] == []


@pytest.mark.parametrize("form", VERDICTS)
def test_a_remark_after_a_verdict_leaves_it_alone(form: str) -> None:
    assert len(PHRASES["stands"]) >= 250
    assert [phrase for phrase in PHRASES["stands"] if verdict(form.format(phrase)) != "A"] == []


def test_a_verdict_that_is_only_mentioned_is_none_and_is_not_held_against_the_one_that_is_given() -> None:
    before = "Response A is long. Response B is short.\n\n"
    assert len(PHRASES["mentioned"]) >= 300
    assert [phrase for phrase in PHRASES["mentioned"] if verdict(before + phrase)] == []
    after = "\n\nFinal verdict: [[A]]"
    assert [phrase for phrase in PHRASES["mentioned"] if verdict(before + phrase + after) != "A"] == []


def test_a_verdict_is_given_in_many_words() -> None:
    before = "Response A is long. Response B is short.\n\n"
    assert len(PHRASES["given"]) >= 95
    assert [phrase for phrase in PHRASES["given"] if verdict(before + phrase) != "B"] == []


def test_a_letter_of_an_option_is_no_verdict() -> None:
    assert len(PHRASES["options_of_the_task"]) >= 60
    assert [text for text in PHRASES["options_of_the_task"] if verdict(text)] == []


def test_an_answer_line_is_a_verdict_where_the_task_has_no_options_or_another_kind_stands() -> None:
    assert len(PHRASES["answers_without_options"]) >= 20
    assert [text for text in PHRASES["answers_without_options"] if verdict(text) is None] == []


def test_objects_calls_tables_relations_and_anchors_name_the_winner() -> None:
    assert len(PHRASES["names_b"]) >= 110
    assert [text for text in PHRASES["names_b"] if verdict(text) != "B"] == []


def test_what_only_looks_like_one_of_them_names_nobody() -> None:
    assert len(PHRASES["names_nothing"]) >= 75
    assert [text for text in PHRASES["names_nothing"] if verdict(text)] == []


def followed() -> Iterator[tuple[str, str, bool, Status]]:
    for group in PHRASES["judges"]:
        judge = find(group["judge"])(**group.get("settings", {}))
        responses = ("It is 4.",) if judge.arity == "pointwise" else ("It is 4.", "It is 5.")
        comparison = Comparison(id="1", prompt="2 + 2?", responses=responses, reference="4")
        for phrase in group["followed_by"]:
            status = judge.read(group["text"].replace("{}", phrase), comparison).status
            yield group["judge"], phrase, group["stands"], status


def test_what_follows_a_score_a_word_or_a_mark_takes_it_back_or_leaves_it_alone() -> None:
    said = list(followed())
    assert len(said) >= 205
    assert [each for each in said if (each[-1] is Status.OK) != each[-2]] == []
