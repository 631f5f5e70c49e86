"""Readers of labelled steps: each converts a row of one published layout to solutions with their steps and labels.

A label is a number from 0 (wrong) to 1 (right), soft labels included, or None for a step that nobody labelled. A layout
that names only the first wrong step says nothing about the steps after it, so their labels are None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fathom.data.conversations import BadRowError, as_prompt, truncated_repr
from fathom.data.layouts._mapping import SourceRow
from fathom.data.layouts._schema import list_in
from fathom.data.records import Label
from fathom.data.steps import split
from fathom.settings import Neutral

Labels = Sequence[float | None]
JOINT = "\n\n"
"""Between the steps of a response, for layouts that store steps instead of a text."""
TAG = "ки"
"""Marks the end of each step in Math-Shepherd's texts and in data derived from them."""
OPENR_TAG = "\n" * 5
SIGNS = {"+": 1.0, "-": 0.0}
_FIRST_STEP = re.compile(r"\bStep 1\s*[:.]")


class Solutions(NamedTuple):
    """One or more solutions of a problem, as the fields of a comparison."""

    prompt: Any
    steps: Sequence[Sequence[str]]
    label: Label | None
    suffix: str = ""
    """Distinguishes the comparisons of one row, in their ids."""
    shared: int = 0
    """The number of first steps that another comparison of the row has too, with the same labels."""


def labelled(
    prompt: Any, steps: Sequence[str], labels: Labels, column: str, suffix: str = "", shared: int = 0
) -> Solutions:
    """One solution. Raises BadRowError unless there are steps, a label for each of them, and a prompt."""
    if not steps:
        raise BadRowError(column, "has no steps, expected at least one")
    if len(steps) != len(labels):
        raise BadRowError(column, f"has {len(steps)} steps and {len(labels)} labels, expected a label for each step")
    return Solutions(prompt, (tuple(steps),), Label(steps=(tuple(labels),)), suffix, shared)


def up_to_first_error(first: int | None, count: int, column: str) -> Labels:
    """The labels of steps of which the first wrong one has the 0-based index `first`; None means that all are right."""
    if first is None:
        return (1.0,) * count
    if not 0 <= first < count:
        raise BadRowError(column, f"names step {first} counted from 0, but the solution has {count} steps")
    return (*(1.0,) * first, 0.0, *(None,) * (count - first - 1))


# Values of cells ------------------------------------------------------------------------------------------------------


def _texts(row: SourceRow, column: str) -> Sequence[str]:
    value = row.get(column)
    value = list_in(value) if isinstance(value, str) else value
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise BadRowError(column, f"got {truncated_repr(row.get(column))}, expected a list of texts")
    return value


def _text(row: SourceRow, column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str):
        raise BadRowError(column, f"got {truncated_repr(value)}, expected text")
    return value


def _prompt(row: SourceRow, column: str) -> Any:
    if not row.get(column):
        raise BadRowError(column, "is missing, expected the problem")
    return as_prompt(row[column], column)


def _list(row: SourceRow, column: str) -> Sequence[Any]:
    value = row.get(column)
    value = list_in(value) if isinstance(value, str) else value
    if not isinstance(value, list | tuple):
        raise BadRowError(column, f"got {truncated_repr(row.get(column))}, expected a list")
    return value


def _object(value: Any, column: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadRowError(column, f"got {truncated_repr(value)}, expected an object")
    return value


def _value(value: Any, column: str) -> float:
    """A hard or soft label: true, false, "+", "-", or a number from 0 to 1."""
    found = SIGNS.get(value.strip()) if isinstance(value, str) else value
    if not isinstance(found, int | float) or not 0 <= found <= 1:
        raise BadRowError(column, f"got {truncated_repr(value)}, expected true, false, +, - or a number from 0 to 1")
    return float(found)


def _optional(value: Any, column: str) -> float | None:
    return None if value is None else _value(value, column)


def _index(value: Any, column: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRowError(column, f"got {truncated_repr(value)}, expected the index of a step")
    return value


# Layouts of a list of steps -------------------------------------------------------------------------------------------


def stepwise(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """TRL's stepwise supervision. Labels may be soft or null, which TRL itself cannot read."""
    labels = [_optional(label, "labels") for label in _list(row, "labels")]
    yield labelled(_prompt(row, "prompt"), _texts(row, "completions"), labels, "labels")


def processbench(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """ProcessBench: the 0-based index of the first wrong step, -1 if none is wrong."""
    steps, first = _texts(row, "steps"), _index(row.get("label"), "label")
    labels = up_to_first_error(None if first == -1 else first, len(steps), "label")
    yield labelled(_prompt(row, "problem"), steps, labels, "steps")


def big_bench_mistake(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """BIG-Bench Mistake: the 0-based index of the first mistake, null if there is none."""
    steps, first = _texts(row, "steps"), row.get("mistake_index")
    first = int(first) if isinstance(first, float) and first.is_integer() else first  # pandas' column with gaps
    labels = up_to_first_error(first if first is None else _index(first, "mistake_index"), len(steps), "mistake_index")
    yield labelled(_prompt(row, "input"), steps, labels, "steps")


def prmbench(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """PRMBench: the 1-based numbers of all wrong steps. Its authors ignore numbers beyond the last step, as here."""
    steps = _texts(row, "modified_process")
    wrong = {_index(number, "error_steps") for number in _list(row, "error_steps")}
    if any(number < 1 for number in wrong):
        raise BadRowError("error_steps", f"got {sorted(wrong)}, expected numbers of steps, counted from 1")
    labels = [float(number not in wrong) for number in range(1, len(steps) + 1)]
    yield labelled(_prompt(row, "modified_question"), steps, labels, "modified_process")


def mr_gsm8k(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """MR-GSM8K: the 1-based number of the first wrong step, for solutions that are not correct."""
    column = "model_output_solution_first_error_step"
    steps, first = _texts(row, "model_output_steps"), row.get(column)
    if str(row.get("model_output_solution_correctness")).strip().lower() == "correct":
        labels = up_to_first_error(None, len(steps), column)
    else:
        number = _index(int(first) if isinstance(first, str) and first.strip().isdecimal() else first, column)
        if not 1 <= number <= len(steps):
            raise BadRowError(column, f"got step {number} of {len(steps)}, expected a number counted from 1")
        labels = up_to_first_error(number - 1, len(steps), column)
    yield labelled(_prompt(row, "question"), steps, labels, "model_output_steps")


def paddlenlp(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """PaddleNLP's process rewards: the steps are `responses`, each with a label + or -."""
    source = row.get("src")
    prompt = _prompt({"src": source[0] if isinstance(source, list) and len(source) == 1 else source}, "src")
    labels = [_value(label, "labels") for label in _list(row, "labels")]
    yield labelled(prompt, _texts(row, "responses"), labels, "labels")


def rlhflow(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """RLHFlow's training dialogues: a step per user turn, judged + or - by the assistant turn after it.

    The first user turn has the problem, a space and the first step. The step begins at "Step 1:". Without this, nothing
    tells where it begins, so the whole turn is the prompt, and its label is dropped.
    """
    column = "conversations"
    turns = [_object(turn, column) for turn in _list(row, column)]
    contents = [turn.get("content", turn.get("value")) for turn in turns]
    if len(turns) % 2 or not contents or not all(isinstance(text, str) for text in contents):
        raise BadRowError(column, f"got {len(turns)} turns, expected pairs of a step and its label, + or -")
    labels = [_value(text, column) for text in contents[1::2]]
    begin = _FIRST_STEP.search(contents[0])
    if begin is None and len(labels) == 1:
        problem = "its only step cannot be told from the problem"
        raise BadRowError(column, f"{problem}, expected Step 1: before the step, or more turns")
    prompt, steps = contents[0], contents[2::2]
    if begin is not None:
        prompt, steps = prompt[: begin.start()], [prompt[begin.start() :], *steps]
    yield labelled(_prompt({column: prompt.strip()}, column), _stripped(steps), labels[-len(steps) :], column)


def candidates(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """RLHFlow's best-of-n sets: several answers to a problem, each labelled as a whole."""
    column = "label" if row.get("label") is not None else "labels"
    labels = [_value(label, column) for label in _list(row, column)]
    answers = _texts(row, "answers")
    if not answers:
        raise BadRowError("answers", "is empty, expected at least one answer")
    if len(answers) != len(labels):
        raise BadRowError(column, f"has {len(labels)} labels, expected one for each of {len(answers)} answers")
    steps = [tuple(_at_tags(text, TAG) if TAG in text else _stripped(split(text, "paragraphs"))) for text in answers]
    yield Solutions(_prompt(row, "prompt"), steps, Label(scores=tuple(labels)))


TURN: Mapping[str, str] = {
    "thought": "Thought",
    "action": "Action",
    "action_input": "Action Input",
    "observation": "Observation",
}
"""The parts of a step of ToolComp that calls a tool, and how its authors name them in prompts."""
PLAN = "action plan"


def toolcomp(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """ToolComp: after the same history, a step that people corrected and the one that they rejected.

    The history begins with a plan of action; rows without one compare two plans. Only the last steps are labelled,
    because every step of the history is the subject of another row.
    """
    column = "history"
    history = _list(row, column) if row.get(column) else []
    before = tuple(_turn(step, column) for step in history)
    last = [_turn(row.get(name), name) for name in ("preferred", "dispreferred")]
    unknown = (None,) * len(before)
    label = Label(steps=((*unknown, 1.0), (*unknown, 0.0)))
    yield Solutions(_prompt(row, "prompt"), [(*before, step) for step in last], label)


def _turn(step: Any, column: str) -> str:
    """A plan of action, or the parts of a step that calls a tool, each on a line of its own."""
    parts = _object(step, column)
    plan = _part(parts, PLAN, column)
    if plan is not None:
        return plan
    found = {name: _part(parts, key, column) for key, name in TURN.items()}
    if not any(found.values()):
        raise BadRowError(column, f"got {truncated_repr(step)}, expected a key of {PLAN}, {', '.join(TURN)}")
    return "\n".join(f"{name}: {text}" for name, text in found.items() if text is not None)


def _part(parts: Mapping[str, Any], key: str, column: str) -> str | None:
    given = parts.get(key)
    return None if given is None else _text(dict(_object(given, f"{column}.{key}")), "text")


# Layouts of a text with tags ------------------------------------------------------------------------------------------


def _stripped(parts: Sequence[str]) -> list[str]:
    return [part.strip() for part in parts]


def _at_tags(text: str, tag: str) -> list[str]:
    """The steps of a text in which each ends with the tag. Text after the last tag is a step if it is not blank."""
    steps = _stripped(text.split(tag))
    return steps if steps[-1] else steps[:-1]


def math_shepherd(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """Math-Shepherd: problem and steps in one text with a tag after each step; `label` has + or - in its place.

    A few rows have tags inside the problem. These label no step and are dropped.
    """
    text, marked = _text(row, "input"), _text(row, "label")
    begin = _FIRST_STEP.search(text)
    if begin is None or TAG not in text:
        raise BadRowError("input", f"expected a problem, Step 1: and the tag {TAG} after each step")
    problem, solution = text[: begin.start()], text[begin.start() :]
    labels = _signs_at_tags(text, marked)[problem.count(TAG) :]
    yield labelled(problem.replace(TAG, "").strip(), _at_tags(solution, TAG), labels, "label")


def _signs_at_tags(text: str, marked: str) -> list[float]:
    """The labels that replace the tags of `text` in `marked`, which is otherwise the same text."""
    labels, place = [], 0
    for piece in text.split(TAG)[:-1]:
        place += len(piece)
        sign = marked[place : place + 1]
        if sign not in SIGNS:
            raise BadRowError("label", f"got {sign!r} at character {place}, expected + or - in place of each tag")
        labels.append(SIGNS[sign])
        place += len(sign)
    return labels


def er_prm(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """ER-PRM: problem and steps in one text with a tag after each step, and a soft value per step."""
    text = _text(row, "text")
    begin = _FIRST_STEP.search(text)
    if begin is None or TAG not in text:
        raise BadRowError("text", f"expected a problem, Step 1: and the tag {TAG} after each step")
    steps = _at_tags(text[begin.start() :], TAG)
    yield labelled(text[: begin.start()].strip(), steps, [_value(v, "value") for v in _list(row, "value")], "value")


def openr(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """OpenR's converted data: steps in one text with a tag after each (five line feeds, or Math-Shepherd's)."""
    text = _text(row, "process")
    steps = _at_tags(text, OPENR_TAG if OPENR_TAG in text else TAG)
    yield labelled(_prompt(row, "question"), steps, [_value(sign, "label") for sign in _list(row, "label")], "label")


# Trees ----------------------------------------------------------------------------------------------------------------


def prm800k(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """PRM800K: at each step, rated alternatives to the chosen prefix.

    The chosen path is one solution. Every other rated alternative is one as well: the chosen prefix and the
    alternative. No combination occurs that no labeller saw. Steps written by a human were not rated and have no label.
    """
    problem = _object(row.get("question"), "question").get("problem")
    prompt = _prompt({"question.problem": problem}, "question.problem")
    steps: list[str] = []
    labels: list[float | None] = []
    for place, given in enumerate(_list(_object(row.get("label"), "label"), "steps")):
        step = _object(given, f"label.steps.{place}")
        chosen = step.get("chosen_completion")
        alternatives = [_object(one, f"label.steps.{place}.completions") for one in step.get("completions") or ()]
        for other, alternative in enumerate(alternatives):
            if other != chosen and alternative.get("rating") is not None:
                rated = _rating(alternative, place, neutral)
                taken = [*steps, _text(alternative, "text")]
                yield labelled(prompt, taken, [*labels, rated], "label", f"/{place}-{other}", len(steps))
        following = step.get("human_completion") if chosen is None else _chosen(alternatives, chosen, place)
        if following is None:
            break
        steps.append(_text(_object(following, "human_completion"), "text"))
        labels.append(None if chosen is None else _rating(following, place, neutral))
    if steps:
        yield labelled(prompt, steps, labels, "label")


def _chosen(alternatives: Sequence[Mapping[str, Any]], chosen: Any, place: int) -> Mapping[str, Any]:
    if not isinstance(chosen, int) or not 0 <= chosen < len(alternatives):
        expected = f"the index of one of {len(alternatives)} completions"
        raise BadRowError(f"label.steps.{place}.chosen_completion", f"got {chosen!r}, expected {expected}")
    return alternatives[chosen]


def _rating(completion: Mapping[str, Any], place: int, neutral: Neutral | None) -> float | None:
    rating = completion.get("rating")
    if rating not in (-1, 0, 1, None):
        raise BadRowError(f"label.steps.{place}.completions.rating", f"got {rating!r}, expected -1, 0, 1 or null")
    if rating == 0:
        return {"good": 1.0, "bad": 0.0, "unknown": None}[neutral or "unknown"]
    return None if rating is None else float(rating == 1)


def math_aps(row: SourceRow, neutral: Neutral | None) -> Iterator[Solutions]:
    """MATH-APS: prefixes with the share of rollouts that end right, flat or as a tree.

    Prefixes begin with the problem, and the root of a tree is the problem. These are not part of the solution. A prefix
    or a node has one value after one or more steps (paragraphs): the last of them has it as label, the others none.
    Each path from the root to a leaf is a solution. A problem without a step gives no solution.
    """
    column = "reasoning_steps"
    problem, found = _text(row, "question"), row.get(column)
    paths = (
        _paths(found)
        if isinstance(found, Mapping)
        else ([_node(each, "solution_prefix")] for each in _list(row, column))
    )
    seen: set[tuple[tuple[str, ...], float]] = set()
    for number, path in enumerate(paths):
        steps: list[str] = []
        labels: list[float | None] = []
        shared = 0
        for text, value in path:
            added = _paragraphs(_without(problem, text))
            if not added:
                continue
            steps += added
            labels += [*(None,) * (len(added) - 1), value]
            here = (tuple(steps), value)
            shared = len(steps) if here in seen else shared
            seen.add(here)
        if steps:
            yield labelled(_prompt(row, "question"), steps, labels, column, f"/{number}", shared)


def _node(node: Any, text: str) -> tuple[str, float]:
    """The text and the value of a prefix or of a node."""
    column = "reasoning_steps"
    value = _object(node, column)
    return _text(value, text), _value(value.get("mc_value"), f"{column}.mc_value")


def _paths(node: Any) -> Iterator[list[tuple[str, float]]]:
    """The paths from a node to its leaves, as texts with values."""
    here = _node(node, "text")
    children = node.get("children") or []
    if not children:
        yield [here]
    for child in children:
        yield from ([here, *path] for path in _paths(child))


def _without(problem: str, text: str) -> str:
    """The text after the problem and a blank line, if it begins with them, as OpenR writes them."""
    problem, text = problem.strip(), text.strip()
    return "" if text == problem else text.removeprefix(f"{problem}{JOINT}")


def _paragraphs(text: str) -> list[str]:
    return _stripped(split(text, "paragraphs")) if text.strip() else []
