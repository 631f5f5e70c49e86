"""ESFP-RM's idea in two small tasks: explanations for a slot, and a masked model against its causal twin.

The paper (arXiv 2508.18212) was withdrawn, and we know its abstract only: its claims are tested as directions, on our
reconstruction; esfp.yaml states them.
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
from statistics import fmean
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
    """(order) Explanations of each test item."""
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
    mixed = [*labelled[::2], *cloze.explain(writer, labelled[1::2], temperature=0.0, seed=seed)]
    samples = [
        cloze.explain(writer, tested, temperature=1.0, seed=seed * 100 + number) for number in range(settings.samples)
    ]
    right = fmean(a.explanation == b.explanation for a, b in zip(samples[0], tested, strict=True))
    found: dict[str, Any] = {"right_explanations": right}
    for kind, base in bases.items():
        plain = _tuned(base, [(each, "none") for each in labelled], settings, seed)
        explained = _tuned(base, [(each, "explained") for each in mixed], settings, seed)
        labels = [each.label for each in tested]
        shares = [cloze.probabilities(explained, [(each, "explained") for each in drawn]) for drawn in samples]
        of_right = [[share[place, label].item() for share in shares] for place, label in enumerate(labels)]
        found[kind] = {
            "none": cloze.accuracy(plain, [(each, "none") for each in tested]),
            "explained": cloze.accuracy(explained, [(each, "explained") for each in samples[0]]),
            "deviation": fmean(_deviation(values) for values in of_right),
        }
    return found


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


def _deviation(values: Sequence[float]) -> float:
    mean = fmean(values)
    return float(fmean((value - mean) ** 2 for value in values) ** 0.5)


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
    found: dict[str, Any] = {}
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

    explanation = strip_verdicts(row["explanation_1"], LABELS)[0] if strip else row["explanation_1"]
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
            "e-SNLI, alone - stripped, masked": real["alone"] - real["stripped"],
        },
        figures=found,
    )


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"names": WORDS, "shown": SHOWN}


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy by what is shown before the slot, in both tasks."""
    panels = {
        "order": {SHOWN[name]: [found[ORDER][kind][name].bar for kind in WORDS] for name in ("none", "explained")},
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
