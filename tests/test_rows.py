"""Result rows: what is written comes back, rows of version 0.1 are upgraded, and other rows are refused by line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.records import Comparison, Label
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Rule, Verdict, Vote, merge_pointwise
from fathom.metrics.verdicts import tally
from fathom.metrics.votes import curve
from fathom.ranking import Ranking
from fathom.rationale import Rationale, Status, Unit
from fathom.results import runs
from fathom.results.rows import SCHEMA, from_row, pointwise_score, read_rows, to_row, vote_text, write_row
from judged import row, swapped, vote, written
from strategies import NUMBERS, SHARES, TEXT, comparisons

counts = st.integers(0, 10**6)
usages = st.builds(Usage, counts, counts, st.integers(0, 3))
units = st.builds(Unit, TEXT, TEXT, TEXT, st.sampled_from([None, "A", "B", "MIXED"]))
rationales = st.builds(
    Rationale, st.lists(units, max_size=3).map(tuple), TEXT, st.sampled_from([None, "A", "B", "tie"])
)


def of_each(values: st.SearchStrategy[Any], n: int) -> st.SearchStrategy[Any]:
    """A value for each of n responses, or none at all."""
    return st.none() | st.tuples(*[values] * n)


@st.composite
def votes(draw: st.DrawFn, n: int, *, nested: bool = True) -> Vote:
    status = draw(st.sampled_from(Status))
    read: dict[str, Any] = {}
    if status is Status.OK:
        steps = st.lists(st.none() | SHARES, max_size=3).map(tuple)
        read = {
            "winner": draw(st.none() | st.integers(0, n - 1)),
            "scores": draw(of_each(NUMBERS, n)),
            "probabilities": draw(of_each(SHARES, n)),
            "step_scores": draw(of_each(steps, n)),
        }
    alone = st.lists(votes(1, nested=False), min_size=n, max_size=n) if nested else st.just([])
    return Vote(
        status,
        **read,
        order=tuple(draw(st.permutations(range(n)))),
        rationale=draw(st.none() | rationales),
        text=draw(TEXT),
        usage=draw(usages),
        error=draw(st.none() | TEXT),
        reasoning=draw(TEXT),
        retry_max_tokens=draw(st.none() | counts),
        included=draw(st.booleans()),
        meta_score=draw(st.none() | SHARES),
        residual_probability=draw(st.none() | SHARES),
        per_response=tuple(draw(st.just([]) | alone)),
    )


@st.composite
def verdicts(draw: st.DrawFn, n: int) -> Verdict:
    status = draw(st.sampled_from(Status))
    aggregate = draw(st.sampled_from(["majority", "sum", "mean", "probability"]))
    return Verdict(
        votes=tuple(draw(st.lists(votes(n), min_size=1, max_size=3))),
        status=status,
        winner=draw(st.none() | st.integers(0, n - 1)) if status is Status.OK else None,
        scores=draw(st.tuples(*[NUMBERS] * n)) if status is Status.OK else None,
        agreement=draw(st.none() | SHARES),
        rule=Rule(aggregate, steps=draw(st.sampled_from(["min", "prod", "last", "mean", "geometric_mean"]))),
        threshold=draw(st.none() | NUMBERS),
    )


@st.composite
def judgments(draw: st.DrawFn) -> tuple[Comparison, Verdict | Ranking]:
    comparison = draw(comparisons())
    n = len(comparison.responses)
    if n == 1 or draw(st.booleans()):
        return comparison, draw(verdicts(n))
    pairs = draw(st.permutations(range(n))).copy()[:2]
    return comparison, Ranking(
        tuple(draw(st.lists(st.none() | NUMBERS, min_size=n, max_size=n))),
        {tuple(sorted(pairs)): draw(verdicts(2)), tuple(range(n)): draw(verdicts(n))},
    )


def on_disk(made: Any) -> Any:
    sink = io.BytesIO()
    write_row(sink, made)
    return json.loads(sink.getvalue())


def test_the_texts_of_a_pointwise_judge_are_in_a_row_once() -> None:
    comparison = Comparison(id="1", prompt="2 + 2?", responses=("It is 4.", "It is 5."))
    one, other = (Vote(Status.OK, order=(0,), scores=(score,), text=f"My score is {score}.") for score in (9.0, 2.0))
    verdict = Rule("mean")([merge_pointwise([one, other])])
    made = on_disk(to_row(comparison, verdict))
    assert json.dumps(made).count("My score is 9.0.") == 1
    assert made["votes"][0]["text"] is None
    assert vote_text(made["votes"][0]) == "My score is 9.0.\n\nMy score is 2.0."
    assert from_row(made) == (comparison, verdict)


@settings(deadline=None)
@given(judgments())
def test_a_row_is_read_as_what_it_was_written_of(judged: tuple[Comparison, Any]) -> None:
    comparison, result = judged
    made = on_disk(to_row(comparison, result))
    assert made["schema"] == SCHEMA
    assert from_row(made) == (comparison, result)
    assert on_disk(to_row(*from_row(made))) == made


@settings(deadline=None, max_examples=30)
@given(st.lists(judgments(), min_size=1, max_size=3))
def test_a_file_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, judged: list[Any]) -> None:
    path = tmp_path_factory.mktemp("rows") / "run.jsonl"
    with path.open("wb") as sink:
        for comparison, result in judged:
            write_row(sink, to_row(comparison, result))
    assert [from_row(each) for each in read_rows(path)] == judged


def test_without_texts_only_texts_are_lost() -> None:
    comparison = Comparison(id="1", prompt="?", responses=("a", "b"))
    verdict = Rule()(swapped([0, 1, 0]))
    lean = on_disk(to_row(comparison, verdict, texts=False))
    assert [(each["text"], each["reasoning"], each["rationale"]) for each in lean["votes"]] == [("", "", None)] * 3
    assert [each["winner"] for each in lean["votes"]] == [0, 1, 0]
    assert (lean["tokens"], lean["agreement"]) == ({"prompt": 300, "completion": 60}, 2 / 3)


# Single responses -----------------------------------------------------------------------------------------------------


def alone(rule: Rule, *votes: Vote) -> Any:
    comparison = Comparison(id="1", prompt="?", responses=("a",), label=Label(scores=(1.0,)))
    return on_disk(to_row(comparison, rule(votes, threshold=0.5)))


@pytest.mark.parametrize(
    ("reduction", "score", "correct"), [("min", 0.1, False), ("last", 0.6, True), ("mean", 0.5, True)]
)
@pytest.mark.parametrize("aggregate", ["mean", "majority"])
def test_the_score_of_steps_follows_the_rule_of_the_row(
    aggregate: Any, reduction: Any, score: float, correct: bool
) -> None:
    cast = Vote(Status.OK, scores=(0.1,), order=(0,), step_scores=((0.8, 0.1, 0.6),))
    made = alone(Rule(aggregate, steps=reduction), cast)
    assert pointwise_score(made) == pytest.approx(score)
    assert made["correct"] is correct


# Versions -------------------------------------------------------------------------------------------------------------

OF_VERSION_1 = {
    "id": "pair-1",
    "status": "ok",
    "winner": 1,
    "scores": [0.0, 1.0],
    "label": 1,
    "label_scores": None,
    "right_from": None,
    "correct": True,
    "agreement": 1.0,
    "flip_rate": None,
    "rule": {"aggregate": "majority", "invalid": "drop", "ties": "count"},
    "tokens": {"prompt": 12, "completion": 3},
    "votes": [
        {
            "status": "ok",
            "winner": 1,
            "scores": None,
            "probabilities": None,
            "missing_mass": 0.25,
            "order": [1, 0],
            "structure": None,
            "rationale": None,
            "text": "[[A]]",
            "reasoning": "",
            "extended_to": 64,
            "tokens": {"prompt": 12, "completion": 3},
            "error": None,
            "counted": True,
            "meta_score": None,
            "parts": [],
        }
    ],
    "domain": None,
    "placement": [1, 0],
    "prompt": "2 + 2?",
    "responses": ["5", "4"],
    "reference": None,
    "metadata": {"source": "made up"},
}
RANKING_OF_VERSION_1 = {
    **{name: OF_VERSION_1[name] for name in ("id", "label", "tokens", "domain", "placement", "prompt", "reference")},
    "winner": 1,
    "order": [[1], [0]],
    "scores": [-1.0, 1.0],
    "missing": [],
    "correct": True,
    "kendall_tau": None,
    "pairs": [
        {
            "pair": [0, 1],
            "status": "ok",
            "winner": 1,
            "share": 0.0,
            "agreement": 1.0,
            "votes": [{"status": "ok", "winner": 1, "order": [1, 0], "error": None, "text": "[[A]]", "reasoning": ""}],
        }
    ],
    "responses": ["5", "4"],
    "metadata": {},
}


def test_rows_of_version_1_are_upgraded(tmp_path: Path) -> None:
    [verdict_row, ranking_row] = read_rows(written(tmp_path / "old.jsonl", [OF_VERSION_1, RANKING_OF_VERSION_1]))
    comparison, verdict = from_row(verdict_row)
    assert comparison == Comparison(
        id="pair-1",
        prompt="2 + 2?",
        responses=("5", "4"),
        label=Label(best=1),
        source_order=(1, 0),
        metadata={"source": "made up"},
    )
    assert verdict == Rule()(
        [
            Vote(
                Status.OK,
                winner=1,
                order=(1, 0),
                text="[[A]]",
                usage=Usage(12, 3),
                retry_max_tokens=64,
                residual_probability=0.25,
            )
        ]
    )
    tallied = tally([verdict_row])["all"]
    assert (tallied.correct, tallied.usage) == (1, Usage(12, 3))
    assert list(curve([verdict_row])) == [1]
    _, ranking = from_row(ranking_row)
    assert (ranking.winner, ranking.scores) == (1, (-1.0, 1.0))


def test_a_run_of_version_1_can_be_inspected(tmp_path: Path) -> None:
    found = runs.inspected(runs.open(written(tmp_path / "old.jsonl", [OF_VERSION_1, RANKING_OF_VERSION_1])))
    assert (found["rows"], found["votes"], found["statuses of votes"]) == (2, 2, {"ok": 2})


def lacking(name: str, of: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in of.items() if key != name}


def a_row() -> dict[str, Any]:
    return row([vote(0)])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        pytest.param({"schema": SCHEMA + 1}, f"has schema {SCHEMA + 1}, but this version", id="newer"),
        pytest.param({"schema": "two"}, "has schema 'two'", id="no number"),
        pytest.param({"votes": {}}, "votes: got dict, expected a list", id="votes"),
        pytest.param({"votes": [3]}, "votes.0: got int, expected a JSON object", id="vote"),
        pytest.param({"votes": [{"status": "ok"}]}, "votes.0: lacks error", id="bare vote"),
        pytest.param({"tokens": 3}, "tokens: got int, expected an object", id="tokens"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_by_its_line(tmp_path: Path, second: dict[str, Any], message: str) -> None:
    path = written(tmp_path / "run.jsonl", [a_row(), a_row() | second])
    with pytest.raises(FathomError) as raised:
        list(read_rows(path))
    assert str(raised.value).startswith(f"{path}:2: ")
    assert message in str(raised.value)


@pytest.mark.parametrize("name", sorted({"prompt", "rule", "votes", "full_label", "status", "id", "metadata"}))
def test_a_row_that_lacks_a_key_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FathomError, match=r"run\.jsonl:1: "):
        list(read_rows(written(tmp_path / "run.jsonl", [lacking(name, a_row())])))


@pytest.mark.parametrize("name", sorted({"winner", "tokens", "order", "responses"}))
def test_a_row_of_version_1_that_lacks_a_key_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FathomError, match=rf"run\.jsonl:1: lacks {name}"):
        list(read_rows(written(tmp_path / "run.jsonl", [lacking(name, RANKING_OF_VERSION_1)])))


def test_a_rule_or_a_status_of_another_version_is_an_error_with_the_row() -> None:
    for change in ({"status": "splendid"}, {"rule": {"aggregate": "mean", "ties": "drop"}}):
        with pytest.raises(FathomError, match="row 'pair-1' has an invalid value"):
            from_row(a_row() | change)
