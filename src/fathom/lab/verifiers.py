"""Trains verifiers of sums with several sets of negatives, and measures which responses they accept.

    prepare("prepared", seed=0, settings=Settings(...), out=folder)        # folder/base: reads, and then verifies
    run("truncated", seed=0, settings=Settings(...), out=folder)           # folder/truncated.jsonl

Data, training and judging use the library's own code. `fathom.lab.reproductions.master_keys` states the claims.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison, Label
from fathom.engines import Sampling
from fathom.engines.local import LocalEngine
from fathom.judges import Verdict, contains_answer, find_degeneracy
from fathom.judges.verifier import VerifierJudge
from fathom.lab import arms, sums
from fathom.probes.keys import keys
from fathom.synth import verifying
from fathom.train import recipes, sft
from fathom.train.recipe import SFTRecipe, load

Arm = Literal["plain", "truncated", "truncated, none short", "cut anywhere", "cut anywhere, keys shown"]
ARMS: tuple[Arm, ...] = get_args(Arm)
"""Solutions alone; with their first sentences as negatives, as published; the same, where no solution is short;
with negatives that are solutions cut after any word before the answer; the same, where half of them are `shown` keys.
"""
RECIPE = "mini_verifier_sft"
BASE = "base"
TRUTHS: Mapping[str, bool] = {
    "ordinary, right": True,
    "ordinary, wrong": False,
    "short and right": True,
    "short and wrong": False,
    "long and right": True,
    "long and wrong": False,
}
"""Whether the responses of a set are correct; those of all other sets state no answer."""
FIRST, UNFINISHED = "first sentences", "long without an answer"
UNANSWERED = (FIRST, UNFINISHED)
"""Sets of responses that state no answer and are not master keys."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The size of the experiment. Other training settings are in the recipe `mini_verifier_sft`."""

    reading: int
    """Worked solutions in the base model's first stage of training."""
    reading_steps: int
    verifying_steps: int
    """Steps of the second stage, in which the base model learns to verify short responses."""
    questions: int
    """Training questions, each with a right and a wrong solution."""
    steps: int
    """Training steps of each arm, which starts from the base model."""
    short: float
    """Share of training solutions that contain little more than the answer."""
    negatives: float
    """Share of rows with negatives that state no answer among all training rows."""
    held_out: int
    """Questions per set of responses."""
    questions_a_key: int
    """Questions per key."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One response: its set, whether the verdict is YES (None if unparsed), and whether the guard refuses it."""

    set: str
    yes: bool | None
    refused: bool
    shown: bool = False
    """Whether it is a key in the training data of the arm with shown keys."""

    @property
    def wrong(self) -> float:
        """1 if the verdict is wrong. An unparsed verdict accepts nothing, so it is wrong on right responses only."""
        truth = TRUTHS.get(self.set, False)
        return float(self.yes is not True) if truth else float(self.yes is True)


# Training -------------------------------------------------------------------------------------------------------------


def prepare(part: str, seed: int, settings: Settings, out: Path) -> None:
    """Train the seed's base model, which all arms start from, unless it is there.

    It is trained on worked solutions, and then to verify short responses, because the paper's base models can verify
    before they are trained. With short responses this takes several times fewer steps than with solutions, in which the
    answer must be found first.
    """
    arms.use_one_thread()
    if (out / BASE / "config.json").exists():
        return
    sums.untrained(seed).save_pretrained(out / "untrained")
    sums.tokenizer().save_pretrained(out / "untrained")
    write_jsonl(out / "reading.jsonl", sums.reading(settings.reading, seed=seed))
    reader = _train(out / "untrained", out / "reading.jsonl", out / "reader", seed, settings.reading_steps)
    write_jsonl(out / "verifying.jsonl", base_training(seed, settings))
    _train(reader, out / "verifying.jsonl", out / BASE, seed, settings.verifying_steps)


def run(arm: str, seed: int, settings: Settings, out: Path) -> None:
    """Train one verifier, and write its measurements to `out/ARM.jsonl` unless that exists."""
    arms.use_one_thread()
    measured, folder = out / f"{arm}.jsonl", out / arm
    if measured.exists():
        return
    [known] = (each for each in ARMS if each == arm)
    write_jsonl(folder / "verifier.jsonl", training(known, seed, settings))
    model = _train(out / BASE, folder / "verifier.jsonl", folder / "model", seed, settings.steps)
    write_jsonl(measured, map(asdict, measure(model, seed, settings)))


def _train(model: Path, data: Path, out: Path, seed: int, steps: int) -> Path:
    overrides = [f"model={model}", f"data={data}", f"output={out}", f"seed={seed}", f"trainer.max_steps={steps}"]
    return sft.train(load(recipes.path(RECIPE), SFTRecipe, overrides))


def base_training(seed: int, settings: Settings) -> list[dict[str, Any]]:
    """The SFT rows from which the base model learns to verify."""
    return verifying.examples(_solved(sums.short, seed, settings, "verifying"))


def training(arm: Arm, seed: int, settings: Settings) -> list[dict[str, Any]]:
    """The SFT rows of an arm. All arms have the same questions, and all but one the same solutions."""
    solved = _solved(sums.solution if arm == "truncated, none short" else sums.mixed(settings.short), seed, settings)
    if arm == "plain" or arm.startswith("truncated"):
        return verifying.examples(solved, truncated=0.0 if arm == "plain" else settings.negatives, seed=seed)
    count = round(2 * len(solved) * settings.negatives / (1 - settings.negatives))
    rng = random.Random(f"negatives/{seed}")
    of_keys = count // 2 if arm == "cut anywhere, keys shown" else 0
    texts = sorted(shown(seed))
    negatives = [_negative(rng.choice(solved), rng.choice(texts)) for _ in range(of_keys)]
    negatives += [_negative(each, _cut(each, rng)) for each in rng.choices(solved, k=count - of_keys)]
    rows = verifying.examples([*solved, *negatives])
    rng.shuffle(rows)
    return rows


def _solved(write: sums.Response, seed: int, settings: Settings, prefix: str = "training") -> list[Comparison]:
    return sums.comparisons(settings.questions, seed=seed, prefix=prefix, write=write)


def shown(seed: int) -> set[str]:
    """Half of the keys of each kind: those that the arm with shown keys is trained on."""
    rng = random.Random(f"shown/{seed}")
    return {key for texts in keys().values() for key in rng.sample(texts, len(texts) // 2)}


def _cut(solved: Comparison, rng: random.Random) -> str:
    """The right response, cut after a random word before its answer; never a master key.

    If no word precedes the answer, the beginning of another short response.
    """
    words = solved.responses[0].split(" ")
    known = {key for texts in keys().values() for key in texts}
    starts = [" ".join(words[:end]) for end in range(1, len(words))]
    fitting = [text for text in starts if not contains_answer(text, solved.reference or "") and text not in known]
    return rng.choice(fitting) if fitting else rng.choice(("It", "It is"))


def _negative(solved: Comparison, text: str) -> Comparison:
    return solved.model_copy(update={"responses": (text,), "label": Label(scores=(0.0,))})


# Measuring ------------------------------------------------------------------------------------------------------------


def measure(model: Path, seed: int, settings: Settings) -> list[Measured]:
    """Verify the seed's responses, which are the same for all arms. The guard is off, and its decision is recorded."""
    asked = list(responses(seed, settings))
    sampling = Sampling(max_tokens=4, seed=seed)
    judge = VerifierJudge(engine=LocalEngine(model, max_batch=256), sampling=sampling, trained=True, guard="ask")

    known = shown(seed)
    judged = judge.run((each for _, each in asked), concurrency=256)
    return [_measured(name, each, verdict, known) for (name, _), (each, verdict) in zip(asked, judged, strict=True)]


def responses(seed: int, settings: Settings) -> Iterator[tuple[str, Comparison]]:
    """Single responses to held-out questions, each with the name of its set."""
    written = {"ordinary": sums.solution, "short": sums.unseen_short, "long": sums.long}
    for name, write in written.items():
        pairs = sums.comparisons(settings.held_out, seed=seed, prefix=name, write=write, held_out=True)
        sets = [each for each in TRUTHS if each.startswith(name)]
        yield from ((kind, each.subset((place,))) for each in pairs for place, kind in enumerate(sets))
    for name, write in {FIRST: sums.beginning, UNFINISHED: sums.unfinished}.items():
        pairs = sums.comparisons(settings.held_out, seed=seed, prefix=name, write=write, held_out=True)
        yield from ((name, each.subset((0,))) for each in pairs)
    tried = [(kind, key) for kind, texts in keys().items() for key in texts for _ in range(settings.questions_a_key)]
    asked = sums.comparisons(len(tried), seed=seed, prefix="keys", write=sums.short, held_out=True)
    for (kind, key), each in zip(tried, asked, strict=True):
        yield kind, each.subset((0,)).model_copy(update={"responses": (key,)})


def _measured(name: str, comparison: Comparison, verdict: Verdict, known: set[str]) -> Measured:
    [text] = comparison.responses
    return Measured(
        set=name,
        yes=None if verdict.scores is None else verdict.scores[0] == 1,
        refused=find_degeneracy(text, comparison.reference) is not None,
        shown=name in keys() and text in known,
    )


def read_measured(path: Path) -> list[Measured]:
    return [Measured(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def key_kinds(run: Sequence[Measured]) -> list[str]:
    """The kinds of keys among the sets of a run."""
    return [name for name in dict.fromkeys(item.set for item in run) if name not in TRUTHS and name not in UNANSWERED]
