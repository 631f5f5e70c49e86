"""ESFP-RM's idea in two small tasks: explanations for a slot, and a masked model against its causal twin.

The paper (arXiv 2508.18212) was withdrawn, and we know its abstract only: two of its claims are tested as directions,
on our reconstruction; esfp.yaml states them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.real_pairs import FOLDS, data_folder, fold_of
from fathom.report.figures import grouped_bars
from fathom.results.provenance import write_json
from fathom.rewards.slot import strip_verdicts

if TYPE_CHECKING:
    from fathom.lab.cloze import Example, Kind, Sizes

ORDER, ESNLI = "order", "esnli"
WORDS: Mapping[str, str] = {"masked": "masked model", "causal": "causal twin"}
LABELS = ("entailment", "neutral", "contradiction")
SHOWN: Mapping[str, str] = {
    "none": "no explanation",
    "explained": "with the explanation",
    "alone": "the explanation alone",
    "stripped": "the explanation alone, stripped",
}
ORDER_SHOWN: Mapping[str, str] = {name: words for name, words in SHOWN.items() if name != "stripped"}
"""Explanations of the order task have no words to strip."""
NEGATIONS = frozenset(["not", "no", "cannot", "never", "none", "nothing", "nobody", "neither", "nor", "without"])
"""With all words that end in "n't"."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    width: int
    layers: int
    batch: int
    pretraining: int
    tuning: int
    learning_rate: float
    tuning_rate: float
    unlabelled: int
    """(order) Texts of pretraining."""
    labelled: int
    tested: int
    samples: int
    """(order) Written explanations of each test item. Accuracy is that with the first, stability is over all."""
    words: int
    """(esnli) The most frequent words; others are one unknown word."""
    esnli_pretraining: int
    esnli_tuning: int
    """(esnli) Steps, whose texts are longer."""

    @property
    def sizes(self) -> Sizes:
        from fathom.lab.cloze import Sizes

        names = ("width", "layers", "batch", "pretraining", "tuning", "learning_rate", "tuning_rate")
        return Sizes(**{name: getattr(self, name) for name in names})


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    use_one_thread()
    write_json(folder / f"{part}.json", order(seed, settings) if part == ORDER else esnli(seed, settings))


def order(seed: int, settings: Settings) -> dict[str, Any]:
    """The order task: both kinds of model, with and without explanations that a causal model wrote."""
    from fathom.lab import cloze

    texts = cloze.order_examples(settings.unlabelled, f"{seed}/unlabelled")
    labelled = cloze.order_examples(settings.labelled, f"{seed}/labelled")
    tested = cloze.order_examples(settings.tested, f"{seed}/tested")
    bases = {kind: _pretrained(kind, cloze.ORDER_WORDS, texts, settings, seed) for kind in cloze.KINDS}
    writer = bases["causal"]
    samples = [cloze.explain(writer, tested, seed=seed * 100 + number) for number in range(settings.samples)]
    mixed = [*labelled[::2], *cloze.explain(writer, labelled[1::2], seed=seed * 100 + settings.samples)]
    right = fmean(a.explanation == b.explanation for a, b in zip(samples[0], tested, strict=True))
    found: dict[str, Any] = {"right_explanations": right}
    for kind, base in bases.items():
        models = {shown: _tuned(base, [(each, shown) for each in mixed], settings, seed) for shown in ORDER_SHOWN}
        found[kind] = {
            shown: cloze.accuracy(model, [(each, shown) for each in samples[0]])  # type: ignore[misc]
            for shown, model in models.items()
        }
        found[kind]["deviation"] = deviation(models["explained"], samples)
    return found


def deviation(model: Any, samples: Sequence[Sequence[Example]]) -> float:
    """The standard deviation of the right label's probability over explanations of an item; the mean over items.

    `samples`: the same items in the same order, each time with other explanations.
    """
    from fathom.lab import cloze

    shares = [cloze.probabilities(model, [(each, "explained") for each in drawn]) for drawn in samples]
    of_right = ([share[place, each.label].item() for share in shares] for place, each in enumerate(samples[0]))
    return fmean(pstdev(values) for values in of_right)


def _pretrained(kind: Kind, words: int, texts: Sequence[Example], settings: Settings, seed: int) -> Any:
    from fathom.lab import cloze

    model = cloze.built(kind, words, settings.sizes, seed)
    cloze.pretrain(model, [cloze.unlabelled(each) for each in texts], settings.sizes, seed)
    return model


def _tuned(base: Any, tasks: Sequence[Any], settings: Settings, seed: int) -> Any:
    from copy import deepcopy

    from fathom.lab import cloze

    model = deepcopy(base)
    cloze.tune(model, tasks, settings.sizes, seed)
    return model


def esnli(seed: int, settings: Settings) -> dict[str, Any]:
    """e-SNLI with explanations by people: what they add, and what they give away."""
    from dataclasses import replace

    from fathom.lab import cloze

    settings = replace(settings, pretraining=settings.esnli_pretraining, tuning=settings.esnli_tuning)
    rows = esnli_rows()
    train = [row for row in rows if _fold(row) != fold_of(seed)]
    test = [row for row in rows if _fold(row) == fold_of(seed)][: settings.tested]
    vocabulary = vocabulary_of(train, settings.words)
    whole, stripped = ([[encode(row, vocabulary, s) for row in part] for part in (train, test)] for s in (False, True))
    found: dict[str, Any] = {
        "negations": accuracy_of_negations(train, test),
        "changed": fmean(_stripped(row) != row["explanation_1"] for row in test),
    }
    for kind in cloze.KINDS:
        base = _pretrained(kind, len(vocabulary) + cloze.SPECIAL + 1, whole[0], settings, seed)
        found[kind] = {}
        for name in SHOWN:
            fitted, held_out = stripped if name == "stripped" else whole
            shown = "alone" if name == "stripped" else name
            model = _tuned(base, [(each, shown) for each in fitted], settings, seed)
            found[kind][name] = cloze.accuracy(model, [(each, shown) for each in held_out])  # type: ignore[misc]
    return found


def esnli_rows() -> list[dict[str, str]]:
    """The rows of e-SNLI's development and test sets in FATHOM_DATA that have a label."""
    found = []
    for name in ("dev", "test"):
        with gzip.open(data_folder() / "esnli" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            found += [json.loads(line) for line in file]
    return [row for row in found if row["label"] in LABELS]


def _fold(row: Mapping[str, str]) -> int:
    """All hypotheses of a premise are in one fold."""
    return int.from_bytes(hashlib.sha256(row["premise"].encode()).digest()[:8]) % FOLDS


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def accuracy_of_negations(train: Sequence[Mapping[str, str]], test: Sequence[Mapping[str, str]]) -> float:
    """The accuracy of a rule that looks for negations in an explanation, and for nothing else.

    It names the label that is most frequent in training, among explanations with a negation or those without.
    """
    seen = Counter((has_negation(row["explanation_1"]), row["label"]) for row in train)
    named = {negated: max(LABELS, key=lambda label: seen[negated, label]) for negated in (False, True)}
    return fmean(named[has_negation(row["explanation_1"])] == row["label"] for row in test)


def has_negation(text: str) -> bool:
    return any(word in NEGATIONS or word.endswith("n't") for word in _words(text))


def _stripped(row: Mapping[str, str]) -> str:
    return strip_verdicts(row["explanation_1"], LABELS)[0]


def vocabulary_of(rows: Sequence[Mapping[str, str]], count: int) -> dict[str, int]:
    """The tokens of the most frequent words."""
    from fathom.lab.cloze import SPECIAL

    texts = (row[key] for row in rows for key in ("premise", "hypothesis", "explanation_1"))
    seen = Counter(word for text in texts for word in _words(text))
    return {word: SPECIAL + 1 + place for place, (word, _) in enumerate(seen.most_common(count))}


def encode(row: Mapping[str, str], vocabulary: Mapping[str, int], strip: bool) -> Example:
    """Premise and hypothesis, at most 30 and 15 words, and the first explanation, at most 30."""
    from fathom.lab.cloze import NEXT, SPECIAL, Example

    def tokens(text: str, most: int) -> tuple[int, ...]:
        return tuple(vocabulary.get(word, SPECIAL) for word in _words(text)[:most])

    explanation = _stripped(row) if strip else row["explanation_1"]
    context = (*tokens(row["premise"], 30), NEXT, *tokens(row["hypothesis"], 15))
    return Example(context, tokens(explanation, 30), LABELS.index(row["label"]))


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured({part: json.loads((folder / f"{part}.json").read_text("utf-8")) for part in (ORDER, ESNLI)})


def measured(found: Mapping[str, Any]) -> Measurement:
    """A pure function of one seed's figures."""
    masked, causal = found[ORDER]["masked"], found[ORDER]["causal"]
    real = found[ESNLI]["masked"]
    return Measurement(
        contrasts={
            "order, explained - none, masked": masked["explained"] - masked["none"],
            "order, explained, masked - causal": masked["explained"] - causal["explained"],
            "order, deviation, causal - masked": causal["deviation"] - masked["deviation"],
            "e-SNLI, explained - none, masked": real["explained"] - real["none"],
            "e-SNLI, alone - none, masked": real["alone"] - real["none"],
            "e-SNLI, alone - rule of negations, masked": real["alone"] - found[ESNLI]["negations"],
        },
        figures=found,
    )


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"names": WORDS, "shown": SHOWN, "order_shown": ORDER_SHOWN}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy by what stands before the slot, in both tasks."""
    panels = {
        "order": {words: [found[ORDER][kind][name].bar for kind in WORDS] for name, words in ORDER_SHOWN.items()},
        "e-SNLI": {words: [found[ESNLI][kind][name].bar for kind in WORDS] for name, words in SHOWN.items()},
    }
    marks = {title: dict.fromkeys(groups, 1 / 3) for title, groups in panels.items()}
    grouped_bars(panels, list(WORDS.values()), folder / "esfp", marks=marks, legend="chance")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=(ORDER, ESNLI),
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
)
