"""The report: every figure is what the metrics say, and what others wrote stays text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.errors import FathomError
from fathom.judges import Rule, Vote
from fathom.metrics.intervals import Interval, wilson
from fathom.metrics.votes import curve
from fathom.rationale import Status
from fathom.report import cards, charts, overview
from fathom.report.evidence import gather, names
from fathom.report.scoring import score
from fathom.results import runs
from fathom.results.rows import to_row
from judged import as_json, ranked, row, swapped, vote, written

ATTACK = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>"


class Text(HTMLParser):
    """What a reader sees, and the elements and addresses of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen = ""
        self.names: set[str] = set()
        self.links: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        self.seen += " " if tag in ("td", "th") else ""

    def handle_data(self, data: str) -> None:
        self.seen += data if self.lasttag != "style" else ""


def report(*paths: Path, **options: Any) -> Text:
    text = Text(overview.page(gather([runs.open(path) for path in paths]), **options))
    text.seen = re.sub(r"\s+", " ", text.seen)
    return text


@pytest.fixture
def verdicts(tmp_path: Path) -> Path:
    """Forty rows of two domains, two votes each: three right, then one wrong, and so on."""
    rows = [
        row(
            swapped([0, 0] if number % 4 else [1, 1], principle=f"Principle {number % 2}"),
            id=f"row-{number}",
            prompt=f"Question {number}",
            domain=("preference", "correctness")[number % 2],
        )
        for number in range(40)
    ]
    return written(tmp_path / "verdicts.jsonl", rows)


def told(interval: Interval | None) -> str:
    assert interval is not None
    return "{:.3f} [{:.3f}, {:.3f}]".format(*interval)


def test_the_figures_are_those_of_fathom_score(verdicts: Path) -> None:
    seen = report(verdicts).seen
    tallies = score(runs.open(verdicts).rows()).verdicts
    assert {"all", "preference", "correctness"} == tallies.keys()
    for tally in tallies.values():
        for figure in (
            tally.accuracy,
            tally.accuracy_parsed,
            tally.accuracy_half_ties,
            tally.parse_rate,
            tally.flip_rate,
        ):
            assert told(figure) in seen
    for baseline in tallies["all"].baselines.accuracy.values():
        assert told(baseline) in seen


def test_what_cannot_be_read_is_counted_and_its_errors_are_shown(tmp_path: Path) -> None:
    failed = Vote(Status.FAILED, order=(0, 1), error="HTTP 503")
    rows = [row(swapped([0, Status.TRUNCATED])), row([failed], id="pair-2", prompt="3 + 3?")]
    seen = report(written(tmp_path / "verdicts.jsonl", rows)).seen
    assert "ok 1 (50.0%), failed 1 (50.0%)" in seen
    assert "truncated 1 (50.0%), failed 1 (50.0%)" in seen
    assert "1 × HTTP 503" in seen


def test_a_run_without_labels_has_a_page_too(tmp_path: Path) -> None:
    seen = report(written(tmp_path / "verdicts.jsonl", [row(swapped([0, 0]), label=None)])).seen
    assert "1 comparisons, none with a label" in seen


def test_step_scores_of_single_solutions_have_their_figures(tmp_path: Path) -> None:
    rows = []
    for number in range(4):
        solution = Comparison(
            id=f"{number}",
            prompt=f"{number}?",
            responses=("a\n\nb",),
            steps=(("a", "b"),),
            label=Label(steps=((1, number % 2),)),
            metadata={"generator": "model-7b"},
        )
        vote = Vote(Status.OK, step_scores=((0.9, 0.8 if number % 2 else 0.6),), order=(0,))
        rows.append(as_json(to_row(solution, Rule(aggregate="mean")([vote], threshold=0.5))))
    seen = report(written(tmp_path / "verdicts.jsonl", rows)).seen
    # At 0.5 no error is found: F1 is 0. Right steps: 0.9 (4) and 0.8 (2); wrong ones: 0.6 (2), so the AUC is 1. All
    # lengths are equal: 0.5. ECE: (4 * 0.1 + 2 * 0.2 + 2 * 0.6) / 8. Too few steps for deciles of length.
    assert "all 4 0.000 1.000 – 0.500 0.250" in seen
    assert "model-7b 4" in seen
    assert "steps after the first wrong one" in seen
    assert "8 labelled steps" in seen
    assert "labelled comparisons are judged right." in seen, "a single solution has no baseline"


def test_step_scores_are_also_shown_by_the_type_of_the_step_and_the_model_that_wrote_it(tmp_path: Path) -> None:
    def solution(number: int, scores: tuple[float, float], generator: str, types: tuple[str | None, str | None]) -> Any:
        comparison = Comparison(
            id=f"{number}",
            prompt=f"{number}?",
            responses=("a\n\nb",),
            steps=(("a", "b"),),
            step_types=(types,),
            label=Label(steps=((number % 2, 1),)),
            metadata={"generator": generator},
        )
        vote = Vote(Status.OK, step_scores=(scores,), order=(0,))
        return as_json(to_row(comparison, Rule(aggregate="mean")([vote], threshold=0.5)))

    rows = [
        solution(0, (0.2, 0.9), "small-1b", ("look-up", "sum")),  # the look-up is wrong, the sum is right
        solution(1, (0.8, 0.7), "small-1b", ("look-up", None)),
        solution(2, (0.6, 0.3), "large-7b", ("sum", "sum")),  # the first sum is wrong, the second one is right
    ]
    seen = report(written(tmp_path / "verdicts.jsonl", rows)).seen
    # Look-ups: 0.8 is right, 0.2 wrong. Sums: 0.9 and 0.3 are right, 0.6 is wrong, so the AUC is 1/2.
    assert "AUC by type of step look-up sum " in seen
    assert "all 1.000 1 right, 1 wrong 0.500 2 right, 1 wrong " in seen
    assert "small-1b 1.000 1 right, 1 wrong – 1 right, 0 wrong " in seen
    assert re.search(r"large-7b +0\.000 1 right, 1 wrong ", seen), "a type that no step has leaves its cell empty"
    untyped = [{name: value for name, value in each.items() if name != "step_types"} for each in rows]
    assert "AUC by type of step" not in report(written(tmp_path / "untyped.jsonl", untyped)).seen


def test_rankings_have_their_own_figures(tmp_path: Path) -> None:
    pairs = {(0, 1): Rule()(swapped([0, 0])), (0, 2): Rule()(swapped([Status.MISSING, Status.MISSING]))}
    rows = [ranked(pairs, [1.0, 0.0, None], id=f"many-{number}", label={"best": 0}) for number in range(4)]
    path = written(tmp_path / "rankings.jsonl", rows)
    tally = score(runs.open(path).rows()).rankings["all"]
    seen = report(path).seen
    assert f"{told(tally.best_of_n)} of 4 labelled rankings" in seen
    assert "4 of 8 pairs not parsed" in seen


def test_a_benchmark_has_its_official_score_and_says_what_is_absent(tmp_path: Path) -> None:
    metadata = {"benchmark": "judgebench", "subset": "Math"}
    rows = [row(swapped([0, number % 2]), id=f"{number}", prompt=f"{number}", metadata=metadata) for number in range(8)]
    path = written(tmp_path / "verdicts.jsonl", rows)
    found = score(runs.open(path).rows()).benchmarks["judgebench"]
    seen = report(path).seen
    assert "JudgeBench, official score" in seen
    assert f"Math {told(found.figures['Math'])}" in seen
    assert "Not the official headline: no row of Knowledge, Reasoning, Coding is present" in seen


def test_rm_bench_is_told_by_the_styles_of_both_responses(tmp_path: Path) -> None:
    # Right where the chosen response has at least as much style: 1 on and below the diagonal, 0 above it.
    rows = [
        row(
            swapped([int(chosen < rejected)] * 2),
            id=f"{prompt}/{chosen}-{rejected}",
            prompt=f"{prompt}",
            metadata={"benchmark": "rm_bench", "subset": "chat", "group": prompt, "styles": [chosen, rejected]},
        )
        for prompt in range(3)
        for chosen in range(3)
        for rejected in range(3)
    ]
    (found,) = gather([runs.open(written(tmp_path / "verdicts.jsonl", rows))])
    assert {cell: interval.mean for cell, interval in found.styles.items()} == {
        (chosen, rejected): float(chosen >= rejected) for chosen in range(3) for rejected in range(3)
    }


def test_more_votes_have_their_curve(tmp_path: Path) -> None:
    path = written(tmp_path / "verdicts.jsonl", [row(swapped([1, 0, 0, 0]))])
    (found,) = gather([runs.open(path)])
    # The first vote is wrong, the first two tie, all four say 0 by three to one.
    assert {votes: tally.correct for votes, tally in found.votes.items()} == {1: 0, 2: 0, 4: 1}
    assert "Accuracy by number of votes" in report(path).seen


def test_scores_without_text_have_their_calibration_and_temperature(tmp_path: Path) -> None:
    margins = [0.5, 1.0, -1.5, 2.0] * 10
    votes = [Vote(Status.OK, int(margin < 0), (margin, 0.0), (0, 1)) for margin in margins]
    rows = [row([cast], label=0, id=str(n), prompt=f"Task {n}") for n, cast in enumerate(votes)]
    seen = report(written(tmp_path / "verdicts.jsonl", rows)).seen
    assert "Confidence: softmax of the scores" in seen
    assert "1.000 from 1 to 1 (10 pairs), 0.000 from 1.5 to 1.5 (10 pairs)" in seen
    assert "The temperature that calibrates the scores best is" in seen
    assert "Accuracy by the difference" not in report(written(tmp_path / "text.jsonl", [row([vote(0), vote(0)])])).seen


def test_one_vote_has_no_curve(tmp_path: Path) -> None:
    assert "Accuracy by number of votes" not in report(written(tmp_path / "verdicts.jsonl", [row(swapped([0]))])).seen


def test_a_second_run_is_held_against_the_first(verdicts: Path, tmp_path: Path) -> None:
    better = [json.loads(line) | {"winner": 0, "correct": True} for line in verdicts.read_text().splitlines()]
    seen = report(verdicts, written(tmp_path / "better.jsonl", better)).seen
    assert "better against verdicts" in seen
    assert "all 40 0.750" in seen
    assert "+0.250" in seen


def test_runs_of_other_items_stand_side_by_side(verdicts: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "other.jsonl", [row(swapped([0, 0]), id="elsewhere")])
    seen = report(verdicts, other).seen
    assert "2 runs" in seen
    assert "other against verdicts" not in seen
    assert "Not compared with verdicts" in seen
    assert "of 40 and 1 items 0 are in both runs; items are matched by id, for example 'row-0'" in seen


def test_unlabelled_rows_have_no_link_to_wrong_ones(tmp_path: Path) -> None:
    pairs = written(tmp_path / "pairs.jsonl", [row(swapped([0, 0]), label=None)])
    rankings = written(tmp_path / "rankings.jsonl", [ranked({(0, 1): Rule()([vote(0)])}, [1.0, 0.0])])
    labelled = written(tmp_path / "labelled.jsonl", [row(swapped([1, 1]))])
    links = {path.stem: report(path, viewers={path.stem: "rows.html"}).links for path in (pairs, rankings, labelled)}
    assert {stem: any("outcome=wrong" in str(link) for link in found) for stem, found in links.items()} == {
        "pairs": False,
        "rankings": False,
        "labelled": True,
    }


def test_annotators_and_the_human_ceiling_stand_in_the_report(tmp_path: Path) -> None:
    said = {"ann": Label(best=0), "bob": Label(best=0), "cy": Label(best=1)}
    rows = [row([vote(0)], id=str(n), prompt=str(n), annotations=said) for n in range(3)]
    seen = report(written(tmp_path / "verdicts.jsonl", rows)).seen
    assert "Agreement with people" in seen
    assert "judge and bob 3 1.000" in seen
    assert "judge and cy 3 0.000" in seen
    # To cy, the others name the first; to ann and bob the others are divided.
    assert "human ceiling an annotator against the majority of the others 3 0.000" in seen
    assert "judge against the same majorities 3 1.000" in seen
    assert "Agreement with people" not in report(written(tmp_path / "bare.jsonl", [row([vote(0)])])).seen


def test_what_two_orders_do_to_accuracy_is_said(tmp_path: Path) -> None:
    rows = [row(swapped([0, 1]), id="split", prompt="1"), row(swapped([0, 0]), id="alike", prompt="2")]
    path = written(tmp_path / "verdicts.jsonl", rows)
    tallies = curve(runs.open(path).rows())
    assert [
        (tally.accuracy.mean, tally.accuracy_half_ties.mean)
        for tally in tallies.values()
        if tally.accuracy and tally.accuracy_half_ties
    ] == [
        (1.0, 1.0),
        (0.5, 0.75),
    ]
    assert tallies[2].tied == wilson(1, 2)
    seen = report(path).seen
    assert "if two orders name different responses, two votes tie" in seen
    assert "over 1 rows with a label and a winner" in seen


def test_runs_of_one_name_are_told_apart_by_their_folders() -> None:
    paths = ["a/x/verdicts.jsonl", "b/x/verdicts.jsonl", "b/other.jsonl"]
    assert names([runs.Run(Path(path)) for path in paths]) == ["a/x/verdicts", "b/x/verdicts", "b/other"]


def test_a_run_is_taken_once(verdicts: Path) -> None:
    with pytest.raises(FathomError, match="twice"):
        gather([runs.open(verdicts), runs.open(verdicts)])


def test_a_folder_stands_for_the_runs_in_it(verdicts: Path, tmp_path: Path) -> None:
    (tmp_path / "verdicts.jsonl.meta.json").write_text("{}")
    assert runs.opened([tmp_path]) == [runs.open(verdicts)]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FathomError, match="contains no run"):
        runs.opened([tmp_path / "empty"])


def test_an_empty_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FathomError, match="no row"):
        gather([runs.open(written(tmp_path / "verdicts.jsonl", []))])


def test_what_others_wrote_stays_text(tmp_path: Path) -> None:
    votes = [*swapped([0, 0], principle=ATTACK), Vote(Status.FAILED, order=(0, 1), error=ATTACK)]
    rows = [row(votes, id=f"{number}", prompt=f"{number}", metadata={"subset": ATTACK}) for number in range(6)]
    path = written(tmp_path / f"{ATTACK.replace('/', '')}.jsonl", rows)
    path.with_name(f"{path.name}.meta.json").write_text(json.dumps({"config": {ATTACK: ATTACK}}))
    (name,) = names([runs.open(path)])
    text = report(path)
    assert not {"script", "img"} & text.names
    assert text.links == []
    text = report(path, viewers={name: f"</script>{ATTACK}"})
    assert "img" not in text.names
    assert text.links
    assert all(link is not None and link.startswith("#rows=") and "<" not in link for link in text.links)
    assert text.seen.count("<img src=x onerror=alert(1)>") >= 5


def test_a_card_beside_a_run_is_shown_with_it(verdicts: Path, tmp_path: Path) -> None:
    measure = {"name": "effect", "meaning": "how much", "target": 0.0, "mean": 0.25, "low": 0.125, "high": 0.5}
    measures = [measure | {"on_target": False, "n": 40, "left_out": 1}, {"name": "rate", "n": 0}]
    (tmp_path / "card.json").write_text(json.dumps({"probes": {"length": {"title": ATTACK, "measures": measures}}}))
    result = CliRunner().invoke(app, ["report", str(verdicts), "--out", str(tmp_path / "page.html"), "--no-viewer"])
    assert result.exit_code == 0, result.output
    text = Text((tmp_path / "page.html").read_text())
    assert "script" not in text.names
    assert f"{ATTACK} effect" in text.seen
    assert "0.250 [0.125, 0.500] 0 ✗ no 40 1" in text.seen
    assert "rate  –" in text.seen


def test_a_file_that_is_no_card_is_refused_with_its_field(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text('{"probes": {"length": {"title": "Length"}}}')
    with pytest.raises(FathomError, match=r"card\.json: .*probes\.length\.measures"):
        cards.read(tmp_path / "card.json")


def test_the_page_loads_nothing_and_runs_nothing(verdicts: Path) -> None:
    page = overview.page(gather([runs.open(verdicts)]))
    (policy,) = re.findall('Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src &#39;none&#39;; script-src &#39;none&#39;")
    assert Text(page).links == []
    assert " style=" not in page  # which the policy would refuse


# fathom report --------------------------------------------------------------------------------------------------------


def test_links_lead_to_the_rows_that_they_name(verdicts: Path, tmp_path: Path) -> None:
    out = tmp_path / "page" / "report.html"
    result = CliRunner().invoke(app, ["report", str(verdicts), "--out", str(out)])
    assert result.exit_code == 0, result.output
    links = Text(out.read_text()).links
    assert "#rows=verdicts&outcome=wrong&domain=preference" in links
    assert "#rows=verdicts&principle=principle+1" in links
    assert all(str(link).startswith("#rows=verdicts") for link in links)
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]  # it can be mailed alone


def test_a_page_without_texts_has_no_viewer_in_it(verdicts: Path, tmp_path: Path) -> None:
    out = tmp_path / "page" / "report.html"
    result = CliRunner().invoke(app, ["report", str(verdicts), "--out", str(out), "--no-viewer"])
    assert result.exit_code == 0, result.output
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    assert Text(out.read_text()).links == []
    assert "One is right." not in out.read_text()


# Charts ---------------------------------------------------------------------------------------------------------------

share = st.floats(0, 1)


@given(st.lists(share, min_size=3, max_size=3).map(sorted), share)
def test_a_strip_keeps_its_figure_between_its_bounds_and_inside_the_drawing(figure: list[float], mark: float) -> None:
    low, mean, high = figure
    svg = charts.strip(Interval(mean, low, high), marks={"<rule>": mark})
    (start, end) = map(float, re.findall(r'class="reach" x1="([\d.]+)".*?x2="([\d.]+)"', svg)[0])
    (middle,) = map(float, re.findall(r'class="point" cx="([\d.]+)"', svg))
    assert 0 <= start <= middle <= end <= charts.STRIP_WIDTH
    assert "&lt;rule&gt;" in svg


@given(st.dictionaries(st.sampled_from(["breadth", "depth", "hybrid"]), st.integers(1, 1000), min_size=1))
def test_a_bar_is_divided_whole(counts: dict[str, int]) -> None:
    widths = re.findall(r'<rect[^>]* width="([\d.]+)"', charts.shares(counts, overview.STRUCTURES))
    assert sum(map(float, widths)) == pytest.approx(charts.STRIP_WIDTH, abs=0.2)


@given(st.lists(st.floats(0, 300), min_size=1, max_size=6))
def test_the_names_of_curves_do_not_cover_each_other(heights: list[float]) -> None:
    lines = {f"run {place}": [(10.0, Interval(0.5, 0.4, 0.6), "1")] for place, _ in enumerate(heights)}
    svg = charts.curves(lines, "tokens")
    ends = sorted(float(y) for y, _ in re.findall(r'class="fill-\d" x="[\d.]+" y="([\d.]+)"[^>]*>(run \d)', svg))
    assert len(ends) == len(heights)
    assert all(below - above >= 15.9 for above, below in pairwise(ends))
