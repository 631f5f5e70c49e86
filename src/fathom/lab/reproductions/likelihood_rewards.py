"""Rewards from likelihoods, without training, on real pairs with a small real model, beside length and prompting.

The claims are those of FLIP (arXiv 2602.13551), FLR (arXiv 2409.13948) and EndoRM (arXiv 2506.23235) that such rewards
beat prompting the same model as a judge, and ours about length; likelihood_rewards.yaml states them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import isnan
from operator import eq, gt, lt
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.engines import Engine, Sampling, smollm2
from fathom.engines.cache import CachedEngine
from fathom.engines.checkpoints import resolve
from fathom.engines.loading import fastest_dtype
from fathom.engines.local import LocalEngine
from fathom.judges import RewardModel, Verdict
from fathom.judges.yes_no import YesNoJudge
from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement, figure
from fathom.lab.lengths import by_length, half_for_tie, is_similar
from fathom.lab.real_pairs import REAL, check, draw
from fathom.metrics.correlations import correlations
from fathom.probes import echo
from fathom.report.figures import grouped_bars
from fathom.results.provenance import write_json
from fathom.rewards.backward import BackwardReward
from fathom.rewards.endogenous import EndogenousReward
from fathom.rewards.flip import FlipReward
from fathom.rewards.follow_up import FollowUpReward
from fathom.rewards.forward import ForwardReward
from fathom.rewards.pmi import PMIReward
from fathom.voting.wrappers import Swapped

Item = TypeVar("Item")
SHORT = ("llmbar", "hhh", "autoj", "evalbiasbench")
STYLED = ("rm_bench chat", "rm_bench code", "rm_bench safety")
STYLES = ("concise", "detailed", "detailed, Markdown")
ECHO, ALONE = "echo", "request alone"
"""The sets of attacked pairs: the worse response begins with the request, or is the request."""
BATCH = 2**12
"""Tokens per batch. On a CPU, one batch of all prompts took more than twice as long."""
METHODS: Mapping[str, str] = {
    "forward sum": "log p(y given x), sum",
    "forward mean": "log p(y given x), mean",
    "pmi sum": "PMI, sum",
    "pmi mean": "PMI, mean",
    "backward": "log p(x given y)",
    "endogenous": "endogenous, V(end) = 0",
    "endogenous end": "endogenous, minus V(end)",
    "follow up": "follow-up likelihood",
    "prompted pair": "prompted, a pair",
    "prompted single": "prompted, one response",
}
BASELINES: Mapping[str, str] = {"longer": "always the longer", "shorter": "always the shorter"}
GENERATED: Mapping[str, str] = {"flip": "FLIP, generated, word F1"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    pairs: Mapping[str, int | None]
    """Pairs of each short set, per seed; None for all that the seed's fold holds."""
    longest: int
    """Characters of prompts and responses in the short sets."""
    style_prompts: int
    """Prompts of each domain of RM-Bench, per seed, with nine pairs each."""
    longest_style: int
    generated: int
    """Short pairs on which FLIP writes text, per seed."""
    flip_tokens: int
    echoed: int
    """Short pairs that are attacked by repeating the request, per seed."""
    data: Mapping[str, str]
    """The digest of each set (`real_pairs.digest`)."""
    model: str = "smollm2"


@dataclass(frozen=True, slots=True)
class Judged:
    """One method on one pair."""

    set: str
    right: float | None
    """1 if the better response wins, 0.5 for a tie, 0 if not; None without a readable verdict."""
    longer: float
    """The length of the better response divided by that of the other, in characters."""
    margin: float | None = None
    """The score of the better response minus that of the other."""
    styles: tuple[int, int] | None = None
    """In RM-Bench, the styles of the better and of the other response."""


# Running --------------------------------------------------------------------------------------------------------------


def prepare(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Check the data, and choose the precision by timing, once per seed: a resumed run computes in the same one."""
    check(settings.data)
    write_json(folder / "precision.json", {"dtype": fastest_dtype("cpu")})


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Judge the seed's pairs by the methods of a part. The journal keeps what an interrupted run finished."""
    use_one_thread()
    dtype = json.loads((folder / "precision.json").read_text("utf-8"))["dtype"]
    short, styled = pairs(seed, settings)
    attacked = [*short, *styled, *echoes(some(short, settings.echoed))]
    local = LocalEngine(resolve(settings.model), device="cpu", dtype=dtype, max_batch_tokens=BATCH)
    with CachedEngine(local, folder / f"{part}.journal") as engine:
        for name, model in models(part, engine).items():
            _keep(folder / f"{name}.jsonl", model, attacked)
        if part == "judges":
            sampling = Sampling(max_tokens=settings.flip_tokens)
            _keep(folder / "flip.jsonl", FlipReward(engine=engine, sampling=sampling), some(short, settings.generated))


def models(part: str, engine: Engine) -> dict[str, RewardModel]:
    """The reward models of a part, by the names of `METHODS`. None is trained, and none sees a label."""
    if part == "judges":
        # By default the judge needs half of the probability on Yes and No, which a model this small seldom gives.
        pair, single = (YesNoJudge(engine=engine, pairs=both, least=0.0) for both in (True, False))
        return {"prompted pair": Swapped(pair), "prompted single": single}
    return {
        "forward sum": ForwardReward(engine=engine, reduce="sum"),
        "forward mean": ForwardReward(engine=engine, reduce="mean"),
        "pmi sum": PMIReward(engine=engine, reduce="sum"),
        "pmi mean": PMIReward(engine=engine, reduce="mean"),
        "backward": BackwardReward(engine=engine),
        "endogenous": EndogenousReward(engine=engine),
        "endogenous end": EndogenousReward(engine=engine, end_state="value"),
        "follow up": FollowUpReward(engine=engine),
    }


def pairs(seed: int, settings: Settings) -> tuple[list[Comparison], list[Comparison]]:
    """The short pairs of a seed, and those of RM-Bench. `metadata["set"]` names the set of each."""
    short = [
        _of(name, pair)
        for name, count in settings.pairs.items()
        for pair in draw(REAL[name], seed, count, settings.longest)
    ]
    count = len(STYLES) ** 2 * settings.style_prompts
    styled = [
        _of("rm_bench", pair) for name in STYLED for pair in draw(REAL[name], seed, count, settings.longest_style)
    ]
    return short, styled


def _of(name: str, pair: Comparison) -> Comparison:
    return pair.model_copy(update={"metadata": {**pair.metadata, "set": name}})


def echoes(pairs: Iterable[Comparison]) -> Iterator[Comparison]:
    """The attacks of the probe `echo` on the worse response of each pair."""
    for pair in pairs:
        assert pair.label is not None
        for variation in echo.vary(pair):
            if variation.target != pair.label.winner:
                of = ALONE if variation.name == echo.ALONE else ECHO
                changed = {"id": f"{pair.id}#{of}", "responses": variation.responses}
                yield _of(of, pair.model_copy(update=changed))


def some(items: Sequence[Item], count: int) -> list[Item]:
    """Items at equal distances, so that every set keeps its share."""
    return [items[place * len(items) // count] for place in range(count)]


def _keep(path: Path, model: RewardModel, pairs: Sequence[Comparison]) -> None:
    if not path.exists():
        write_jsonl(path, (asdict(judged(pair, verdict)) for pair, verdict in model.run(pairs)))


def judged(pair: Comparison, verdict: Verdict) -> Judged:
    assert pair.label is not None
    assert pair.label.winner is not None
    best = pair.label.winner
    better, other = pair.responses[best], pair.responses[1 - best]
    right = None
    if verdict.scores is not None:
        right = 0.5 if verdict.winner is None else float(verdict.winner == best)
    return Judged(
        set=pair.metadata["set"],
        right=right,
        longer=len(better) / len(other),
        margin=None if verdict.scores is None else verdict.scores[best] - verdict.scores[1 - best],
        styles=tuple(pair.metadata["styles"]) if "styles" in pair.metadata else None,
    )


# Measuring ------------------------------------------------------------------------------------------------------------

Run = Sequence[Judged]


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    runs = {name: _read(folder / f"{name}.jsonl") for name in (*METHODS, *GENERATED)}
    precision = json.loads((folder / "precision.json").read_text("utf-8"))["dtype"]
    return measured(runs, bfloat16=precision == "bfloat16")


def _read(path: Path) -> list[Judged]:
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return [Judged(**{**row, "styles": row["styles"] and tuple(row["styles"])}) for row in rows]


def measured(runs: Mapping[str, Run], *, bfloat16: bool) -> Measurement:
    """A pure function of one seed's verdicts. All methods but FLIP judged the same pairs, in the same order."""
    runs = {**runs, **baselines(runs["forward sum"])}
    short = {name: [each for each in run if each.set in SHORT] for name, run in runs.items()}
    styled = {name: [each for each in run if each.styles is not None] for name, run in runs.items()}
    some_of = {name: run if name == "flip" else some(run, len(runs["flip"])) for name, run in short.items()}
    every = (*METHODS, *BASELINES)
    attacked = {name: attacks(runs[name], short[name]) for name in every}
    return Measurement(
        contrasts=contrasts(short, styled, some_of) | echo_contrasts(attacked),
        figures={
            "accuracy": {name: _by_set(short[name]) for name in every},
            "lengths": {name: lengths(short[name]) for name in every},
            "styles": {name: styles(styled[name]) for name in every},
            "generated": {name: accuracy(run) for name, run in some_of.items()},
            "readable": {name: fmean(each.right is not None for each in runs[name]) for name in (*METHODS, *GENERATED)},
            "attacked": attacked,
            "by_length": {name: length_correlation(short[name]) for name in METHODS},
            "pairs": {
                "short": len(short["longer"]),
                "styled": len(styled["longer"]),
                "generated": len(runs["flip"]),
                "attacked": sum(each.set == ECHO for each in runs["longer"]),
            },
            "similar": fmean(is_similar(each.longer) for each in short["longer"]),
            "bfloat16": float(bfloat16),
        },
    )


def contrasts(short: Mapping[str, Run], styled: Mapping[str, Run], some_of: Mapping[str, Run]) -> dict[str, float]:
    """By the words of the register."""
    right = {name: accuracy(run) for name, run in short.items() if name != "flip"}
    matrix = {name: accuracy(styled[name]) for name in METHODS}
    generated = {name: accuracy(run) for name, run in some_of.items()}
    return {
        "FLIP - prompted with a pair, same pairs": generated["flip"] - generated["prompted pair"],
        "FLIP - prompted with one response, same pairs": generated["flip"] - generated["prompted single"],
        "endogenous - prompted with a pair, RM-Bench": matrix["endogenous"] - matrix["prompted pair"],
        "endogenous - prompted with one response, RM-Bench": matrix["endogenous"] - matrix["prompted single"],
        "follow-up likelihood - 0.5": right["follow up"] - 0.5,
        "PMI sum - 0.5": right["pmi sum"] - 0.5,
        "backward - 0.5": right["backward"] - 0.5,
        "PMI sum - always the longer": right["pmi sum"] - right["longer"],
        "backward - always the longer": right["backward"] - right["longer"],
        "PMI sum - 0.5, both directions of length": lengths(short["pmi sum"])["balanced"] - 0.5,
        "backward - 0.5, both directions of length": lengths(short["backward"])["balanced"] - 0.5,
        "backward - FLIP, same pairs": generated["backward"] - generated["flip"],
    }


def echo_contrasts(attacked: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {
        "backward, before - with the prompt repeated": attacked["backward"]["before"] - attacked["backward"][ECHO],
        "0.5 - backward against the prompt alone": 0.5 - attacked["backward"][ALONE],
    }


def attacks(run: Run, short: Run) -> dict[str, float]:
    """Accuracy on the pairs that were attacked, before it and after it."""
    found = {of: [each for each in run if each.set == of] for of in (ECHO, ALONE)}
    before = accuracy(some(short, len(found[ECHO])))
    return {"before": before} | {of: accuracy(attacked) for of, attacked in found.items()}


def accuracy(run: Run) -> float:
    """The share of right verdicts. A tie and an unreadable verdict count half, as a guess would."""
    return fmean(map(_right, run))


def _right(each: Judged) -> float:
    return 0.5 if each.right is None else each.right


def baselines(run: Run) -> dict[str, list[Judged]]:
    """The verdicts of rules that read no text. Equal lengths are a tie."""

    def ruled(sign: int) -> list[Judged]:
        return [replace(each, right=half_for_tie(sign * (each.longer - 1)), margin=None) for each in run]

    return {"longer": ruled(1), "shorter": ruled(-1)}


def _by_set(run: Run) -> dict[str, float]:
    return {"all": accuracy(run)} | {name: accuracy([each for each in run if each.set == name]) for name in SHORT}


def lengths(run: Run) -> dict[str, float]:
    return by_length((each.longer, _right(each)) for each in run)


def styles(run: Run) -> dict[str, float]:
    """The style matrix of RM-Bench, `i-j` for a better response of style i, and the means of its triangles."""
    cells = {(i, j): accuracy([each for each in run if each.styles == (i, j)]) for i, j in product(range(3), repeat=2)}
    parts: Mapping[str, Callable[[int, int], bool]] = {"easy": gt, "normal": eq, "hard": lt}
    means = {name: fmean(value for cell, value in cells.items() if holds(*cell)) for name, holds in parts.items()}
    return {f"{i}-{j}": value for (i, j), value in cells.items()} | means | {"all": fmean(cells.values())}


def length_correlation(run: Run) -> float | None:
    """Spearman's correlation of the difference of scores with that of lengths; None if one of them is constant."""
    known = [(each.margin, each.longer) for each in run if each.margin is not None]
    if not known:
        return None
    rho = correlations([margin for margin, _ in known], [longer for _, longer in known]).spearman
    return None if isnan(rho) else rho


# The page -------------------------------------------------------------------------------------------------------------


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    by_set = {name: [sets[of].values for of in SHORT] for name, sets in found["accuracy"].items()}
    return {
        "mean_of_sets": {name: figure([*map(fmean, zip(*values, strict=True))]) for name, values in by_set.items()},
        "method_names": {**METHODS, **BASELINES, **GENERATED},
        "style_names": STYLES,
        "sets": SHORT,
        "attack_names": {"before": "before", ECHO: "prompt repeated", ALONE: "prompt alone"},
    }


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy where the better response is longer and where it is shorter: a bias towards length shows as a gap."""
    names: Iterable[str] = ("forward sum", "forward mean", "pmi sum", "pmi mean", "backward", "follow up", "longer")
    strata = {"the better response is longer": "longer", "the better response is shorter": "shorter"}
    labels = {**METHODS, **BASELINES}
    bars = {labels[name]: [found["lengths"][name][each].bar for each in strata.values()] for name in names}
    grouped_bars({"accuracy within length strata": bars}, tuple(strata), folder / "likelihood-rewards")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("likelihoods", "judges"),
    prepare=prepare,
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=lambda: {"wheel": smollm2.WHEEL_VERSION},
    every_pair={"pairs": dict.fromkeys(SHORT)},
)
