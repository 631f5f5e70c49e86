"""Pages in a browser: what is hostile stays text, rows are found and read by mouse, key and link.

Needs Chromium (Debian: apt-get install chromium) and Playwright's driver, which comes with the extra `dev`; no browser
is downloaded.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fathom.data.records import Comparison, Label
from fathom.judges import Rule, Vote, merge_pointwise, scored_by_steps
from fathom.rationale import Rationale, Status, Unit
from fathom.report import overview, viewer
from fathom.report.evidence import gather
from fathom.results import runs
from fathom.results.rows import to_row
from judged import as_json, ranked, row, swapped, vote, written

pytest.importorskip("playwright.sync_api", reason='needs pip install "fathom-rm[dev]"')
from playwright.sync_api import Browser, Page, expect, sync_playwright

expect.set_options(timeout=30_000)  # a busy machine is no failure
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
ATTACKS = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a link](javascript:alert(1)) javascript:alert(1)",
    "<style>body { display: none }</style>",
    "</textarea><svg onload=alert(1)>",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs chromium on the PATH")
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield chromium
        chromium.close()


class Opened:
    """A page that fails its test when the browser complains or a dialog opens."""

    def __init__(self, browser: Browser, path: Path, fragment: str = "", **context: Any) -> None:
        self.complaints: list[str] = []
        self.page: Page = browser.new_page(**context)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.on("request", self.note_request)
        self.page.goto(f"{path.as_uri()}{fragment}")
        self.page.wait_for_selector("body[data-ready], body:not([data-pane])")

    def note_request(self, request: Any) -> None:
        if not request.is_navigation_request():
            self.complaints.append(f"asked for {request.url}")

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, *exception: object) -> None:
        self.page.close()
        assert self.complaints == []


def page_of(folder: Path, rows: Iterable[dict[str, Any]]) -> Path:
    viewer.write(viewer.page(runs.open(written(folder / "verdicts.jsonl", rows))), folder / "page.html")
    return folder / "page.html"


def listed(page: Page) -> list[str]:
    return page.locator("#rows .id").all_inner_texts()


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six rows: right, wrong, flipped, unparsed, a conversation of a ranking, hostile."""
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "2?"},
    ]
    rows = [
        row(swapped([0, 0]), id="right", domain="correctness"),
        row(swapped([1, 1], principle="Clarity", judgment="A needle lies here."), id="wrong", domain="preference"),
        row(swapped([0, 1]), id="flips", domain="preference", metadata={"subset": "hard"}),
        row(swapped([Status.TRUNCATED, Status.TRUNCATED]), id="cut", metadata={"subset": "easy"}),
        ranked({(0, 1): Rule()(swapped([0, 0])), (1, 2): Rule()([vote(0)])}, [2.0, 1.0, None], id="many", prompt=turns),
        row(
            swapped([0, 0], principle=ATTACKS[1], judgment=ATTACKS[0]),
            id=ATTACKS[0],
            prompt=ATTACKS[1],
            responses=ATTACKS[:2],
        ),
    ]
    return page_of(tmp_path_factory.mktemp("few"), rows)


def test_a_row_shows_its_responses_and_its_votes_in_both_orders(browser: Browser, few: Path) -> None:
    with Opened(browser, few, "#row=wrong") as page:
        assert page.locator(".result").inner_text() == "✗ Wrong: Response 2 is better; the label says Response 1"
        assert page.locator(".response .passage").all_inner_texts() == ["4", "5"]
        assert [line.split() for line in page.locator(".order > h4").all_inner_texts()] == [
            ["Shown", "as", "A", "=", "Response", "1", "B", "=", "Response", "2"],
            ["Shown", "as", "A", "=", "Response", "2", "B", "=", "Response", "1"],
        ]
        # Both votes are for response 2, which the second one saw as A: the letters differ, the names do not.
        assert page.locator(".unit .chip").all_inner_texts() == ["B = Response 2", "A = Response 2"]
        assert page.locator(".unit .wrong").count() == 2
        assert page.locator(".judgment").first.inner_text() == "A needle lies here."


def test_responses_judged_alone_show_what_was_said_of_each(browser: Browser, tmp_path: Path) -> None:
    refused = Vote(
        Status.OK, scores=(0.0,), order=(0,), rationale=Rationale((Unit("Content", judgment="It is bare."),))
    )
    scored = Vote(Status.OK, scores=(1.0,), order=(0,))
    one = Comparison(id="one", prompt="2 + 2?", responses=("4",), label=Label(scores=(0.0,)))
    rows = [
        row([merge_pointwise([refused, scored])], id="two"),
        as_json(to_row(one, Rule(aggregate="mean")([scored], threshold=0.5))),
    ]
    path = page_of(tmp_path, rows)
    with Opened(browser, path, "#row=two") as page:
        expect(page.locator(".vote details summary").first).to_have_text("Response 1: ok")
        expect(page.locator(".vote details .judgment")).to_have_text("It is bare.")
    with Opened(browser, path, "#row=one") as page:
        expect(page.locator(".result")).to_have_text("✗ Wrong: score 1; the label says wrong")


def solved(*votes: Sequence[float | None], **fields: Any) -> dict[str, Any]:
    """A solution of four steps, the third of which is wrong, with votes that score them and say something of step 2."""
    steps = ("2 + 2 = 4", ATTACKS[0], "4 + 1 = 6", "It is 6.")
    note = Rationale((Unit("Step 2", judgment=ATTACKS[1]), Unit("Clarity", judgment="It is clear.")))
    cast = [
        scored_by_steps(Vote(Status.OK, order=(0,), step_scores=(tuple(scores),), rationale=note), "min")
        for scores in votes
    ]
    values: dict[str, Any] = {"id": "steps", "label": Label(steps=((1.0, 0.9, 0.0, None),)), **fields}
    comparison = Comparison(prompt="2 + 2 + 1?", responses=("\n\n".join(steps),), steps=(steps,), **values)
    return as_json(to_row(comparison, Rule(aggregate="mean")(cast, threshold=0.5)))


def test_a_solution_is_shown_step_by_step_with_labels_scores_and_what_was_said(
    browser: Browser, tmp_path: Path
) -> None:
    with Opened(browser, page_of(tmp_path, [solved((0.9, 0.4, 0.1, None), (0.7, 0.2, 0.3, 0.8))])) as page:
        expect(page.locator(".first-error")).to_have_text(
            "First error by the label: step 3; first error by the scores (below 0.5): step 2"
        )
        assert page.locator(".step-text").all_inner_texts() == ["2 + 2 = 4", ATTACKS[0], "4 + 1 = 6", "It is 6."]
        scores = ["score 0.8 (mean of 0.9, 0.7)", "score 0.3 (mean of 0.4, 0.2)", "score 0.2 (mean of 0.1, 0.3)"]
        assert page.locator(".step-facts .score").all_inner_texts() == [*scores, "score 0.8"]
        assert page.locator(".step:nth-child(3) .tag").all_inner_texts() == ["first error by the label"]
        assert page.locator(".step:nth-child(2) .tag").all_inner_texts() == ["first error by the scores"]
        assert page.locator(".step:nth-child(2) .judgment").all_inner_texts() == [ATTACKS[1]] * 2
        assert page.locator(".step-facts .right:not(.score)").all_inner_texts() == [
            "✓ right by the label",
            "✓ right by the label (0.9)",
        ]


def test_types_of_steps_are_shown_where_they_are_known(browser: Browser, tmp_path: Path) -> None:
    types = (("retrieval", ATTACKS[0], None, "reasoning"),)
    with Opened(browser, page_of(tmp_path, [solved((0.9, 0.4, 0.1, None), step_types=types)])) as page:
        assert page.locator(".step-type").all_inner_texts() == ["retrieval", ATTACKS[0], "reasoning"]
        assert page.locator(".step:nth-child(4) .step-type").all_inner_texts() == ["reasoning"]


def test_scores_by_step_are_drawn_in_the_range_of_scores(browser: Browser, tmp_path: Path) -> None:
    with Opened(browser, page_of(tmp_path, [solved((1.0, 0.5, 0.0, None))])) as page:
        dots = page.locator(".step-chart .dot")
        expect(dots).to_have_count(3)
        heights = [place["y"] + place["height"] / 2 for place in (dots.nth(each).bounding_box() for each in range(3))]
        assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=1)
        assert heights[0] < heights[1]
        threshold = page.locator(".step-chart .threshold").bounding_box()
        assert threshold["y"] == pytest.approx(heights[1], abs=1)
        assert [dots.nth(each).evaluate("node => node.tagName") for each in range(3)] == ["circle", "circle", "path"]


def test_steps_without_labels_or_scores_say_so(browser: Browser, tmp_path: Path) -> None:
    rows = [
        solved((0.5, None, None, None), label=None, id="scored"),
        as_json(to_row(Comparison(id="unread", prompt="p", responses=("a\n\nb",), steps=(("a", "b"),)),
                       Rule(aggregate="mean")([Vote(Status.MISSING, order=(0,))], threshold=0.5))),
    ]  # fmt: skip
    path = page_of(tmp_path, rows)
    with Opened(browser, path, "#row=scored") as page:
        expect(page.locator(".first-error")).to_have_text("No labels; first error by the scores (below 0.5): none")
    with Opened(browser, path, "#row=unread") as page:
        expect(page.locator(".first-error")).to_have_text("No labels; no scores")
        assert page.locator(".step-chart").count() == 0


def test_a_vote_without_a_verdict_says_why(browser: Browser, few: Path) -> None:
    with Opened(browser, few, "#row=cut") as page:
        assert page.locator(".result").inner_text() == "! No verdict: the text was cut off before a verdict"
        assert page.locator(".vote .unparsed").count() == 2


def test_a_ranking_shows_its_responses_best_first_and_every_pair(browser: Browser, few: Path) -> None:
    with Opened(browser, few, "#row=many") as page:
        expect(page.locator(".response h4 .chip")).to_have_text(["Response 1", "Response 2", "Response 3"])
        expect(page.locator(".response h4 .score")).to_have_text(["score 2", "score 1"])
        assert page.locator("tbody th").all_inner_texts() == ["1 and 2", "2 and 3"]
        assert page.locator(".role").all_inner_texts() == ["user", "assistant", "user"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_model_wrote_is_shown_and_not_obeyed(browser: Browser, tmp_path: Path, attack: str) -> None:
    hostile = row(
        swapped([0, 0], principle=attack, judgment=attack),
        id=attack,
        prompt=attack,
        responses=(attack, attack),
        reference=attack,
        metadata={"subset": attack, "benchmark": attack},
    )
    with Opened(browser, page_of(tmp_path, [hostile, row(swapped([0, 0]))])) as page:
        assert page.locator(".response .passage").all_inner_texts() == [attack, attack]
        expect(page.locator("#row h2")).to_have_text(attack)
        assert page.locator("#row :is(script, img, style, svg, a, iframe)").count() == 0
        page.fill("#query", attack)
        expect(page.locator(".option")).to_have_count(1)
        page.locator(".option").click()
        expect(page.locator("#row h2")).to_have_text(attack)


@pytest.mark.parametrize(
    ("control", "value", "ids"),
    [
        ("outcome", "wrong", ["wrong"]),
        ("outcome", "tie", ["flips"]),
        ("outcome", "unparsed", ["cut"]),
        ("domain", "preference", ["wrong", "flips"]),
        ("subset", "hard", ["flips"]),
        ("principle", "clar", ["wrong"]),
        ("query", "NEEDLE", ["wrong"]),
        ("query", "rationale", []),  # the name of a key, not a text
        ("flipped", True, ["flips"]),
        ("unparsed", True, ["cut"]),
    ],
)
def test_a_filter_leaves_the_rows_that_pass_it(
    browser: Browser, few: Path, control: str, value: str | bool, ids: list[str]
) -> None:
    with Opened(browser, few) as page:
        if value is True:
            page.check(f"#{control}")
        elif control in ("principle", "query"):
            page.fill(f"#{control}", str(value))
        else:
            page.select_option(f"#{control}", str(value))
        expect(page.locator("#rows .id")).to_have_text(ids)
        page.click("#clear")
        expect(page.locator(".option")).to_have_count(6)


def test_keys_go_through_the_rows(browser: Browser, few: Path) -> None:
    with Opened(browser, few) as page:
        shown = page.locator("#row h2")
        expect(shown).to_have_text("right")
        page.keyboard.press("j")
        expect(shown).to_have_text("wrong")
        page.keyboard.press("k")
        expect(shown).to_have_text("right")
        page.keyboard.press("w")
        assert listed(page) == ["wrong"]
        page.keyboard.press("c")
        page.keyboard.press("f")
        assert listed(page) == ["flips"]
        page.keyboard.press("c")
        page.keyboard.press("o")
        assert page.locator(".vote[open]").count() == 0
        page.focus("#rows")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "row"
        page.keyboard.press("?")
        assert page.locator("#help").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("jk")  # letters in a field are letters
        assert page.locator("#query").input_value() == "jk"
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == "rows"


def test_an_address_leads_to_the_same_row_and_filters_again(browser: Browser, few: Path) -> None:
    with Opened(browser, few) as page:
        page.select_option("#domain", "preference")
        page.locator(".option", has_text="flips").click()
        expect(page.locator("#row h2")).to_have_text("flips")
        address = page.url
    with Opened(browser, few, f"#{address.split('#')[1]}") as page:
        expect(page.locator("#row h2")).to_have_text("flips")
        assert listed(page) == ["wrong", "flips"]
        page.evaluate("location.hash = '#row=cut'")
        expect(page.locator("#row h2")).to_have_text("cut")
        assert len(listed(page)) == 6


def test_a_link_to_a_search_shows_the_first_row_that_it_finds(browser: Browser, few: Path) -> None:
    with Opened(browser, few, "#query=needle") as page:
        expect(page.locator("#row h2")).to_have_text("wrong")
        expect(page.locator("#rows .id")).to_have_text(["wrong"])


def test_a_link_to_a_row_that_is_not_there_says_so(browser: Browser, few: Path) -> None:
    with Opened(browser, few, "#row=gone&sort=constructor") as page:
        expect(page.locator("#row")).to_have_text("There is no row gone.")


def test_colours_follow_the_system_until_they_are_chosen(browser: Browser, few: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with Opened(browser, few, color_scheme="light") as page:
        light = page.evaluate(background)
        page.keyboard.press("t")
        page.keyboard.press("t")
        dark = page.evaluate(background)
        assert light != dark
        page.reload()
        assert page.evaluate(background) == dark
    with Opened(browser, few, color_scheme="dark") as page:
        assert page.evaluate(background) == dark


def test_a_narrow_screen_shows_the_list_or_the_row(browser: Browser, few: Path) -> None:
    with Opened(browser, few, viewport={"width": 400, "height": 700}) as page:
        assert page.locator("#rows").is_visible()
        assert not page.locator("#row").is_visible()
        page.locator(".option", has_text="wrong").click()
        assert page.locator("#row h2").is_visible()
        page.click("#back")
        assert page.locator("#rows").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("total", [5_000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_many_rows_are_listed_without_being_in_the_document(browser: Browser, tmp_path: Path, total: int) -> None:
    right, wrong = (row(swapped([winner] * 2, judgment="word " * 100)) for winner in (0, 1))
    rows = ((right if number % 1000 else wrong) | {"id": f"row-{number}"} for number in range(total))
    with Opened(browser, page_of(tmp_path, rows)) as page:
        options = page.locator(".option")
        assert page.locator("#count").inner_text() == f"{total:,} rows"
        few = options.count()
        assert few < 60
        page.focus("#rows")
        page.keyboard.press("End")
        expect(page.locator("#row h2")).to_have_text(f"row-{total - 1}")
        assert listed(page)[-1] == f"row-{total - 1}"
        assert options.count() <= few
        page.keyboard.press("w")
        assert page.locator("#count").inner_text() == f"{total // 1000} of {total:,} rows"
        page.fill("#query", f"row-{total - 1000}")
        expect(page.locator("#count")).to_have_text(f"1 of {total:,} rows")
        assert listed(page) == [f"row-{total - 1000}"]
        assert page.locator("*").count() < 1000


@pytest.fixture(scope="module")
def report(few: Path) -> Path:
    """A report on the six rows, twice under two names, with their viewers inside."""
    shutil.copy(few.with_name("verdicts.jsonl"), few.with_name("again & again.jsonl"))
    opened = [runs.open(few.with_name(name)) for name in ("verdicts.jsonl", "again & again.jsonl")]
    found = gather(opened)
    overview.write(found, few.with_name("report.html"), viewers={each.name: viewer.page(each.run) for each in found})
    return few.with_name("report.html")


def test_a_report_shows_its_charts_under_its_own_policy_and_opens_its_rows(browser: Browser, report: Path) -> None:
    with Opened(browser, report) as page:
        assert page.locator("svg.strip").first.bounding_box()["width"] > 100
        assert page.evaluate("getComputedStyle(document.querySelector('.point')).fill") != "rgb(0, 0, 0)"
        page.get_by_role("link", name="flipped").first.click()
        rows = page.frame_locator("#rows iframe")
        expect(rows.locator("#rows .id")).to_have_text(["flips"])
        expect(rows.locator("#row h2")).to_have_text("flips")
        assert rows.locator("body").evaluate("getComputedStyle(document.querySelector('.panes')).display") == "grid"
        page.get_by_role("button", name="Report").click()
        expect(page.locator("#rows")).to_be_hidden()
        expect(page).to_have_url(re.compile("^[^#]*$"))  # waits: the page is hidden before its address changes
        page.get_by_role("link", name="Read the rows").nth(1).click()
        expect(rows.locator("header h1")).to_have_text("again & again")


def test_an_address_of_a_report_leads_to_its_rows(browser: Browser, report: Path) -> None:
    with Opened(browser, report, "#rows=verdicts&row=wrong") as page:
        expect(page.frame_locator("#rows iframe").locator("#row h2")).to_have_text("wrong")
    with Opened(browser, report, "#rows=nothing") as page:
        expect(page.locator("#rows")).to_be_hidden()


def test_a_report_on_a_narrow_screen_scrolls_its_tables_and_not_the_page(browser: Browser, report: Path) -> None:
    with Opened(browser, report, viewport={"width": 400, "height": 700}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        tables = page.locator(".scrolls")
        assert tables.count() > 3
        # Content that overflows has a shadow at its edge, which is painted by four backgrounds.
        wide = tables.evaluate_all("boxes => boxes.filter((box) => box.scrollWidth > box.clientWidth).length")
        assert wide > 0
        shadows = tables.first.evaluate("box => getComputedStyle(box).backgroundAttachment")
        assert shadows == "local, local, scroll, scroll"
