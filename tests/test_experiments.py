"""Experiments: what a register must hold, how claims are decided, and how seeds run, resume and are reported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from fathom.cli import app
from fathom.errors import FathomError
from fathom.lab.experiments.claims import Decision, decide
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.pages import beside, page
from fathom.lab.experiments.processes import claim_folder
from fathom.lab.experiments.register import Claim, read
from fathom.lab.experiments.results import Figure, Row, figure, load, over_seeds
from fathom.lab.experiments.running import quick, reproduce
from fathom.lab.reproductions import find

REGISTER = {
    "title": "Coins",
    "question": "Is a coin fair?",
    "summary": "A coin is thrown {throws} times.",
    "minutes": 1,
    "settings": {"throws": 100},
    "fixed": ["{throws} throws"],
    "claims": [
        {
            "name": "fair",
            "words": "Heads and tails are as likely.",
            "of": "ours",
            "decided_by": "mean",
            "contrasts": {"0.1 - distance from one half": 0},
        }
    ],
    "shaping": {"seeds": [0], "chosen": ["The number of throws."]},
    "reported": {"seeds": [10, 11, 12, 13, 14, 15, 16, 17]},
    "true_by_construction": ["Nothing."],
    "learned": ["Nothing."],
    "cannot_show": ["Other coins."],
    "base_models": "There are no models.",
}
CODE = """
import json, random
from dataclasses import dataclass
from pathlib import Path
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement

@dataclass(frozen=True)
class Settings:
    throws: int

def run(part, seed, settings, folder):
    with (folder / "runs.txt").open("a") as log:
        log.write(part)
    if (folder / "broken").exists():
        raise RuntimeError("the coin rolled away")
    heads = sum(random.Random(f"{part}/{seed}").random() < 0.5 for _ in range(settings.throws))
    (folder / f"{part}.json").write_text(json.dumps(heads / settings.throws))

def measure(seed, settings, folder):
    share = sum(json.loads((folder / f"{part}.json").read_text()) for part in EXPERIMENT.parts) / 2
    return Measurement({"0.1 - distance from one half": 0.1 - abs(share - 0.5)}, {"heads": share})

def figures(found, folder):
    (folder / "coins.svg").write_text(str(found["heads"]))

EXPERIMENT = Experiment(
    home=Path(__file__), make_settings=Settings, parts=("first", "second"), run=run, measure=measure, figures=figures,
)
"""


@pytest.fixture
def coins(tmp_path: Path) -> Path:
    (tmp_path / "coins.py").write_text(CODE)
    (tmp_path / "coins.yaml").write_text(yaml.safe_dump(REGISTER))
    (tmp_path / "coins.md.jinja").write_text("Heads: {{ heads }}\n")
    return tmp_path / "coins.py"


# Registers ------------------------------------------------------------------------------------------------------------


def register(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "register.yaml"
    path.write_text(yaml.safe_dump(REGISTER | changes))
    return path


def test_texts_take_their_numbers_from_the_settings(tmp_path: Path) -> None:
    found = read(register(tmp_path))
    assert (found.summary, found.fixed) == ("A coin is thrown 100 times.", ("100 throws",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shaping": {"seeds": [0, 10], "chosen": []}}, r"seeds \[10\] are not development seeds; expected 0 to 9"),
        ({"reported": {"seeds": [2, *range(10, 20)]}}, r"seeds \[2\] cannot be reported"),
        ({"reported": {"seeds": [100, *range(10, 20)]}}, r"seeds \[100\] cannot be reported"),
        ({"reported": {"seeds": [10, 11, 12]}}, "3 seeds; expected at least 8, or a `reason`"),
        ({"fixed": ["{tosses} throws"]}, "tosses"),
        ({"claims": REGISTER["claims"] * 2}, "claims need different names"),  # type: ignore[operator]
        ({"verdict": "yes"}, "verdict"),
    ],
)
def test_a_register_that_breaks_a_rule_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(FathomError, match=message):
        read(register(tmp_path, **changes))


@pytest.mark.parametrize("settings", [{"throws": 100, "sides": 2}, {"sides": 2}])
def test_settings_that_the_experiment_does_not_know_are_refused(settings: dict[str, int], coins: Path) -> None:
    coins.with_suffix(".yaml").write_text(yaml.safe_dump(REGISTER | {"settings": settings, "fixed": [], "summary": ""}))
    with pytest.raises(FathomError, match=r"coins\.yaml: settings: .*'sides'"):
        _ = find(str(coins)).settings


def test_fewer_seeds_need_a_reason(tmp_path: Path) -> None:
    found = read(register(tmp_path, reported={"seeds": [10, 11, 12], "reason": "a seed takes a day"}))
    assert found.reported.seeds == (10, 11, 12)


# Claims ---------------------------------------------------------------------------------------------------------------


def decided(by: str, *contrasts: Sequence[float], threshold: float = 0.0) -> Decision:
    names = [f"contrast {place}" for place, _ in enumerate(contrasts)]
    claim = Claim(name="it", words="It.", of="ours", decided_by=by, contrasts=dict.fromkeys(names, threshold))  # type: ignore[arg-type]
    rows = [
        Row(seed=seed, contrasts=dict(zip(names, values, strict=True)), figures={}, wall_seconds=0, cpu_seconds=0)
        for seed, values in enumerate(zip(*contrasts, strict=True), 10)
    ]
    return decide(claim, rows)


def test_a_mean_decides_by_students_interval_of_every_contrast() -> None:
    assert decided("mean", [1, 2, 3, 4]).holds  # 2.5 [0.4, 4.6]
    assert not decided("mean", [1, 2, 3, 4], threshold=0.5).holds
    assert not decided("mean", [1, 2, 3, 4], [-1, 3, 1, -2]).holds
    assert str(decided("mean", [1, 2, 3, 4])) == "holds by mean: 4 of 4 seeds succeed [0.40, 1.00]"


def test_only_an_interval_below_its_threshold_refutes() -> None:
    assert decided("mean", [1, 2, 3, 4], threshold=0.5).result == "undecided"
    assert decided("mean", [1, 2, 3, 4], [-1, -2, -3, -4]).result == "does not hold"
    assert decided("mean", [1, 2, 3, 4], [-1, 3, 1, -2]).result == "undecided"
    assert decided("count", [1.0] * 3 + [-1.0] * 3).result == "undecided"
    assert decided("count", [1.0] + [-1.0] * 8).result == "does not hold"


def test_a_count_decides_by_its_exact_interval() -> None:
    worked, failed = [1.0, 1.1, 0.9, 1.0, 1.2, 1.0, 0.8, 1.0, 1.1], [-1.0]
    assert str(decided("count", worked + failed)) == "holds by count: 9 of 10 seeds succeed [0.55, 1.00]"
    assert decided("count", worked + failed).holds
    assert not decided("count", worked[:8] + 2 * failed).holds
    assert not decided("count", worked[:5]).holds, "five seeds are too few, also if all succeed"
    assert not decided("count", worked[:8], [*worked[:6], -1.0, -1.0]).holds, "a seed needs all of its contrasts"


def test_where_all_seeds_agree_the_count_decides_and_the_mean_has_no_interval() -> None:
    alike = decided("mean", [0.25] * 8)
    assert (alike.decided_by, alike.holds) == ("count", True)
    assert str(alike.contrasts["contrast 0"]) == "0.250"
    one = decided("mean", [0.25])
    assert (one.decided_by, one.holds) == ("count", False)


def test_clusters_that_repeat_widen_the_interval() -> None:
    shifts = {"draft": -0.3, "write": 0.3, "pitch": 0.1, "phrase": -0.1}
    seeds = [0.49, 0.5, 0.51, 0.5, 0.52, 0.48, 0.5, 0.5]
    alone = figure(seeds).interval
    crossed = figure(seeds, [{verb: seed + shift for verb, shift in shifts.items()} for seed in seeds]).interval
    assert alone is not None
    assert crossed is not None
    assert crossed.high - crossed.low > 10 * (alone.high - alone.low)
    strata = {f"{'low' if shift < 0 else 'high'}/{verb}": shift for verb, shift in shifts.items()}
    within = figure(seeds, [{verb: seed + shift for verb, shift in strata.items()} for seed in seeds]).interval
    assert within is not None
    assert within.high - within.low < crossed.high - crossed.low, "strata do not change with the clusters"


def test_figures_over_seeds_keep_their_names_and_skip_what_a_seed_lacks() -> None:
    found = over_seeds([{"a": {"b": 1.0}, "c": 2}, {"a": {"b": 3.0}, "c": None}])
    assert found["a"]["b"].values == (1.0, 3.0)
    assert found["c"] == Figure(2, None, (2,))
    assert str(found["a"]["b"]) == "2.000 [-10.706, 14.706]"
    assert found["a"]["b"].text("+.0f", times=10) == "+20 [-107, +147]"


def test_marks_beside_a_paper_are_corrected_for_the_number_of_rows() -> None:
    clear, unclear, alike = figure([0.1, 0.11, 0.09, 0.1]), figure([0.1, 0.4, 0.2, -0.02]), figure([-0.2] * 4)
    weak = figure([0.01, 0.05, 0.03, 0.02])
    assert weak.interval is not None
    assert weak.interval.low > 0
    rows = beside([("clear", 1.0, clear), ("unclear", 1.0, unclear), ("alike", 1.0, alike), ("weak", 1.0, weak)])
    told = {row["difference"]: row["mark"] for row in rows}
    no = "not significant"
    assert told == {"clear": "same sign", "unclear": no, "alike": "**other sign**", "weak": no}


# Running --------------------------------------------------------------------------------------------------------------


def test_seeds_run_once_and_each_is_kept_as_it_finishes(coins: Path, tmp_path: Path) -> None:
    experiment = find(str(coins))
    list(reproduce(experiment, tmp_path / "out", [10]))
    claim_folder(tmp_path / "out" / "seed-11", experiment.origin()[0])
    (tmp_path / "out" / "seed-11" / "broken").touch()
    with pytest.raises(RuntimeError, match="rolled away"):
        list(reproduce(experiment, tmp_path / "out", [10, 11]))
    (tmp_path / "out" / "seed-11" / "broken").unlink()
    lines = list(reproduce(experiment, tmp_path / "out", [10, 11]))
    assert any(line.startswith("fair: ") and " of 2 seeds succeed [" in line for line in lines)
    assert (tmp_path / "out" / "seed-10" / "runs.txt").read_text() in {"firstsecond", "secondfirst"}
    results = load(tmp_path / "out" / "results.json")
    assert results.seeds == [10, 11]
    assert results.made_from["settings"] == {"throws": 100}
    assert results.claims == {"fair": {"decided_by": "mean", "contrasts": {"0.1 - distance from one half": 0.0}}}
    text = (tmp_path / "out" / "coins.md").read_text()
    assert "| 10 | " in text
    assert "have not been run yet" in text, "only two of the reported seeds"
    assert text == page(experiment, results)
    before = (tmp_path / "out" / "results.json").read_bytes()
    list(reproduce(experiment, tmp_path / "out", [10, 11]))
    assert (tmp_path / "out" / "results.json").read_bytes() == before


@pytest.mark.parametrize("change", [{"decided_by": "count"}, {"contrasts": {"0.1 - distance from one half": -0.1}}])
def test_results_show_that_a_claim_was_changed_after_them(change: dict[str, object], coins: Path) -> None:
    found = read(coins.with_suffix(".yaml"))
    [claim] = REGISTER["claims"]  # type: ignore[misc]
    coins.with_suffix(".yaml").write_text(yaml.safe_dump(REGISTER | {"claims": [claim | change]}))
    assert read(coins.with_suffix(".yaml")).criteria != found.criteria
    coins.with_suffix(".yaml").write_text(yaml.safe_dump(REGISTER | {"claims": [claim | {"words": "It is fair."}]}))
    assert read(coins.with_suffix(".yaml")).criteria == found.criteria, "the words decide nothing"


def test_results_that_recorded_no_claims_can_still_be_read(coins: Path, tmp_path: Path) -> None:
    list(reproduce(find(str(coins)), tmp_path / "out", [10]))
    path = tmp_path / "out" / "results.json"
    written = json.loads(path.read_text())
    del written["claims"]
    path.write_text(json.dumps(written))
    assert (load(path).claims, load(path).seeds) == (None, [10])


def test_a_page_begins_with_what_was_found_and_explains_the_names_of_its_contrasts(coins: Path, tmp_path: Path) -> None:
    coins.with_suffix(".yaml").write_text(yaml.safe_dump(REGISTER | {"terms": {"heads": "of {throws} throws"}}))
    coins.with_suffix(".md.jinja").write_text(
        "{% set findings %}\nThe share of heads is {{ heads | plain }}.\n{% endset %}\n## Throws\n"
    )
    experiment = find(str(coins))
    list(reproduce(experiment, tmp_path / "out", [10]))
    results = load(tmp_path / "out" / "results.json")
    text = page(experiment, results)
    share = results.rows[0].figures["heads"]
    parts = ["## What it found", f"The share of heads is {share:.2f}.", "## The experiment", "## What this can show"]
    parts += ["## Claims", "- **heads**: of 100 throws", "## Every seed", "## Throws"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "What it found" not in page(experiment, None)


def test_quick_runs_the_first_reported_seed_beside_the_committed_one_and_decides_nothing(
    coins: Path, tmp_path: Path
) -> None:
    experiment = find(str(coins))
    lines = list(quick(experiment, tmp_path / "quick"))
    assert "seed 10: here, not committed yet" in lines
    assert lines[-1] == "one seed decides no claim"
    assert not (tmp_path / "quick" / "results.json").exists()
    list(reproduce(experiment, tmp_path / "out", [10]))
    (tmp_path / "out" / "results.json").rename(coins.with_suffix(".json"))
    lines = list(quick(experiment, tmp_path / "quick"))
    [contrast] = (line for line in lines if "distance from one half" in line)
    here, committed, *_ = contrast.split()
    assert here == committed


def test_seeds_that_check_the_finished_code_are_held_against_the_committed_ones(coins: Path, tmp_path: Path) -> None:
    experiment = find(str(coins))
    list(reproduce(experiment, tmp_path / "out", [10, 11]))
    (tmp_path / "out" / "results.json").rename(coins.with_suffix(".json"))
    [line] = (line for line in reproduce(experiment, tmp_path / "check", [100, 101]) if line.startswith("fair: "))
    assert "; as committed " in line
    assert line.endswith("(Fisher's exact test)")


def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    claim_folder(tmp_path / "seed-10", {"settings": {"samples": 16}})
    claim_folder(tmp_path / "seed-10", {"settings": {"samples": 16}})
    with pytest.raises(FathomError, match="other settings"):
        claim_folder(tmp_path / "seed-10", {"settings": {"samples": 8}})


def test_the_command_says_what_seeds_are_for(coins: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["reproduce", str(coins), "--out", str(tmp_path / "out"), *arguments])
        assert done.exit_code == 0, done.output
        return " ".join(done.stderr.split())

    assert "seeds [0] are development seeds, and are never reported" in run("--seeds", "0")
    assert "seeds [100] are kept for checking the finished code" in run("--seeds", "100")
    assert "one seed decides no claim" in run("--quick")
    run()
    seeds = [row["seed"] for row in json.loads((tmp_path / "out" / "results.json").read_text())["rows"]]
    assert seeds == list(range(10, 18)), "the reported ones of the register"


def test_without_a_name_all_experiments_are_listed() -> None:
    listed = CliRunner().invoke(app, ["reproduce"], catch_exceptions=False).stdout
    assert "mix-grm" in listed
    assert "minutes" in listed


def test_what_is_no_experiment_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("EXPERIMENT = 1")
    with pytest.raises(FathomError, match=r"found a int, expected a fathom\.lab\.experiments\.experiment\.Experiment"):
        find(str(tmp_path / "other.py"))
    assert isinstance(find("mix-grm"), Experiment)
