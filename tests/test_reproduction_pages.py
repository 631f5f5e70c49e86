"""Pages of experiments, the register and the README's table are what registers and committed results give."""

from __future__ import annotations

import json
import re
from pathlib import Path
from runpy import run_path

import pytest

from fathom.errors import FathomError
from fathom.lab import demo
from fathom.lab.experiments import pages
from fathom.lab.reproductions import REPRODUCTIONS, find

ROOT = Path(__file__).parent.parent
SCRIPT = run_path(str(ROOT / "docs" / "reproductions.py"))
NAMES = REPRODUCTIONS.shipped()


def test_no_page_was_edited_by_hand_or_is_out_of_step() -> None:
    found = [str(path.relative_to(ROOT)) for path in SCRIPT["differing"]()]
    assert found == [], "run: python docs/reproductions.py"


def test_an_edited_number_is_noticed() -> None:
    texts = SCRIPT["texts"]()
    made = {*(f"{find(name).name}.md" for name in NAMES), "register.md", "README.md", "index.md"}
    assert {path.name for path in texts} == made
    one, *_ = SCRIPT["figures"]().values() or ["M 1.5 2.5 L 3 4"]
    number = re.search(r"\d+\.\d", one)
    assert number is not None
    assert SCRIPT["alike"](one, one)
    assert not SCRIPT["alike"](one, one[: number.start()] + "999.9" + one[number.end() :])


def test_the_readme_needs_its_marks_once() -> None:
    assert pages.between("a\n<!-- x -->\nold<!-- /x -->\nb", "x", "new\n") == "a\n<!-- x -->\nnew\n<!-- /x -->\nb"
    with pytest.raises(FathomError, match="once each"):
        pages.between("no marks", "x", "new")


def test_the_demo_s_committed_results_are_those_of_its_settings_and_of_the_default_seed() -> None:
    stored = json.loads(demo.COMMITTED.read_text(encoding="utf-8"))
    assert stored["made_from"] == json.loads(json.dumps(demo.made_from()))
    assert stored["config"] == {"seed": 10}


def test_means_of_claims_decided_by_count_have_no_interval() -> None:
    counted = [
        (pages.page(each, each.results), words)
        for each in map(find, NAMES)
        for made in pages.decisions(each, each.results)
        if made.decided_by == "count"
        for words in made.contrasts
    ]
    assert counted
    for page, words in counted:
        row = next(line for line in page.splitlines() if f"| {words} | " in line)
        mean = row.split(f"| {words} | ")[1].split(" | ")[0]
        assert re.fullmatch(r"[+-]\d\.\d{3}", mean), words


@pytest.mark.parametrize("name", NAMES)
def test_templates_hold_no_numbers_of_their_own(name: str) -> None:
    text = find(name).template.read_text(encoding="utf-8")
    prose = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", text, flags=re.DOTALL)
    assert re.findall(r"(?<![\w-])[+-]?\d+(?:\.\d+)?", prose) == []


@pytest.mark.parametrize("name", NAMES)
def test_committed_results_are_small_summed_up_and_of_reported_seeds_and_settings_in_the_code(name: str) -> None:
    experiment = find(name)
    results = experiment.results
    if results is None:
        assert "have not been run yet, so no claim is decided." in pages.page(experiment, None)
        return
    assert "\n## What it found\n- " in pages.page(experiment, results)
    assert set(results.seeds) <= set(experiment.register.reported.seeds)
    assert experiment.home.with_suffix(".json").stat().st_size < 2**17
    assert results.made_from == experiment.origin()[0]


@pytest.mark.parametrize("name", NAMES)
def test_committed_results_were_made_for_the_claims_of_the_register(name: str) -> None:
    experiment = find(name)
    results = experiment.results
    if results is None:
        assert not experiment.home.with_suffix(".json").exists()
        return
    again = f"run `fathom reproduce {name} --out OUT` again, which keeps finished seeds and records the claims"
    assert results.claims is not None, again
    assert results.claims == experiment.register.criteria, "a claim was changed after its results; see CONTRIBUTING.md"


def test_no_table_is_cut_off_after_its_head() -> None:
    texts = [pages.page(find(name), find(name).results) for name in NAMES]
    heads = [line for text in texts for line in re.findall(r"^\|---.*\n.*$", text, flags=re.MULTILINE)]
    assert heads
    assert [head for head in heads if not head.partition("\n")[2].startswith("|")] == []
