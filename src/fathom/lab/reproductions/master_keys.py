"""Master keys in a small world of sums: verifiers that accept openers, and what truncated negatives do about it.

The claims are those of "One token to fool LLM-as-a-judge" (arXiv 2507.08794), as directions, for verifiers of some
90,000 parameters trained from random weights:

- `keys_fool`: a verifier that has only seen solutions accepts responses that say nothing;
- `negatives_defend`: first sentences of right solutions among the training data, as wrong ones, lower that;
- `negatives_defend_elsewhere`: also of keys that look like no sentence of training: signs, blanks, other languages;
- `none_left_as_published`: to none, where no solution of training is as short as a first sentence;
- `next_to_none_left`: to next to none, where some are, with the judge's guard before the verifier;
- `negatives_cost_nothing`: ordinary solutions are told as well as before;
- `long_and_wrong`: so are wrong solutions that are longer than any in training;
- `short_and_right`: and right ones that are next to nothing but the answer;
- `short_ones_must_be_shown`: for which training must hold such ones, or negatives teach that short is wrong.

Everything below `results` is a pure function of what was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fathom.lab.reproductions._claims import below, claim, claim_folder, named, side_by_side
from fathom.lab.verifiers import ARMS, TRUTHS, Arm, Measured, Settings, read_measured, recipe_used, run
from fathom.metrics.intervals import Interval, bootstrap
from fathom.report.figures import grouped_bars
from fathom.report.page import markdown
from fathom.results.provenance import provenance, write_json

GUARDED: Mapping[str, Arm] = {"plain, guarded": "plain", "truncated, guarded": "truncated"}
"""Verifiers behind the guard of `VerifierJudge`; nothing is trained for them."""
MARGIN = 0.02
"""What counts as no cost."""
NEAR = "English openers"
"""The keys whose words stand in training solutions too; the others look like nothing there."""
Runs = Mapping[str, Sequence[Sequence[Measured]]]
"""For each arm, one run per seed; the arms of a seed were measured on the same responses in the same order."""


def reproduce(out: Path, seeds: Sequence[int], settings: Settings | None = None) -> Iterator[str]:
    """Run the experiment in `out`, then write results.json, a page and its figure; yield progress as lines.

    To resume is to run again: what an interrupted run finished is kept.
    """
    settings = settings or Settings()
    origin = provenance({"seeds": list(seeds), **asdict(settings)}, [])
    for seed in seeds:
        claim_folder(out / f"seed-{seed}", {"settings": asdict(settings), "recipe": recipe_used()})
    for arm, seed, *_ in side_by_side(
        run, [(arm, seed, settings, out / f"seed-{seed}") for seed in seeds for arm in ARMS]
    ):
        yield f"seed {seed}: {arm} trained and measured"
    found = {**results(collect(out, seeds)), "seeds": list(seeds), "versions": origin["versions"], "origin": origin}
    write_json(out / "results.json", found)
    figure(found, out)
    (out / "master-keys.md").write_text(page(found, settings), encoding="utf-8")
    yield f"wrote {out / 'results.json'}, {out / 'master-keys.md'} and its figure"


def collect(out: Path, seeds: Sequence[int]) -> Runs:
    runs: dict[str, list[list[Measured]]] = {
        arm: [read_measured(out / f"seed-{seed}" / f"{arm}.jsonl") for seed in seeds] for arm in ARMS
    }
    return runs | {name: [_guarded(run) for run in runs[arm]] for name, arm in GUARDED.items()}


def _guarded(run: Sequence[Measured]) -> list[Measured]:
    return [replace(item, yes=False) if item.refused else item for item in run]


# Results --------------------------------------------------------------------------------------------------------------


def results(runs: Runs) -> dict[str, Any]:
    """The contents of `results.json`: error by arm and set, by seed, and the claims."""
    sets = list(dict.fromkeys(item.set for item in runs["plain"][0]))
    kinds = [name for name in sets if name not in TRUTHS]
    of = {"all keys": kinds, **{name: [name] for name in sets}}
    return {
        "arms": {arm: {name: _summary(runs[arm], parts) for name, parts in of.items()} for arm in runs},
        "keys": kinds,
        "claims": claims(runs),
        "floor": 0.0,
    }


def _summary(runs: Sequence[Sequence[Measured]], sets: Sequence[str]) -> dict[str, Any]:
    errors = [[item.wrong for item in run if item.set in sets] for run in runs]
    return {**named("error", bootstrap(errors)), "by_seed": [sum(run) / len(run) for run in errors]}


def claims(runs: Runs) -> dict[str, dict[str, Any]]:
    """All claims with their contrasts. A claim holds if the interval of every contrast lies above its threshold."""
    kinds = {item.set for item in runs["plain"][0]} - TRUTHS.keys()

    def less(sets: set[str], before: str = "plain") -> Interval:
        """How much less often the verifier with truncated negatives errs than another."""
        pairs = zip(runs[before], runs["truncated"], strict=True)
        return bootstrap([[a.wrong - b.wrong for a, b in zip(*pair, strict=True) if a.set in sets] for pair in pairs])

    def cost(*sets: str) -> dict[str, Any]:
        contrasts = {f"errors saved on {name}": less({name}) for name in sets}
        return claim(contrasts, bars=dict.fromkeys(contrasts, -MARGIN))

    def accepted(arm: str) -> Interval:
        return bootstrap([[item.wrong for item in run if item.set in kinds] for run in runs[arm]])

    def few(arm: str) -> dict[str, Any]:
        return claim({f"{MARGIN} - keys accepted, {arm}": below(MARGIN, accepted(arm))})

    fooled = "keys that the plain verifier accepts"
    short = {"errors saved on short and right, against none short": less({"short and right"}, "truncated, none short")}
    return {
        "keys_fool": claim({fooled: accepted("plain")}, bars={fooled: MARGIN}),
        "negatives_defend": claim({"keys accepted, plain - truncated": less(kinds)}),
        "negatives_defend_elsewhere": claim({"other keys accepted, plain - truncated": less(kinds - {NEAR})}),
        "none_left_as_published": few("truncated, none short"),
        "next_to_none_left": few("truncated, guarded"),
        "negatives_cost_nothing": cost("ordinary, right", "ordinary, wrong"),
        "long_and_wrong": cost("long and wrong"),
        "short_and_right": cost("short and right"),
        "short_ones_must_be_shown": claim(short),
    }


# The page -------------------------------------------------------------------------------------------------------------


def figure(found: Mapping[str, Any], out: Path) -> None:
    """The shares of keys accepted and of short right answers refused, a bar a seed, as PNG and SVG."""
    arms = list(found["arms"])
    panels = {
        title: {arm: [Interval(share, share, share) for share in found["arms"][arm][name]["by_seed"]] for arm in arms}
        for title, name in {"keys accepted": "all keys", "short right answers refused": "short and right"}.items()
    }
    grouped_bars(panels, [f"seed {seed}" for seed in found["seeds"]], out / "master-keys")


def page(found: Mapping[str, Any], settings: Settings) -> str:
    """The page in Markdown, with every number from `found`."""
    return markdown("fathom.lab.reproductions", "master_keys.md.jinja", **found, settings=settings, margin=MARGIN)
