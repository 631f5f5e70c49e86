"""A small autoregressive reward model that guides a larger one in a grammar of four words.

The claims are those of GenARM (arXiv 2410.08193), and ours about the price of a large weight; genarm.yaml states them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.report.figures import lines
from fathom.results.provenance import write_json

if TYPE_CHECKING:
    from fathom.lab.grammar import Texts


@dataclass(frozen=True, kw_only=True)
class Settings:
    length: int
    """Words of a text."""
    base_texts: int
    base_steps: int
    base_hidden: int
    pairs: int
    reward_steps: int
    reward_hidden: int
    learning_rate: float
    batch: int
    beta: float
    alphas: Sequence[float]
    """Weights of the reward model, in ascending order, beginning with 0."""
    main_alpha: float
    best_of: Sequence[int]
    texts: int


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    use_one_thread()
    write_json(folder / f"{part}.json", guided(seed, settings))


def guided(seed: int, settings: Settings) -> dict[str, Any]:
    """Win rates and defects, by weight and by number of candidates; by weight, the divergence from the base model."""
    import torch

    from fathom.engines.guiding import Guide
    from fathom.lab import grammar

    base = grammar.language_model(seed, settings.base_hidden, layers=2)
    generator = torch.Generator().manual_seed(seed)
    texts = grammar.written(settings.base_texts, settings.length, generator)
    grammar.train_on_texts(base, texts, settings.base_steps, settings.batch, settings.learning_rate, generator)
    better, worse = grammar.ordered(grammar.generated(base, 3 * settings.pairs, settings.length, seed), settings.pairs)
    reward = grammar.language_model(seed + 1, settings.reward_hidden, layers=1)
    grammar.train_on_pairs(
        reward, better, worse, settings.reward_steps, settings.batch, settings.learning_rate, settings.beta, generator
    )

    plain = grammar.generated(base, settings.texts, settings.length, seed + 2)

    def figures(texts: Texts) -> dict[str, float]:
        return {
            "wins": grammar.win_rate(texts, plain),
            "defects": float(grammar.defects(texts).float().mean()),
        }

    def by_weight(alpha: float) -> dict[str, float]:
        texts = grammar.generated(base, settings.texts, settings.length, seed + 3, Guide([(reward, alpha)]))
        return figures(texts) | {"divergence": grammar.divergence(base, reward, alpha, texts)}

    by_alpha = {str(alpha): by_weight(alpha) for alpha in settings.alphas}
    candidates = grammar.generated(base, settings.texts * settings.best_of[-1], settings.length, seed + 4)
    scores = grammar.logprobs(reward, candidates).view(settings.texts, -1)
    choices = candidates.view(settings.texts, -1, settings.length)
    best = {str(n): figures(choices[torch.arange(settings.texts), scores[:, :n].argmax(1)]) for n in settings.best_of}
    held_out = grammar.ordered(grammar.generated(base, 4000, settings.length, seed + 5), 1000)
    accuracy = float((grammar.logprobs(reward, held_out[0]) > grammar.logprobs(reward, held_out[1])).float().mean())
    return {"alphas": by_alpha, "best": best, "accuracy": accuracy, "sizes": _sizes(base, reward)}


def _sizes(base: Any, reward: Any) -> dict[str, float]:
    return {name: float(model.num_parameters()) for name, model in (("base", base), ("reward", reward))}


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured(json.loads((folder / "grammar.json").read_text("utf-8")), settings)


def measured(found: Mapping[str, Any], settings: Settings) -> Measurement:
    """A pure function of what a seed wrote."""
    alphas, best = found["alphas"], found["best"]
    main = alphas[str(settings.main_alpha)]
    return Measurement(
        contrasts={
            "win rate of guided texts - 0.5": main["wins"] - 0.5,
            "win rate, guided - best of 2": main["wins"] - best["2"]["wins"],
            "win rate, weight 0.5 - 0.125": alphas["0.5"]["wins"] - alphas["0.125"]["wins"],
            "divergence, weight 2 - 0.5": alphas["2.0"]["divergence"] - alphas["0.5"]["divergence"],
            "0.01 - win rate, weight 2 - 0.5": 0.01 - alphas["2.0"]["wins"] + alphas["0.5"]["wins"],
        },
        figures=dict(found),
    )


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Win rate against the weight of the reward model, and against the number of candidates."""
    by_weight = [(float(alpha), each["wins"].bar) for alpha, each in found["alphas"].items() if float(alpha) > 0]
    by_count = [(float(n), each["wins"].bar) for n, each in found["best"].items()]
    panels = {"guided": {"win rate": by_weight}, "best of n": {"win rate": by_count}}
    lines(panels, folder / "genarm", across="weight, or n", up="win rate")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("grammar",),
    run=run,
    measure=measure,
    figures=figures,
)
