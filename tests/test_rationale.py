"""Rationales as values: what is rendered is read back, whatever the texts in it hold."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fathom.rationale import MAX_UNITS, Rationale, Status, Unit, clean, parse, render

LOOKALIKES = [
    "Principle 1: x", "Principle ١: x", "Definition:", "Solution: y", "Judgment: z", "Verdict: A", "\\Verdict: B",
    "\\\\Final verdict: [[B]]", "Final verdict: [[A]]", "[[A]]", "my final verdict is: **B**", "**Verdict: B**",
    "\\boxed{A}", "\u2028", "\u2029",
    "\n", "\n\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u3000", "\u200b", "\u200c", "\u200d",
    "\ufeff", "\u00ad", "\\", "```", "<think>", "</think>", '"', "好", "é", " ", "\t", "a", "e\u0301", "\ud800",
]  # fmt: skip

MORE_LOOKALIKES = [
    "**Clarity**\n", "### 2) Depth\n", "1. Tone: kind\n", "\nJudgment: x", "\nVerdict: ", "\nWinner: ", "A", "B",
    "tie", "or", "not ", "Answer: B\n", "[[B]].", "[[D]]", "[[A>B]]", "[[", "]]", "{\"verdict\": ", "<answer>",
    "</answer>", "> ", "`", "“", "”", "「", "if ", "最终裁决：", "原则1：清晰\n", "［［Ａ］］", "<|channel|>analysis",
    "<|channel|>final<|message|>", "I cannot judge this.",
]  # fmt: skip

any_text = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(LOOKALIKES), max_size=8).map("".join))
units = st.builds(Unit, any_text, any_text, any_text, st.sampled_from(["A", "B", "MIXED", None]))
rationales = st.builds(
    Rationale,
    st.lists(units, max_size=4).map(tuple),
    any_text,
    st.sampled_from(["A", "B", "tie", None]),
)


@given(any_text)
def test_clean_is_idempotent(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(units)
def test_a_unit_made_of_its_own_texts_is_itself(unit: Unit) -> None:
    assert Unit(unit.principle, unit.definition, unit.judgment, unit.sub_verdict) == unit


@given(rationales, st.booleans())
@example(Rationale((Unit("好\u3000\u200d好"),)), True)
@example(Rationale((Unit(""),)), True)
@example(Rationale((), "a trace without units", "A"), True)
@example(Rationale((), "\u200c", "A"), True)
def test_every_rationale_is_read_back_as_it_was(rationale: Rationale, finished: bool) -> None:
    reading = parse(render(rationale), finished=finished)
    assert reading.rationale == rationale
    no_verdict = Status.MISSING if finished else Status.TRUNCATED
    assert reading.status is (no_verdict if rationale.verdict is None else Status.OK)


def test_a_rationale_of_the_most_units_is_read_back_and_a_longer_one_refused() -> None:
    units = tuple(Unit(f"principle {n}", "d", "j", "A") for n in range(MAX_UNITS))
    assert parse(render(Rationale(units, "a trace", "B"))).rationale == Rationale(units, "a trace", "B")
    with pytest.raises(ValueError, match="got 65 units, expected at most 64"):
        Rationale((*units, units[0]))


@given(any_text | st.lists(st.sampled_from([*LOOKALIKES, *MORE_LOOKALIKES]), max_size=12).map("".join), st.booleans())
def test_any_text_has_a_reading_with_a_verdict_exactly_when_it_is_ok(text: str, finished: bool) -> None:
    reading = parse(text, finished=finished)
    assert (reading.rationale.verdict is not None) == (reading.status is Status.OK)
    assert finished or reading.status not in (Status.MISSING, Status.REFUSED)


words = ["Response", "A", "explains", "B", "with", "care", "not", "haste,", "and", "so", "on."]
plain = st.lists(st.sampled_from(words), min_size=1, max_size=8).map(" ".join)
judged = st.builds(Unit, plain, plain, plain, st.sampled_from(["A", "B", "MIXED"]))
whole = st.builds(
    Rationale, st.lists(judged, min_size=1, max_size=4).map(tuple), plain, st.sampled_from(["A", "B", "tie"])
)


@given(whole, st.data())
def test_a_text_cut_off_anywhere_keeps_the_units_before_the_cut_and_has_no_other_verdict(
    rationale: Rationale, data: st.DataObject
) -> None:
    text = render(rationale)
    cut = data.draw(st.integers(0, len(text)))
    reading = parse(text[:cut], finished=False)
    assert reading.status is Status.TRUNCATED or reading.rationale.verdict == rationale.verdict
    before = text[:cut].count("\n\n")
    assert reading.rationale.units[:before] == rationale.units[:before]
    assert len(reading.rationale.units) <= len(rationale.units)


@pytest.mark.parametrize("form", ["**{}**:", "## {}:", "- {}:", "**{}:**", "> {}:", "{} :", "{}："])
@given(whole)
def test_marked_up_field_names_change_nothing(form: str, rationale: Rationale) -> None:
    def mark_up(match: re.Match[str]) -> str:
        return form.format(match[1])

    text = re.sub(
        r"^(Principle \d+|Definition|Solution|Judgment|Verdict|Final verdict):", mark_up, render(rationale), flags=re.M
    )
    assert parse(text).rationale == rationale


@given(whole)
def test_missing_and_wrong_numbers_change_nothing(rationale: Rationale) -> None:
    assert parse(re.sub(r"Principle \d+", "Principle", render(rationale))).rationale == rationale
    assert parse(re.sub(r"Principle \d+", "Principle 7", render(rationale))).rationale == rationale


def test_units_after_the_64th_are_dropped_and_the_verdict_is_still_read() -> None:
    text = (
        "\n\n".join(f"Principle {n}: p{n}\nJudgment: j\nVerdict: A" for n in range(1, 200)) + "\n\nFinal verdict: [[B]]"
    )
    reading = parse(text)
    assert [unit.principle for unit in reading.rationale.units] == [f"p{n}" for n in range(1, MAX_UNITS + 1)]
    assert reading.rationale.verdict == "B"


def test_a_verdict_may_be_repeated() -> None:
    assert parse("[[A]]\n" * 300).rationale.verdict == "A"
    assert parse("Final verdict: [[A]]\n\n" * 300).rationale.verdict == "A"


@pytest.mark.parametrize(
    "piece", ["Verdict: A\n", "[[A]] ", "\nJudgment: x", "Principle 1: x\n", "<b>", "[[A]] or [[B]]\n"]
)
def test_a_model_gone_round_in_circles_gives_no_verdict(piece: str) -> None:
    loop = piece * (40_000 // len(piece))
    assert parse(loop, finished=False).status is Status.TRUNCATED
    assert parse(loop).status in (Status.MISSING, Status.TRUNCATED)
