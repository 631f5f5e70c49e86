"""DogeRM in a small world of facts: does a merge bring a language model's knowledge to a reward model?

The claims are those of DogeRM (arXiv 2407.01470), as directions, and some of ours about its conditions; merge.yaml
states them. `fathom.lab.facts` is the world.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.report.figures import grouped_bars
from fathom.results.provenance import write_json

if TYPE_CHECKING:
    from fathom.lab.facts import Domain, Pair, Settings, World

PARTNERS: Mapping[str, str] = {
    "fitting": "read domain B, same base",
    "unrelated": "read domain C, same base",
    "foreign": "read domain B, another base",
}
"""The language models that the reward model is merged with."""
CONTROL = "control"
"""The part without a merge: a reward model whose base has read domain B, too."""
SETS: Mapping[str, str] = {"a": "domain A", "b": "domain B"}
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""The accuracy by partner, weight and set of pairs; `chosen on` is the set on which weights are chosen."""


def make_settings(**values: Any) -> Settings:
    from fathom.lab.facts import Settings

    return Settings(**values)


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    use_one_thread()
    write_json(folder / f"{part}.json", control(seed, settings) if part == CONTROL else merges(part, seed, settings))


def control(seed: int, settings: Settings) -> dict[str, Any]:
    """Whether a reward model, trained in the same way, uses facts of domain B that its base has read."""
    from fathom.lab import facts

    world = facts.make_world(settings, seed)
    base = facts.pretrained(world, settings, seed, known=("a", "b"))
    reward = facts.rewarded(base, world, settings, seed)
    return {
        "known": {domain: facts.knows(base, world, domain) for domain in facts.DOMAINS},
        "accuracy": {name: facts.accuracy(reward, tested(world)[name]) for name in SETS},
    }


def merges(part: str, seed: int, settings: Settings) -> dict[str, Any]:
    """Train the reward model and the partner of a part, and score every merge of the two."""
    from fathom.lab import facts
    from fathom.train.merging import similarity

    world = facts.make_world(settings, seed)
    base = facts.pretrained(world, settings, seed)
    reward = facts.rewarded(base, world, settings, seed)
    read: Domain = "c" if part == "unrelated" else "b"
    if part == "foreign":
        base = facts.pretrained(world, settings, seed + FOREIGN)
    partner = facts.continued(base, world, read, settings, seed)
    return {
        "known": {domain: facts.knows(partner, world, domain) for domain in facts.DOMAINS},
        "similarity": similarity(reward, partner),
        "scores": {str(weight): scores(reward, partner, world, weight) for weight in settings.weights},
    }


FOREIGN = 1000
"""Added to the seed of another base: it has another initialization, and reads other batches of the same facts."""


def scores(reward: Any, partner: Any, world: World, weight: float) -> dict[str, float]:
    """The accuracies of the reward model, merged with this weight of the partner."""
    from fathom.lab import facts
    from fathom.train.merging import merge_into

    merged = deepcopy(reward)
    merge_into(facts.part(merged, world, "reward"), [facts.part(partner, world, "partner")], [weight])
    return {name: facts.accuracy(merged, of_set) for name, of_set in tested(world).items()}


def tested(world: World) -> dict[str, list[Pair]]:
    """All pairs of the held-out halves of both domains, and of the half of domain B on which the weight is chosen."""
    from fathom.lab import facts

    (_, a), (choosing, b) = facts.halves(world, "a"), facts.halves(world, "b")
    return {
        "a": facts.pairs(world, "a", a),
        "b": facts.pairs(world, "b", b),
        "chosen on": facts.pairs(world, "b", choosing),
    }


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    found = {part: json.loads((folder / f"{part}.json").read_text("utf-8")) for part in EXPERIMENT.parts}
    known = {part: of_part["known"] for part, of_part in found.items()}
    similarities = {part: found[part]["similarity"] for part in PARTNERS}
    return measured({part: found[part]["scores"] for part in PARTNERS}, found[CONTROL]["accuracy"], known, similarities)


def measured(
    found: Scores,
    control: Mapping[str, float],
    known: Mapping[str, Mapping[str, float]],
    similarities: Mapping[str, float],
) -> Measurement:
    """A pure function of one seed's accuracies. `known`, `similarities`: figures of each part for the page."""
    fitting = found["fitting"]
    chosen = max(fitting, key=lambda weight: (fitting[weight]["chosen on"], -float(weight)))
    half = min(fitting, key=lambda weight: abs(float(weight) - 0.5))
    alone = fitting[min(fitting, key=float)]
    return Measurement(
        contrasts={
            "B, base that read B - reward model": control["b"] - alone["b"],
            "B, merged - reward model": fitting[chosen]["b"] - alone["b"],
            "A, merged - reward model": fitting[chosen]["a"] - alone["a"],
            "B, fitting - unrelated": fitting[chosen]["b"] - found["unrelated"][chosen]["b"],
            "A, same base - another base": fitting[half]["a"] - found["foreign"][half]["a"],
        },
        figures={
            "chosen": float(chosen),
            "merged": {part: _of_sets(of_part[chosen]) for part, of_part in found.items()},
            "halfway": {part: _of_sets(of_part[half]) for part, of_part in found.items()},
            "alone": _of_sets(alone),
            "control": _of_sets(control),
            "known": known,
            "similarity": similarities,
            "sweep": {
                part: {weight: _of_sets(each) for weight, each in of_part.items()} for part, of_part in found.items()
            },
        },
    )


def _of_sets(accuracies: Mapping[str, float]) -> dict[str, float]:
    return {name: accuracies[name] for name in SETS}


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    """With the numbers of seeds that merge nothing, and on which `fathom merge` would refuse a partner."""
    from fathom.train.merging import LEAST_SIMILARITY

    similarities = {part: found["similarity"][part].values for part in PARTNERS}
    return {
        "partners": PARTNERS,
        "sets": SETS,
        "unmerged": sum(weight == 0 for weight in found["chosen"].values),
        "least_similarity": LEAST_SIMILARITY,
        "refused": {part: sum(each < LEAST_SIMILARITY for each in values) for part, values in similarities.items()},
    }


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy by weight, for both domains and each partner."""
    weights = list(found["sweep"]["fitting"])
    panels = {
        words: {weight: [found["sweep"][part][weight][name].bar for part in PARTNERS] for weight in weights}
        for name, words in SETS.items()
    }
    marks = {words: dict.fromkeys(weights, 0.5) for words in SETS.values()}
    grouped_bars(panels, list(PARTNERS.values()), folder / "merge", marks=marks, legend="chance")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=make_settings,
    parts=(*PARTNERS, CONTROL),
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
)
