"""`fathom score` and `fathom compare`: from files of results alone, the figures that were told when they were made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fathom import bench
from fathom.cli import app
from fathom.errors import FathomError
from fathom.judges import Rule, Verdict, Vote
from fathom.rationale import Status
from fathom.results.rows import to_row
from judged import as_json, ranked, row, swapped, vote, written

PAIRS = Path(__file__).parent.parent / "examples" / "pairs.jsonl"
ANSWERS = PAIRS.with_name("answers.jsonl")


def fathom(verb: str, *arguments: object) -> Result:
    environment = {"COLUMNS": "120", "FORCE_COLOR": None}
    return CliRunner().invoke(app, [verb, *map(str, arguments)], env=environment, catch_exceptions=False)


def figures(text: str) -> list[str]:
    """The lines of a table without its title."""
    return [line.rstrip() for line in text.splitlines() if re.match("[┃│]", line)]


@pytest.mark.parametrize(("verb", "file", "kind"), [("judge", PAIRS, "verdicts"), ("rank", ANSWERS, "rankings")])
def test_score_says_from_the_rows_what_was_said_when_they_were_made(
    verb: str, file: Path, kind: str, tmp_path: Path
) -> None:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    out = tmp_path / "run.jsonl"
    made = fathom(verb, file, "--model", "mini", "--style", "depth", "--out", out)
    scored = fathom("score", out, "--json", tmp_path / "score.json")
    assert figures(scored.stdout) == figures(made.stderr)
    meta = json.loads(out.with_name("run.jsonl.meta.json").read_text())
    assert json.loads((tmp_path / "score.json").read_text())[str(out)][kind] == meta["summary"]


def test_json_on_standard_output_is_alone_there(tmp_path: Path) -> None:
    run = written(tmp_path / "run.jsonl", [row([vote(0)]), row([vote(None)], id="2")])
    scored = fathom("score", run, "--json", "-")
    assert json.loads(scored.stdout)[str(run)]["verdicts"]["all"]["accuracy_half_ties"][0] == 0.75
    assert "accuracy" in scored.stderr


def test_several_runs_can_be_told_by_votes_in_one_table(tmp_path: Path) -> None:
    greedy = written(tmp_path / "greedy.jsonl", [row([vote(0)])])
    sampled = written(tmp_path / "sampled.jsonl", [row(swapped([0, 1, 0, 0]))])
    told = json.loads(fathom("score", greedy, sampled, "--votes", "--json", "-").stdout)
    assert [(name.split("/")[-1], found["accuracy_half_ties"][0]) for name, found in told.items()] == [
        ("greedy.jsonl, 1 vote", 1.0),
        ("sampled.jsonl, 1 vote", 1.0),
        ("sampled.jsonl, 2 votes", 0.5),
        ("sampled.jsonl, 4 votes", 1.0),
    ]


def test_runs_of_one_folder_can_be_told_apart_in_a_narrow_table(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 30)
    folder.mkdir()
    told = [written(folder / name, [row([vote(0)])]) for name in ("greedy.jsonl", "sampled.jsonl")]
    lines = figures(fathom("score", *told, "--votes").stdout)
    names = "".join(re.split("[┃│]", line)[1].strip() for line in lines)
    assert "greedy.jsonl" in names
    assert "sampled.jsonl" in names


@pytest.mark.parametrize("name", ["judgebench", "llmbar"])
def test_rows_of_a_benchmark_have_its_official_score(name: str, tmp_path: Path) -> None:
    benchmark = bench.find(name)
    for file, rows in benchmark.example.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        written(tmp_path / file, [dict(each) for each in rows])
    judged = [as_json(to_row(each, both_orders(0))) for each in benchmark.load(tmp_path)]
    run = written(tmp_path / "run.jsonl", judged)
    scored = fathom("score", run, "--json", tmp_path / "score.json")
    told = json.loads((tmp_path / "score.json").read_text())[str(run)]["benchmarks"][name]
    expected = benchmark.score(judged)
    assert told["figures"] == json.loads(json.dumps(expected.figures))
    for figure, interval in expected.figures.items():
        assert any(figure in line and str(interval) in line for line in figures(scored.stdout))


def both_orders(winner: int) -> Verdict:
    return Rule()([Vote(Status.OK, winner=winner, order=order) for order in ((0, 1), (1, 0))])


def test_an_error_that_looks_like_markup_is_shown_as_it_is(tmp_path: Path) -> None:
    failed = Vote(Status.FAILED, order=(0, 1), error="[/bold] refused\x1b[31m")
    run = written(tmp_path / "run.jsonl", [row([failed])])
    assert "1 times: [/bold] refused [31m" in fathom("score", run).stdout


def test_what_is_no_run_of_verdicts_is_refused(tmp_path: Path) -> None:
    run = written(tmp_path / "run.jsonl", [{"id": "1", "metadata": {}}])
    with pytest.raises(FathomError, match="row '1' has neither votes nor pairs"):
        fathom("score", run)


def test_rankings_have_no_curve_of_votes(tmp_path: Path) -> None:
    run = written(tmp_path / "run.jsonl", [ranked({}, [1.0, 0.0])])
    with pytest.raises(FathomError, match="row 'many-1' is a ranking"):
        fathom("score", run, "--votes")


def test_compare_tells_the_difference_and_writes_the_changed_items_with_both_rows(tmp_path: Path) -> None:
    a, b = [0, 0, 1, 1, 1], [0, 1, 0, 0, 0]
    rows = {
        name: [
            row([vote(winner)], id=str(n), prompt=f"Task {n}", domain="preference") for n, winner in enumerate(winners)
        ]
        for name, winners in {"a": a, "b": b}.items()
    }
    runs = [written(tmp_path / f"{name}.jsonl", made) for name, made in rows.items()]
    changed = tmp_path / "changed.jsonl"
    said = fathom("compare", *runs, "--out", changed, "--json", tmp_path / "compared.json")
    told = json.loads((tmp_path / "compared.json").read_text())
    assert told["all"]["difference"][0] == pytest.approx(0.4)
    assert told["all"]["p"] == 0.625  # 2 * (1 + 4) / 2**4
    assert any("│ all" in line and "0.625" in line for line in said.stdout.splitlines())
    assert "domain preference" in said.stdout
    lines = [json.loads(line) for line in changed.read_text().splitlines()]
    assert [(each["id"], each["change"]) for each in lines] == [
        ("1", "right to wrong"), *((str(n), "wrong to right") for n in (2, 3, 4))
    ]  # fmt: skip
    assert lines[0] == {"id": "1", "change": "right to wrong", "a": rows["a"][1], "b": rows["b"][1]}


def test_more_than_two_runs_are_compared_in_pairs_with_corrected_p(tmp_path: Path) -> None:
    def judged(name: str, winners: list[int]) -> Path:
        rows = [row([vote(winner)], id=str(n), prompt=f"Task {n}") for n, winner in enumerate(winners)]
        return written(tmp_path / f"{name}.jsonl", rows)

    runs = [judged("a", [1] * 8), judged("b", [0] * 8), judged("c", [0, 1] * 4)]
    said = fathom("compare", *runs, "--json", tmp_path / "compared.json").stdout
    pairs = json.loads((tmp_path / "compared.json").read_text())["pairs"]
    # 2 / 2**8 for eight changes of one kind, 2 / 2**4 for four.
    assert [pair["all"]["p"] for pair in pairs] == [2 / 2**8, 2 / 2**4, 2 / 2**4]
    assert [pair["p_holm"] for pair in pairs] == [3 * 2 / 2**8, 2 * 2 / 2**4, 2 * 2 / 2**4]
    assert "3 pairs of runs" in said
    for refused, message in {
        (
            *runs,
            "--out",
            tmp_path / "changed.jsonl",
        ): "lists the items that differ between two runs; got 3; leave --out out, or give two",
        (runs[0], runs[1], runs[0]): "expected two runs or more, each once",
        (runs[0],): "expected two runs or more",
    }.items():
        with pytest.raises(FathomError, match=message):
            fathom("compare", *refused)


def test_rankings_are_compared_as_verdicts_are(tmp_path: Path) -> None:
    def many(scores: list[float]) -> list[dict[str, Any]]:
        return [ranked({}, scores, id=str(n), prompt=f"Task {n}", label={"best": 0}) for n in range(3)]

    runs = [
        written(tmp_path / f"{name}.jsonl", many(scores)) for name, scores in {"a": [0.0, 1], "b": [1.0, 0]}.items()
    ]
    told = json.loads(fathom("compare", *runs, "--json", "-").stdout)
    assert (told["all"]["rows"], told["all"]["wrong_to_right"]) == (3, 3)
