"""Steps: splitting texts, reading the published layouts of labelled steps, and writing TRL's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, get_args

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom import Comparison, Label
from fathom.cli import app
from fathom.data.reading import read, write_jsonl
from fathom.errors import FathomError
from fathom.process import spans, split, stepwise_rows, thought_and_answer, with_steps
from fathom.settings import Splitter

# Splitting ------------------------------------------------------------------------------------------------------------

texts = st.lists(
    st.sampled_from(
        ["\n", "\n\n", " ", "Step 1: ", "step 2.", "## Step 3", "a", "B", "3.5", ". ", "! ", "e.g. ", "</think>",
         "<think>", "\t", "\r\n", "x = 1\n    y", "1. ", "So", "ки", "\u2028"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@given(texts | st.text(), st.sampled_from(get_args(Splitter)))
def test_the_parts_of_a_text_concatenate_to_it_and_none_is_blank(text: str, splitter: Splitter) -> None:
    parts = split(text, splitter)
    assert "".join(parts) == text
    assert [text[begin:end] for begin, end in spans(parts)] == list(parts)
    assert all(part.strip() for part in parts) or len(parts) == 1


@pytest.mark.parametrize(
    ("splitter", "text", "steps"),
    [
        ("paragraphs", "x = 2\n\nso 2x = 4\n \nDone.", ["x = 2", "so 2x = 4", "Done."]),
        ("paragraphs", "x = 2\nso 2x = 4", ["x = 2\nso 2x = 4"]),
        ("numbered", "We add.\nStep 1: 2 + 2 = 4\nStep 2: step 3 is not needed", ["We add.\nStep 1: 2 + 2 = 4",
                                                                               "Step 2: step 3 is not needed"]),
        ("numbered", "**Step 1.** a\n### Step 2\nb", ["**Step 1.** a", "### Step 2\nb"]),
        ("sentences", "It is 3.5 m, e.g. A. So 2 m! Is it? No", ["It is 3.5 m, e.g. A.", "So 2 m!", "Is it?", "No"]),
        ("sentences", "1. Add them. 2 is left.\n2. Stop.", ["1. Add them.", "2 is left.", "2. Stop."]),
        ("lines", "def f():\n    a = 1\n\n    return a\n", ["def f():", "    a = 1", "    return a"]),
        ("thinking", "<think>a\n\nb</think>\nThe sum.\n\nIt is b.", ["<think>a", "b</think>", "The sum.", "It is b."]),
    ],
)  # fmt: skip
def test_a_splitter_cuts_where_its_name_says(splitter: Splitter, text: str, steps: list[str]) -> None:
    assert [part.rstrip() for part in split(text, splitter)] == steps


def test_a_thought_ends_at_its_last_closing_tag() -> None:
    assert thought_and_answer("<think>a</think>b</think>\n\nc") == ("<think>a</think>b</think>\n\n", "c")
    assert thought_and_answer("c") == ("", "c")


def test_an_unknown_splitter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(FathomError, match="splitter 'words': unknown; expected one of paragraphs, numbered"):
        split("a", "words")  # type: ignore[arg-type]


# Reading --------------------------------------------------------------------------------------------------------------


def prm800k(*steps: dict[str, Any]) -> dict[str, Any]:
    return {
        "labeler": "a",
        "timestamp": "2022",
        "question": {"problem": "2 + 2 + 1?", "ground_truth_answer": "5"},
        "label": {"steps": list(steps), "total_time": 1, "finish_reason": "solution"},
    }


def step(*ratings: int | None, chosen: int | None = 0, human: str | None = None) -> dict[str, Any]:
    completions = [{"text": f"{'abc'[i]}{r}", "rating": r, "flagged": False} for i, r in enumerate(ratings)]
    return {
        "completions": completions or None,
        "human_completion": human and {"text": human, "rating": None, "source": "human", "flagged": False},
        "chosen_completion": chosen,
    }


ROW = prm800k(step(1, -1, None), step(0, 1), step(-1, chosen=None, human="by hand"), step(0))


@pytest.mark.parametrize(("neutral", "value"), [("good", 1.0), ("bad", 0.0), ("unknown", None)])
def test_prm800k_is_read_as_its_chosen_path_and_the_rated_alternatives_to_it(neutral: Any, value: float | None) -> None:
    """Readers of others disagree on neutral, combine steps that nobody saw together, or call human steps right."""
    found = list(read([ROW], neutral=neutral))
    assert {comparison.prompt for comparison in found} == {"2 + 2 + 1?"}
    assert [(comparison.steps, comparison.label) for comparison in found] == [
        ((steps,), Label(steps=(labels,)))
        for steps, labels in [
            (("b-1",), (0.0,)),
            (("a1", "b1"), (1.0, 1.0)),
            (("a1", "a0", "a-1"), (1.0, value, 0.0)),
            (("a1", "a0", "by hand", "a0"), (1.0, value, None, value)),
        ]
    ]
    assert len({comparison.id for comparison in found}) == 4


def test_prm800k_is_refused_until_neutral_ratings_have_a_meaning() -> None:
    with pytest.raises(FathomError, match=r"choose --neutral good .* --neutral bad .* or --neutral unknown"):
        read([ROW])
    with pytest.raises(FathomError, match="--neutral bad has no effect"):
        read([{"prompt": "p", "completions": ["a"], "labels": [1]}], neutral="bad")


def test_a_label_that_alternatives_share_is_counted_as_shared_once_per_alternative() -> None:
    """Every alternative repeats the labels of its prefix, so training would have the first step three times."""
    row = prm800k(step(1, -1), step(1, -1), step(1, -1))
    found = list(read([row], neutral="bad"))
    assert [comparison.steps[0] for comparison in found if comparison.steps] == [
        ("b-1",),
        ("a1", "b-1"),
        ("a1", "a1", "b-1"),
        ("a1", "a1", "a1"),
    ]
    assert [comparison.metadata.get("shared_steps", 0) for comparison in found] == [0, 1, 2, 0]


APS = "What is 2 + 2 + 1?"


def test_prefixes_of_math_aps_are_solutions_whose_last_step_has_the_value() -> None:
    """OpenR writes the problem before every prefix, and as a prefix of its own."""
    prefixes = {APS: 0.5, f"{APS}\n\n2 + 2 = 4\n\n4 + 1 = 5": 1.0, f"{APS}\n\n2 + 2 = 3": 0.0}
    nodes = [{"solution_prefix": text, "mc_value": value} for text, value in prefixes.items()]
    found = list(read([{"question": APS, "final_answer": "5", "reasoning_steps": nodes}]))
    assert {comparison.prompt for comparison in found} == {APS}
    assert [(comparison.steps, comparison.label) for comparison in found] == [
        ((("2 + 2 = 4", "4 + 1 = 5"),), Label(steps=((None, 1.0),))),
        ((("2 + 2 = 3",),), Label(steps=((0.0,),))),
    ]


def test_paths_of_a_tree_of_math_aps_are_solutions_with_soft_values() -> None:
    leaves = [{"text": "c\n\nd", "mc_value": 1.0, "children": []}, {"text": "e", "mc_value": 0.125, "children": []}]
    tree = {"text": APS, "mc_value": 0.5, "children": [{"text": "a\n\nb", "mc_value": 0.75, "children": leaves}]}
    bare = {"text": APS, "mc_value": 0.0, "children": []}
    found = list(read([{"question": APS, "reasoning_steps": each} for each in (tree, bare)]))
    assert [(comparison.steps, comparison.label) for comparison in found] == [
        ((("a", "b", "c", "d"),), Label(steps=((None, 0.75, None, 1.0),))),
        ((("a", "b", "e"),), Label(steps=((None, 0.75, 0.125),))),
    ]
    assert [comparison.metadata.get("shared_steps", 0) for comparison in found] == [0, 2]


def test_a_node_of_math_aps_without_a_step_shares_no_labels() -> None:
    """It would be taken for a second path to the same step, so that no path would have its label in training."""
    empty = {"text": " ", "mc_value": 0.75, "children": []}
    tree = {"text": APS, "mc_value": 0.5, "children": [{"text": "a", "mc_value": 0.75, "children": [empty]}]}
    (found,) = read([{"question": APS, "reasoning_steps": tree}])
    assert found.label == Label(steps=((0.75,),))
    assert "shared_steps" not in found.metadata


def dialogue(*turns: str) -> dict[str, Any]:
    roles = ("user", "assistant") * len(turns)
    return {"conversations": [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]}


def test_a_first_step_that_cannot_be_told_from_the_problem_has_no_label() -> None:
    """A reader that guesses calls an empty step right, or a part of the problem."""
    rows = [
        dialogue("Find 2 + 2 + 1. First, 2 + 2 = 4.", "+", "4 + 1 = 6.", "-"),
        dialogue("Find 1 + 1. It is 2.", "+"),
    ]
    source = read(rows, on_error="skip")
    (comparison,) = source
    assert comparison.prompt == "Find 2 + 2 + 1. First, 2 + 2 = 4."
    assert (comparison.steps, comparison.label) == ((("4 + 1 = 6.",),), Label(steps=((0.0,),)))
    assert [str(bad) for bad in source.skipped] == [
        "rows:2: conversations: its only step cannot be told from the problem, expected Step 1: before the step, or "
        "more turns"
    ]


def test_a_mapping_of_the_reference_alone_leaves_the_layout_as_it_is() -> None:
    """`fathom label` needs reference answers, and published labels stand beside them."""
    rated = prm800k(step(1))
    (comparison,) = read([rated], mapping={"reference": "question.ground_truth_answer"}, neutral="bad")
    assert (comparison.reference, comparison.label) == ("5", Label(steps=((1.0,),)))
    mistake = {"input": "1 + 1 =", "steps": ["It is 3."], "target": 2, "answer": "3", "mistake_index": 0}
    (plain,), (named,) = read([mistake]), read([mistake], mapping={"reference": "target"})
    assert (plain.reference, named.reference) == (None, "2")
    assert (plain.id, plain.label) == (named.id, named.label)
    assert named.metadata == {"answer": "3"}
    with pytest.raises(FathomError, match="--map reference=solution names no column of the rows"):
        read([mistake], mapping={"reference": "solution"})


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            {"prompt": "p", "completions": ["a", "b"], "labels": ["+", "-"]},
            "TRL's stepwise supervision has these columns, with other values: labels: expected a list of numbers, "
            "or of true and false",
        ),
        (
            {"input": "1 + 1? Step 1: It is 2. ки", "label": "1 + 1? Step 1: It is 2. +"},
            "Math-Shepherd has these columns, with other values: input: expected texts, some of more than 120 "
            "characters; label: expected texts, some of more than 120 characters",
        ),
    ],
)
def test_a_layout_of_steps_with_other_values_is_named_with_what_it_expects(row: dict[str, Any], told: str) -> None:
    with pytest.raises(FathomError) as raised:
        read([row])
    assert str(raised.value).endswith(told)


def call(thought: str, action: str, observation: str | None) -> dict[str, Any]:
    """A step of ToolComp that calls a tool."""
    return {
        "thought": {"text": thought},
        "action": {"text": action},
        "action_input": {"text": "{}"},
        "observation": observation and {"text": observation},
    }


def toolcomp(history: Any, preferred: Any, dispreferred: Any) -> dict[str, Any]:
    return {"prompt": "Hot?", "tools": "['weather']", "historical_date": None, "history": history,
            "preferred": preferred, "dispreferred": dispreferred}  # fmt: skip


PLANS = {"action plan": {"text": "ask weather"}}, {"action plan": {"text": "guess"}}
CALLS = call("look", "weather", "hot"), call("give up", "finish", None)


def test_toolcomp_compares_steps_after_the_same_history_and_only_the_last_ones_are_labelled() -> None:
    rows = [
        toolcomp("[]", *PLANS),
        toolcomp(json.dumps([PLANS[0], CALLS[0]]), *CALLS),
        *(toolcomp([PLANS[0]], call(f"look {number}", "weather", "hot"), CALLS[1]) for number in range(30)),
    ]
    plans, calls, *others = read(rows)
    found = dict(zip(plans.source_order or (), plans.steps or (), strict=True))
    assert found == {0: ("ask weather",), 1: ("guess",)}
    before = ("ask weather", "Thought: look\nAction: weather\nAction Input: {}\nObservation: hot")
    found = dict(zip(calls.source_order or (), calls.steps or (), strict=True))
    assert found == {0: (*before, before[1]), 1: (*before, "Thought: give up\nAction: finish\nAction Input: {}")}
    best = dict(zip(calls.source_order or (), _steps_of(calls), strict=True))
    assert best == {0: (None, None, 1.0), 1: (None, None, 0.0)}
    assert {comparison.label and comparison.label.winner for comparison in others} == {0, 1}, "the order is drawn"
    assert calls.metadata == {"tools": "['weather']", "historical_date": None}


def _steps_of(comparison: Comparison) -> Any:
    assert comparison.label is not None
    return comparison.label.steps


def test_a_step_of_toolcomp_without_a_known_part_is_refused() -> None:
    rows = [toolcomp("[]", *PLANS), toolcomp("[]", {"plan": {"text": "ask"}}, PLANS[1])]
    with pytest.raises(FathomError, match=r"^rows:2: .*preferred: got .*, expected a key of action plan, thought"):
        list(read(rows))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "p", "completions": ["a", "b"], "labels": [1]}, "labels: has 2 steps and 1 labels"),
        ({"prompt": "p", "completions": ["a"], "labels": [-1]}, "labels: got -1, expected true, false"),
        ({"problem": "p", "steps": ["a", "b"], "label": 2}, "label: names step 2 counted from 0, .* has 2 steps"),
        (
            {"modified_question": "p", "modified_process": ["a"], "error_steps": [0]},
            r"error_steps: got \[0\], expected numbers of steps, counted from 1",
        ),
        (
            {
                "question": "p",
                "model_output_steps": ["a"],
                "model_output_solution_correctness": "wrong",
                "model_output_solution_first_error_step": 0,
            },
            "first_error_step: got step 0 of 1, expected a number counted from 1",
        ),
        ({"question": "p", "process": "a ки b ки", "label": ["+"]}, "label: has 2 steps and 1 labels"),
        (prm800k(step(2)), "label.steps.0.completions.rating: got 2, expected -1, 0, 1 or null"),
    ],
)
def test_labels_that_do_not_fit_the_steps_are_refused_with_their_place(row: dict[str, Any], message: str) -> None:
    with pytest.raises(FathomError, match=f"^rows:1: .*{message}"):
        list(read([row], neutral="bad" if "labeler" in row else None))


def test_a_set_without_answers_is_refused_with_its_place() -> None:
    rows = [{"prompt": "p", "answers": ["a"], "label": [1]}, {"prompt": "p", "answers": [], "label": []}]
    with pytest.raises(FathomError, match=r"^rows:2: .*answers: is empty, expected at least one answer"):
        list(read(rows))


def test_a_mapping_turns_the_recognition_of_steps_off() -> None:
    row = {"prompt": "2 + 2?", "completions": ["4", "5"], "labels": [1, 0]}
    assert [comparison.responses for comparison in read([row])] == [("4\n\n5",)]
    (several,) = read([row], mapping={"responses": "completions", "scores": "labels"})
    assert (several.responses, several.label) == (("4", "5"), Label(scores=(1, 0)))


@pytest.mark.skipif("FATHOM_DATA" not in os.environ, reason="FATHOM_DATA is not set")
def test_published_files_of_labelled_steps_are_read_without_a_mapping() -> None:
    data = Path(os.environ["FATHOM_DATA"])
    folders = ("processbench", "prmbench", "mr_gsm8k", "big_bench_mistake")
    files = [path for folder in folders for path in sorted((data / folder).glob("*.jsonl.gz"))]
    assert files
    for path in files:
        found = list(read(path, limit=50))
        assert found
        assert all(comparison.label and comparison.label.steps for comparison in found)


# Writing --------------------------------------------------------------------------------------------------------------


THREE = Comparison(
    prompt="p", responses=("a\n\nb\n\nc",), steps=(("a", "b", "c"),), label=Label(steps=((1, 0.9, None),))
)


def test_stepwise_rows_are_read_back_with_soft_and_missing_labels() -> None:
    (row,) = stepwise_rows(THREE)
    assert row == {"prompt": "p", "completions": ["a", "b", "c"], "labels": [1.0, 0.9, None]}
    (again,) = read([row])
    assert (again.steps, again.label) == (THREE.steps, THREE.label)


def test_rows_for_trl_have_flags_and_end_before_the_first_step_without_a_label() -> None:
    rows = stepwise_rows(THREE, threshold=0.95)
    assert Dataset.from_list(rows)[:] == {"prompt": ["p"], "completions": [["a", "b"]], "labels": [[True, False]]}
    assert stepwise_rows(THREE.model_copy(update={"label": Label(steps=((None, 1, 0),))}), threshold=0.5) == []
    with pytest.raises(FathomError, match="has no labelled steps"):
        stepwise_rows(THREE.model_copy(update={"label": None}))


def test_native_rows_hold_steps_and_soft_labels(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "steps.jsonl", [THREE])
    assert list(read(tmp_path / "steps.jsonl")) == [THREE]
    unsplit = Comparison(prompt="p", responses=("a\n\nb",))
    assert with_steps(unsplit, "paragraphs").steps == (("a\n\n", "b"),)
    assert with_steps(THREE, "sentences") == THREE


def test_the_verb_converts_a_published_layout_to_rows_for_training(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [ROW])
    out = tmp_path / "out.jsonl"
    arguments = ["steps", str(tmp_path / "in.jsonl"), "--out", str(out), "--layout", "stepwise", "--threshold", "0.5"]
    done = CliRunner().invoke(app, [*arguments, "--neutral", "bad"], catch_exceptions=False)
    assert (done.exit_code, done.output) == (0, f"4 comparisons in {out}\n")
    assert [row.label for row in read(out)][:2] == [Label(steps=((0,),)), Label(steps=((1, 1),))]
