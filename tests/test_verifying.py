"""Training data of verifiers, and the small world that they are tried in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.errors import FathomError
from fathom.judges import Judge, find
from fathom.judges.s2j import S2JJudge
from fathom.judges.verifier import VerifierJudge
from fathom.lab import sums
from fathom.metrics.answers import checking
from fathom.probes.keys import keys
from fathom.synth import verifying
from fathom.synth.merging import normalise


def solution(text: str, reference: str = "12", score: float = 1.0) -> Comparison:
    return Comparison(id="s", prompt="7 + 5", responses=(text,), reference=reference, label=Label(scores=(score,)))


def truncated(text: str, reference: str = "12", score: float = 1.0) -> str | None:
    answer = verifying.Answer(solution(text, reference), right=score == 1)
    negative = verifying.truncate(answer)
    return None if negative is None else negative.comparison.responses[0]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        pytest.param("We add 7 and 5. The sum is 12.", "We add 7 and 5.", id="the first of two sentences"),
        pytest.param("Line one\nThe sum is 12.", "Line one", id="a line"),
        pytest.param("The sum is 12.", None, id="one sentence is the whole solution"),
        pytest.param("It is 12. I am sure.", None, id="a first sentence that gives the answer"),
        pytest.param("Solution:\nThe sum is 12.", None, id="a master key"),
        pytest.param("Let's solve this problem step by step. It is 12.", None, id="the paper's longest key"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_a_truncated_negative_is_the_first_sentence_of_a_right_solution(text: str, first: str | None) -> None:
    assert truncated(text) == first
    assert truncated(text, score=0.0) is None


@pytest.mark.parametrize(
    ("first", "reference"),
    [
        ("答案是十二。", "十二"),
        ("The limit is ∞.", "∞"),
        ("The sign is <.", "<"),
        ("It costs 12cm.", "12"),
        ("It is TRUE.", "true"),
        ("It is １２.", "12"),
        ("It is \\frac{1}{2}.", "\\frac{1}{2}"),
    ],
)
def test_a_first_sentence_that_holds_the_reference_is_left_out(first: str, reference: str) -> None:
    assert truncated(f"{first} So it is.", reference) is None
    assert truncated(f"{first} So it is.", "something else") == first


def test_a_longer_number_is_not_the_reference() -> None:
    assert truncated("We take 112 apart. It is 12.") == "We take 112 apart."


@pytest.mark.parametrize(
    "text",
    [
        "1. We add. It is 12.",
        "By Dr. Who it is 12.",
        "```python\nprint(12)\n```",
        "See e.g. the sum. It is 12.",
        "2) \nIt is 12.",
    ],
)
def test_what_is_no_sentence_is_left_out(text: str) -> None:
    assert truncated(text) is None


def test_no_comparisons_are_an_error() -> None:
    with pytest.raises(FathomError, match="no comparisons"):
        verifying.examples([])


@given(st.floats(0, 0.3), st.integers(0, 3))
def test_truncated_negatives_are_the_share_that_is_asked_for(share: float, seed: int) -> None:
    rows = verifying.examples(sums.comparisons(40, seed=seed), truncated=share, seed=seed)
    counts = verifying.counts(rows)
    assert counts["truncated"] == pytest.approx(share * len(rows), abs=1)
    assert (counts["YES"], counts["NO"] - counts["truncated"]) == (40, 40)


def test_no_master_key_is_a_training_response() -> None:
    rows = verifying.examples(sums.comparisons(300, seed=0), truncated=0.3)
    known = {normalise(key) for texts in keys().values() for key in texts}
    prompts = [row["prompt"][0]["content"] for row in rows]
    assert not any(normalise(prompt.split("Response:")[1].split("```")[1]) in known for prompt in prompts)


def test_too_few_solutions_to_truncate_are_told() -> None:
    with pytest.raises(FathomError, match=r"only 0 right solutions.*lower --truncated"):
        verifying.examples([solution("12")] * 9, truncated=0.5)


@pytest.mark.parametrize(
    "label", [pytest.param(None, id="none"), Label(best=0), Label(scores=(0.5,))], ids=["none", "best", "half"]
)
def test_a_label_must_say_whether_a_response_is_right(label: Label | None) -> None:
    with pytest.raises(FathomError, match=r"score of 1 \(right\) or 0"):
        verifying.examples([solution("12").model_copy(update={"label": label})])


def test_the_arm_verifier_of_synth_writes_rows_that_sft_reads(tmp_path: Path) -> None:
    source = tmp_path / "solutions.jsonl"
    rows: list[dict[str, Any]] = [
        {
            "prompt": each.prompt,
            "responses": each.responses,
            "scores": each.label.scores if each.label else None,
            "reference": each.reference,
        }
        for each in sums.comparisons(20, seed=0)
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["synth", str(source), "--arm", "verifier", "--truncated", "0.11", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "YES 20, NO 25, of which truncated 5" in done.output  # 40 rows are 89 % of 45
    from fathom.train.sft import read

    examples = list(read([tmp_path / "out" / "verifier.jsonl"]))
    assert {example.completion[0].content for example in examples} == {"YES", "NO"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arm", "verifier", "--arm", "mix"], "--arm verifier calls no teacher and cannot be combined"),
        (["--arm", "mix", "--truncated", "0.11"], "--truncated 0.11 has no effect without --arm verifier"),
        (["--truncated", "0"], "--truncated 0.0 has no effect without --arm verifier"),
    ],
)
def test_options_of_the_arm_verifier_are_for_it_alone(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(FathomError, match=message):
        CliRunner().invoke(app, ["synth", "any.jsonl", "--out", str(tmp_path), *arguments], catch_exceptions=False)


def test_a_judge_that_is_paid_for_solving_is_given_a_verifier() -> None:
    with checking(S2JJudge()) as judge:
        assert isinstance(judge, S2JJudge)
        assert judge.solved is not None
        assert [judge.solved(text, "12") for text in ("7 + 5 = 12", "It is 13.")] == [True, False]


@pytest.mark.parametrize("judge", [find("libra")(), S2JJudge(solved=lambda answer, reference: None)])
def test_a_judge_that_needs_none_or_has_one_stays_as_it_is(judge: Judge) -> None:
    with checking(judge) as same:
        assert same is judge


# The small world ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [sums.solution, sums.short, sums.long, sums.unseen_short])
def test_responses_differ_in_the_answer_and_the_right_one_is_labelled(write: sums.Response) -> None:
    for each in sums.comparisons(50, seed=1, write=write):
        right, wrong = (
            [int(word) for word in text.rstrip(".!").split() if word.isdigit()][-1] for text in each.responses
        )
        assert str(right) == each.reference != str(wrong)


def test_the_same_arguments_give_the_same_sums() -> None:
    assert sums.comparisons(9, seed=2) == sums.comparisons(9, seed=2) != sums.comparisons(9, seed=3)


def test_its_words_are_known_and_give_the_text_back() -> None:
    words = sums.tokenizer()
    for write in (sums.solution, sums.short, sums.long, sums.unseen_short, sums.unfinished):
        for each in sums.comparisons(30, seed=5, write=write):
            text = VerifierJudge(trained=True).ask(each.subset((0,)))[0]["content"] + "YES"
            ids = words.encode(text, add_special_tokens=False)
            assert words.unk_token_id not in ids
            assert words.decode(ids) == text
