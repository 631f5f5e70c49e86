"""Votes chosen by a meta reward model, in two small worlds: where votes share a visible flaw, and where they do not.

The claims are those of "Inference-Time Scaling for Generalist Reward Modeling" (arXiv 2504.02495) about its meta reward
model, and what they rest on:

- `plain_voting_saturates`: where most votes share a flaw, more votes do not help;
- `meta_recovers`: half of the votes, chosen by a meta reward model, are better than all, and better than greedy;
- `rlvr_repairs`: RLVR mends one vote more than choosing mends many;
- `meta_without_flaws`: the same gain where the errors of votes are independent. Nothing visible tells right votes from
  wrong ones there, so this one is expected to come out false.

Everything below `results` is a pure function of what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.data.reading import write_jsonl
from fathom.lab import arms, criteria, spct
from fathom.lab.reproductions import _voting
from fathom.lab.reproductions._claims import claim, claim_folder, named, side_by_side
from fathom.lab.reproductions._voting import COUNTS, SUM, Runs, difference, guided, summed
from fathom.lab.spct import Measured, Settings, greedy, one
from fathom.report.figures import lines
from fathom.report.page import markdown
from fathom.results.provenance import provenance, write_json

LAZY = 0.55
"""Share of the first judge's trajectories that go by polish, whatever the cues say."""
WORLDS = {"flawed": {"clear": 1.0, "lazy": LAZY}, "ambiguous": {"clear": 0.55, "lazy": 0.0}}
"""In the first, errors are lazy judgments; in the second, draws of the wrong principle."""
JUDGES: Mapping[str, str] = {
    "flawed": "lazy in most votes",
    "flawed-rlvr": "the same after RLVR",
    "ambiguous": "never lazy, unclear cues",
}
MOST = COUNTS[-1]
KEPT = (1, 8, 16, 32)
"""Of 32 votes; the paper's k_meta."""
MARGIN = 0.02
"""More votes do not help when they add less than this."""


def reproduce(out: Path, seeds: Sequence[int], size: Settings | None = None) -> Iterator[str]:
    """Run the experiment in `out`, then write results.json, meta-voting.md and its figure; yield progress.

    `size` says how large it is; the worlds are `WORLDS`. To resume is to run again: what an interrupted run finished is
    kept.
    """
    size = size or Settings(clear=1.0)
    experiment = {"settings": asdict(size), "worlds": WORLDS, "recipes": spct.recipes_used()}
    for seed in seeds:
        claim_folder(out / f"seed-{seed}", experiment)
    parts = [(world, seed, _in_world(size, world), out / f"seed-{seed}") for world in WORLDS for seed in seeds]
    for world, seed, *_ in side_by_side(run, parts):
        yield f"seed {seed}: judge and meta reward model of the {world} world trained and measured"
    found = {**results(collect(out, seeds)), "seeds": list(seeds)}
    found["origin"] = {**provenance(experiment | {"seeds": list(seeds)}, []), "recipes": experiment["recipes"]}
    write_json(out / "results.json", found)
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    figure(found, out)
    (out / "meta-voting.md").write_text(page(found), encoding="utf-8")
    yield f"wrote {out / 'results.json'}, {out / 'meta-voting.md'} and its figure"


def _in_world(size: Settings, world: str) -> Settings:
    return replace(size, clear=WORLDS[world]["clear"], lazy=WORLDS[world]["lazy"])


def run(world: str, seed: int, settings: Settings, out: Path) -> None:
    """Trains a world's judges and measures them; results of an earlier run are kept."""
    arms.use_one_thread()
    folder = out / world
    if not (out / f"{world}.jsonl").exists():
        judge = spct.pretrain(settings, seed, folder)
        meta = spct.guide(settings, seed, judge, folder / "meta")
        write_jsonl(out / f"{world}.jsonl", map(asdict, spct.measure(settings, seed, judge, meta)))
    if world == "flawed" and not (out / "flawed-rlvr.jsonl").exists():
        reinforced = spct.reinforce(settings, seed, folder / "judge", folder / "rlvr")
        write_jsonl(out / "flawed-rlvr.jsonl", map(asdict, spct.measure(settings, seed, reinforced)))


def collect(out: Path, seeds: Sequence[int]) -> dict[str, Runs]:
    return {judge: [spct.read_measured(out / f"seed-{seed}" / f"{judge}.jsonl") for seed in seeds] for judge in JUDGES}


def results(runs: Mapping[str, Runs]) -> dict[str, Any]:
    """The contents of `results.json`."""
    return {
        "judges": {judge: _voting.summary(runs[judge]) for judge in JUDGES},
        "ceilings": {judge: _voting.ceilings(runs[judge]) for judge in JUDGES},
        "kept": {world: {kept: _kept(runs[world], kept) for kept in KEPT} for world in WORLDS},
        "claims": claims(runs),
        "beside_the_paper": beside_the_paper(runs),
    }


def _kept(runs: Runs, kept: int) -> dict[str, float]:
    """The accuracy of the best `kept` of all votes, and how many of those are lazy."""
    accuracy = _voting.mean(runs, partial(spct.voted, count=MOST, rule=SUM, keep=kept))
    return {**named("accuracy", accuracy), "lazy": fmean(_lazy(item, kept) for run in runs for item in run)}


def _lazy(item: Measured, kept: int) -> float:
    votes = spct.outcome(item, MOST, SUM, keep=kept).votes
    return fmean(
        principle == criteria.POLISH for principle, vote in zip(item.principles, votes, strict=True) if vote.included
    )


def claims(runs: Mapping[str, Runs]) -> dict[str, dict[str, Any]]:
    flawed, rlvr, ambiguous = (runs[judge] for judge in ("flawed", "flawed-rlvr", "ambiguous"))
    many = summed(MOST)
    return {
        "plain_voting_saturates": claim(
            {f"sum of 4 votes - sum of {MOST}": difference((flawed, summed(4)), (flawed, many))},
            bars={f"sum of 4 votes - sum of {MOST}": -MARGIN},
        ),
        "meta_recovers": claim(
            {
                f"16 of {MOST} votes - all {MOST}": difference((flawed, guided(MOST)), (flawed, many)),
                f"16 of {MOST} votes - greedy": difference((flawed, guided(MOST)), (flawed, greedy)),
                f"16 of {MOST} votes - 2 of 4": difference((flawed, guided(MOST)), (flawed, guided(4))),
            }
        ),
        "rlvr_repairs": claim(
            {
                "one vote, RLVR - before": difference((rlvr, one), (flawed, one)),
                f"one vote after RLVR - 16 of {MOST} votes before": difference((rlvr, one), (flawed, guided(MOST))),
            }
        ),
        "meta_without_flaws": claim(
            {f"16 of {MOST} votes - all {MOST}": difference((ambiguous, guided(MOST)), (ambiguous, many))}
        ),
    }


def beside_the_paper(runs: Mapping[str, Runs]) -> list[dict[str, Any]]:
    """Differences of the paper's overall accuracy (27B), and the same ones here."""
    flawed = runs["flawed"]
    best, half = guided(MOST, 1), guided(MOST)
    rows = [
        ("32 votes - 8 votes", 71.0 - 70.6, (flawed, summed(32)), (flawed, summed(8))),
        ("4 of 8 votes - all 8", 72.0 - 70.6, (flawed, guided(8)), (flawed, summed(8))),
        ("16 of 32 votes - all 32", 72.8 - 71.0, (flawed, half), (flawed, summed(32))),
        ("16 of 32 votes - 4 of 8", 72.8 - 72.0, (flawed, half), (flawed, guided(8))),
        ("16 of 32 votes - greedy", 72.8 - 69.9, (flawed, half), (flawed, greedy)),
        ("1 of 32 votes - 16 of 32", 71.5 - 72.8, (flawed, best), (flawed, half)),
    ]
    return [_voting.beside(name, round(paper, 1), difference(plus, minus)) for name, paper, plus, minus in rows]


def figure(found: Mapping[str, Any], out: Path) -> None:
    """Accuracy of k votes, all, chosen and adaptive, in both worlds, and what the best reader would reach."""
    titles = {"flawed": "votes share a visible flaw", "ambiguous": "errors of votes are independent"}
    names = {"sum": "sum of all", "majority": "majority of all", "guided": "sum of the chosen half"}
    panels = {
        title: {
            **{name: _voting.line(found["judges"][world][rule]) for rule, name in names.items()},
            "sum, adaptive": _voting.adaptive_line(found["judges"][world]["adaptive"]),
        }
        for world, title in titles.items()
    }
    marks = {title: found["ceilings"][world]["best"] for world, title in titles.items()}
    lines(panels, out / "meta-voting", across="votes drawn", up="accuracy", marks=marks, legend="best possible")


def page(found: Mapping[str, Any]) -> str:
    """The page in Markdown, with every number from `found`, which is `results.json` read again."""
    return markdown(
        "fathom.lab.reproductions",
        "meta_voting.md.jinja",
        **found,
        judge_names=JUDGES,
        counts=[*map(str, COUNTS)],
        margin=MARGIN,
    )
