"""The viewer without a browser: what a page holds can be had back, and nothing in it can act."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom.cli import app
from fathom.errors import FathomError
from fathom.judges import Rule
from fathom.rationale import Status
from fathom.report import viewer
from fathom.report.embedding import packed, unpacked
from fathom.report.facts import facts
from fathom.results import runs
from judged import ranked, row, swapped, vote, written

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.lists(json_values), st.integers(1, 100))
def test_rows_come_out_of_their_parts_as_they_went_in(rows: list[Any], part_bytes: int) -> None:
    parts = list(packed(rows, part_bytes=part_bytes))
    assert [each for part in parts for each in unpacked(part.text)] == rows
    assert [len(unpacked(part.text)) for part in parts] == [part.rows for part in parts]


@given(st.lists(json_values, min_size=1))
def test_no_character_of_a_part_can_end_its_element(rows: list[Any]) -> None:
    assert all(re.fullmatch("[A-Za-z0-9+/=]+", part.text) for part in packed(rows))


def test_equal_rows_make_equal_pages(tmp_path: Path) -> None:
    run = runs.open(written(tmp_path / "verdicts.jsonl", [row(swapped([0, 0]))]))
    assert viewer.page(run) == viewer.page(run)


class Elements(HTMLParser):
    """The elements of a page, and the text of its scripts by their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.scripts and not self.scripts[-1][1]:
            self.scripts[-1] = (self.scripts[-1][0], data)


def test_what_models_wrote_adds_no_element_to_the_page(tmp_path: Path) -> None:
    tame = written(tmp_path / "verdicts.jsonl", [row(swapped([0, 0]))])
    before = Elements(viewer.page(runs.open(tame)))
    hostile = {"id": ATTACK, "prompt": ATTACK, "responses": (ATTACK, "5"), "metadata": {"subset": ATTACK}}
    rows = [row(swapped([0, 0], principle=ATTACK, judgment=ATTACK), **hostile)]
    after = Elements(viewer.page(runs.open(written(tmp_path / "verdicts.jsonl", rows))))
    assert after.names == before.names
    (packed_rows,) = (text for attributes, text in after.scripts if attributes.get("class") == "part")
    assert unpacked(packed_rows) == rows


def test_the_name_of_a_run_is_text(tmp_path: Path) -> None:
    run = runs.open(written(tmp_path / "<b>&.jsonl", [row(swapped([0, 0]))]))
    assert "<h1>&lt;b&gt;&amp;</h1>" in viewer.page(run)


def test_a_page_lets_nothing_run_but_its_own_script_and_nothing_load(tmp_path: Path) -> None:
    page = viewer.page(runs.open(written(tmp_path / "verdicts.jsonl", [row(swapped([0, 0]))])))
    (script,) = (text for attributes, text in Elements(page).scripts if not attributes)
    (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    (policy,) = re.findall('Content-Security-Policy" content="([^"]+)"', page)
    assert policy.replace("&#39;", "'") == viewer.policy([style], [script])
    assert policy.startswith("default-src &#39;none&#39;")
    assert not re.search(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|fetch|import)\b\(?", script)


OUTCOMES = {
    "right": ([0, 0], 0),
    "wrong": ([1, 1], 0),
    "tie": ([0, 1], 0),
    "unparsed": ([Status.MISSING, Status.FAILED], 0),
    "unlabelled": ([0, 0], None),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_row_is_found_by_its_outcome(outcome: str) -> None:
    winners, label = OUTCOMES[outcome]
    assert facts(row(swapped(winners), label=label)).outcome == outcome


@pytest.mark.parametrize(
    ("winners", "flipped", "divided", "unparsed"),
    [
        ([0, 0], False, False, 0),
        ([0, 1], True, True, 0),
        ([0, 0, 1, 1], False, True, 0),
        ([0, Status.TRUNCATED], False, False, 1),
        ([Status.FAILED, Status.FAILED], False, False, 2),
    ],
)
def test_a_row_is_found_by_how_its_votes_differ(
    winners: list[int | Status], flipped: bool, divided: bool, unparsed: int
) -> None:
    found = facts(row(swapped(winners)))
    assert (found.flipped, found.divided, found.unparsed) == (flipped, divided, unparsed)


def test_a_ranking_is_flipped_where_a_pair_is() -> None:
    steady, flips = (Rule()(swapped(winners)) for winners in ([0, 0], [0, 1]))
    assert not facts(ranked({(0, 1): steady}, [1.0, 0.0])).flipped
    assert facts(ranked({(0, 1): steady, (0, 2): flips}, [1.0, 0.0, 0.0])).flipped
    # Two pairs are two questions: that their winners differ divides nobody.
    assert not facts(ranked({(0, 1): steady, (1, 2): steady}, [2.0, 1.0, 0.0])).divided


def test_a_principle_is_one_however_it_is_spelled() -> None:
    votes = [vote(0, principle="Accuracy"), vote(0, (1, 0), principle=" accuracy ")]
    assert facts(row(votes)).principles == ("accuracy",)


def test_a_list_shows_the_last_message_of_a_conversation() -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What\n\nnow?"}]
    assert facts(row(swapped([0, 0]), prompt=turns)).prompt == "What now?"


# fathom view ----------------------------------------------------------------------------------------------------------


def test_a_page_is_written_to_a_file(tmp_path: Path) -> None:
    run = written(tmp_path / "verdicts.jsonl", [row(swapped([0, 0]))])
    result = CliRunner().invoke(app, ["view", str(run), "--out", str(tmp_path / "page.html")])
    assert result.exit_code == 0, result.output
    page, mark = (tmp_path / "page.html").read_text().rsplit("<!--", 1)
    assert page.rstrip() == viewer.page(runs.open(run)).rstrip()
    assert mark.startswith(" made by fathom view, sha256 ")


def test_a_file_that_holds_no_results_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}) + "\n")
    result = CliRunner().invoke(app, ["view", str(path), "--out", str(tmp_path / "page.html")])
    assert isinstance(result.exception, FathomError)
    assert f"{path}:1" in str(result.exception)


def test_a_page_is_served_to_this_machine_under_its_own_name_alone() -> None:
    with viewer.serving("<!doctype html>ü") as address:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        assert urllib.request.urlopen(address).read().decode() == "<!doctype html>ü"
        asked = urllib.request.Request(address, headers={"Host": "rebound.example"})
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(asked)


def test_a_page_is_served_until_it_is_interrupted(tmp_path: Path) -> None:
    run = written(tmp_path / "verdicts.jsonl", [row(swapped([0, 0]))])
    command = [sys.executable, "-m", "fathom", "view", str(run), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            address = serving.stdout.readline().strip()
            assert urllib.request.urlopen(address).read().decode() == viewer.page(runs.open(run))
            serving.send_signal(signal.SIGINT)
            assert serving.wait(timeout=60) == 0
        finally:
            serving.kill()


def test_a_port_that_is_taken_is_said() -> None:
    with viewer.serving("") as address:
        taken = viewer.serving("", port=int(address.strip("/").split(":")[-1]))
        with pytest.raises(FathomError, match="--port"):
            taken.__enter__()


# Keys and colours -----------------------------------------------------------------------------------------------------

DOCS = Path(__file__).parent.parent / "docs"


def test_every_key_is_explained() -> None:
    keys = re.findall(r'^  "?(\S+?)"?: \["', viewer.web("viewer.js"), re.MULTILINE)
    table = (DOCS / "viewing.md").read_text().split("| key | does |")[1].split("\n\n")[0]
    assert sorted(keys) == sorted(re.findall(r"`(\S+?)`", table))


def colours(scheme: int) -> dict[str, tuple[float, ...]]:
    """The names of the pages' colours, as shares of red, green and blue."""
    found = re.findall(r"--([\w-]+): light-dark\(#(\w{6}), #(\w{6})\)", viewer.web("common.css"))
    return {name: tuple(value / 255 for value in bytes.fromhex(shades[scheme])) for name, *shades in found}


def luminance(colour: tuple[float, ...]) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in colour]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """WCAG 2.2, section 1.4.3."""
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def mixed(colour: tuple[float, ...], share: float, paper: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(share * mine + (1 - share) * under for mine, under in zip(colour, paper, strict=True))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_all_text_has_the_contrast_that_wcag_asks_for(scheme: int) -> None:
    found = colours(scheme)
    paper, selected = found["paper"], mixed(found["accent"], 0.13, found["paper"])
    for name in found.keys() - {"paper", "panel", "line", "mark"}:
        own = mixed(found[name], 0.11, paper) if name.startswith("colour") else paper
        behind = [paper, found["panel"], own] + [selected] * (name in {"ink", "muted", "right", "wrong", "doubt"})
        assert min(contrast(found[name], each) for each in behind) >= 4.5, name
    assert contrast(found["ink"], found["mark"]) >= 4.5
