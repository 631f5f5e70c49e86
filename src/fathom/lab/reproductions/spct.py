"""SPCT in the small world of criteria: principles, rejective fine-tuning, RLVR and votes; several seeds.

The claims are those of "Inference-Time Scaling for Generalist Reward Modeling" (arXiv 2504.02495), as directions:

- `principles_help`: a judge that states its principle is better than one that writes the same scores alone;
- `one_below_greedy_below_votes`: one sampled vote is worse than the greedy one, the sum of 32 better;
- `majority_above_greedy`: the majority of 32 votes is better than the greedy one, which the world's ceilings foretell;
- `rlvr_lifts_one_vote`: RLVR makes a single vote better;
- `rlvr_scales_better`: votes add more to the judge after RLVR than to the one before.

Everything below `results` is a pure function of what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from fathom.data.reading import write_jsonl
from fathom.lab import arms, spct
from fathom.lab.reproductions import _voting
from fathom.lab.reproductions._claims import claim, claim_folder, side_by_side
from fathom.lab.reproductions._voting import COUNTS, MAJORITY, Runs, combined, difference, summed
from fathom.lab.spct import Settings, greedy, one
from fathom.report.figures import lines
from fathom.report.page import markdown
from fathom.results.provenance import provenance, write_json

CHAINS: Mapping[str, tuple[str, ...]] = {"with": ("first", "rft", "rlvr"), "without": ("without",)}
"""The judges of each arm, each made of the one before."""
JUDGES = {
    "without": "scores alone",
    "first": "principle and scores",
    "rft": "after rejective fine-tuning",
    "rlvr": "after RLVR",
}
MOST = COUNTS[-1]


def reproduce(out: Path, seeds: Sequence[int], settings: Settings | None = None) -> Iterator[str]:
    """Run the experiment in `out`, then write results.json, spct.md and its figure; yield progress as lines.

    To resume is to run again: what an interrupted run finished is kept.
    """
    settings = settings or Settings(clear=0.55)
    experiment = {"settings": asdict(settings), "recipes": spct.recipes_used()}
    for seed in seeds:
        claim_folder(out / f"seed-{seed}", experiment)
    parts = [(arm, seed, settings, out / f"seed-{seed}") for arm in CHAINS for seed in seeds]
    for arm, seed, *_ in side_by_side(run, parts):
        yield f"seed {seed}: judge {arm} principles trained and measured"
    found = {**results(collect(out, seeds)), "rejection": rejected(out, seeds), "seeds": list(seeds)}
    found["origin"] = {**provenance(experiment | {"seeds": list(seeds)}, []), "recipes": experiment["recipes"]}
    write_json(out / "results.json", found)
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    figure(found, out)
    (out / "spct.md").write_text(page(found), encoding="utf-8")
    yield f"wrote {out / 'results.json'}, {out / 'spct.md'} and its figure"


def run(arm: str, seed: int, settings: Settings, out: Path) -> None:
    """Trains the judges of an arm and measures each; results of an earlier run are kept."""
    arms.use_one_thread()
    for judge in CHAINS[arm]:
        measured = out / f"{judge}.jsonl"
        if not measured.exists():
            model = trained(judge, settings, seed, out)
            write_jsonl(measured, map(asdict, spct.measure(settings, seed, model)))


def trained(judge: str, settings: Settings, seed: int, out: Path) -> Path:
    if judge == "rft":
        spct.reject(settings, seed, out / "first" / "judge", out / "rejection")
        return spct.fine_tune(settings, seed, out / "first" / "judge", out / "rejection" / "rft.jsonl", out / "rft")
    if judge == "rlvr":
        return spct.reinforce(settings, seed, out / "rft", out / "rlvr")
    return spct.pretrain(settings, seed, out / judge, stated=judge == "first")


def collect(out: Path, seeds: Sequence[int]) -> dict[str, Runs]:
    return {judge: [spct.read_measured(out / f"seed-{seed}" / f"{judge}.jsonl") for seed in seeds] for judge in JUDGES}


def rejected(out: Path, seeds: Sequence[int]) -> dict[str, dict[str, int]]:
    """How many trajectories were kept and rejected, all seeds together, by source and reason."""
    totals: dict[str, dict[str, int]] = {}
    for seed in seeds:
        manifest = json.loads((out / f"seed-{seed}" / "rejection" / "manifest.json").read_text(encoding="utf-8"))
        for source, counts in manifest["trajectories"].items():
            for reason, count in counts.items():
                totals.setdefault(source, {}).setdefault(reason, 0)
                totals[source][reason] += count
    return totals


def results(runs: Mapping[str, Runs]) -> dict[str, Any]:
    """The contents of `results.json`."""
    return {
        "judges": {judge: _voting.summary(runs[judge]) for judge in JUDGES},
        "ceilings": _voting.ceilings(runs["first"]),
        "claims": claims(runs),
        "beside_the_paper": beside_the_paper(runs),
    }


def claims(runs: Mapping[str, Runs]) -> dict[str, dict[str, Any]]:
    first, without, rft, rlvr = (runs[judge] for judge in ("first", "without", "rft", "rlvr"))
    many, most = summed(MOST), partial(spct.voted, count=MOST, rule=MAJORITY)
    return {
        "principles_help": claim(
            {
                "greedy, with - without": difference((first, greedy), (without, greedy)),
                "one vote, with - without": difference((first, one), (without, one)),
                f"sum of {MOST} votes, with - without": difference((first, many), (without, many)),
            }
        ),
        "one_below_greedy_below_votes": claim(
            {
                "greedy - one vote, before": difference((first, greedy), (first, one)),
                f"sum of {MOST} votes - greedy, before": difference((first, many), (first, greedy)),
                "greedy - one vote, after RLVR": difference((rlvr, greedy), (rlvr, one)),
                f"sum of {MOST} votes - greedy, after RLVR": difference((rlvr, many), (rlvr, greedy)),
            }
        ),
        "majority_above_greedy": claim(
            {
                f"majority of {MOST} votes - greedy, before": difference((first, most), (first, greedy)),
                f"majority of {MOST} votes - greedy, after RLVR": difference((rlvr, most), (rlvr, greedy)),
            }
        ),
        "rlvr_lifts_one_vote": claim({"one vote, RLVR - RFT": difference((rlvr, one), (rft, one))}),
        "rlvr_scales_better": claim({f"gain of {MOST} votes, RLVR - RFT": _gain(rlvr, rft, MOST)}),
    }


def _gain(runs: Runs, before: Runs, count: int) -> Any:
    """By how much more the sum of `count` votes adds to one vote."""
    return combined([(1, runs, summed(count)), (-1, runs, one), (-1, before, summed(count)), (1, before, one)])


def beside_the_paper(runs: Mapping[str, Runs]) -> list[dict[str, Any]]:
    """Differences of the paper's overall accuracy (tables 2, 3 and 5; 27B) and the same ones here."""
    first, without, rft, rlvr = (runs[judge] for judge in ("first", "without", "rft", "rlvr"))
    eight, many = summed(8), summed(MOST)
    rows = [
        ("greedy: with principles - without", 69.9 - 67.5, (first, greedy), (without, greedy)),
        ("8 votes: with principles - without", 70.6 - 68.0, (first, eight), (without, eight)),
        ("RLVR: greedy - one vote", 69.9 - 67.9, (rlvr, greedy), (rlvr, one)),
        ("RLVR: 8 votes - greedy", 70.6 - 69.9, (rlvr, eight), (rlvr, greedy)),
        ("RLVR: 32 votes - greedy", 71.0 - 69.9, (rlvr, many), (rlvr, greedy)),
        ("greedy: RFT - before", 68.8 - 66.1, (rft, greedy), (first, greedy)),
        ("greedy: RLVR - RFT", 69.9 - 68.8, (rlvr, greedy), (rft, greedy)),
        ("one vote: RLVR - RFT", 67.9 - 67.8, (rlvr, one), (rft, one)),
    ]
    told = [_voting.beside(name, round(paper, 1), difference(plus, minus)) for name, paper, plus, minus in rows]
    return [*told, _voting.beside("gain of 8 votes over one: RLVR - RFT", 1.2, _gain(rlvr, rft, 8))]


def figure(found: Mapping[str, Any], out: Path) -> None:
    """Accuracy of k votes, a line a judge, by either rule, and what the best reader would reach."""
    panels = {
        f"{rule} of votes": {name: _voting.line(found["judges"][judge][rule]) for judge, name in JUDGES.items()}
        for rule in ("sum", "majority")
    }
    marks = dict.fromkeys(panels, found["ceilings"]["best"])
    lines(panels, out / "spct-votes", across="votes", up="accuracy", marks=marks, legend="best possible")


def page(found: Mapping[str, Any]) -> str:
    """The page in Markdown, with every number from `found`, which is `results.json` read again."""
    counts = [*map(str, COUNTS)]
    return markdown("fathom.lab.reproductions", "spct.md.jinja", **found, judge_names=JUDGES, counts=counts)
