"""Scalar reward heads on real pairs with a small real model: linear or two layers, frozen or LoRA.

The paper's claim is that of BaseReward (arXiv 2509.16127, section 3): a head of two layers with SiLU is better than a
linear one. It reports single runs, so the question here is whether the difference exceeds the noise of seeds.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import exp, log1p
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fathom import bench
from fathom.data.atomic import atomic_write
from fathom.data.reading import read, write_jsonl
from fathom.data.records import Comparison
from fathom.engines import smollm2
from fathom.engines.checkpoints import resolve
from fathom.engines.heads import Head
from fathom.engines.loading import fastest_dtype
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.judges import find
from fathom.lab.arms import use_one_thread
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Figure, Measurement
from fathom.lab.lengths import by_length, half_for_tie
from fathom.lab.overlap import embed, encoder_version, similarity
from fathom.lab.real_pairs import FOLDS, REAL, check, check_digest, data_folder, dealt, fold_of
from fathom.metrics.overlap import WORDS, runs
from fathom.report.figures import grouped_bars
from fathom.train import recipes

if TYPE_CHECKING:
    from fathom.lab.frozen import Rewards

HH = "hh_rlhf_harmless_base_test"
"""The folder of HH-RLHF's harmless test set in FATHOM_DATA."""
OTHERS = ("hhh", "llmbar")
SETS = ("hh", *OTHERS)
HEADS: Mapping[str, str] = {
    "linear": "frozen, linear head",
    "mlp": "frozen, head of two layers",
    "linear few": "frozen, linear head, few pairs",
    "lora": "LoRA, linear head, few pairs",
}
RULES: Mapping[str, str] = {
    "longer": "always the longer",
    "shorter": "always the shorter",
    "nearest": "nearest to the best length",
}
LENGTHS = range(20, 1001, 20)
"""Characters; the best of these lengths is chosen on the training pairs."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    longest: int
    """Characters of the conversation with a response."""
    layers: Sequence[int]
    decays: Sequence[float]
    steps: Sequence[int]
    learning_rate: float
    digests: Mapping[str, str]
    """The digest of all pairs of HH-RLHF, and of each other set (`real_pairs.digest`)."""
    few: int
    """Pairs on which LoRA is trained, and a linear head beside it."""
    near: float = 0.8
    """The cosine similarity of embeddings above which a test conversation counts as a paraphrase of a training one."""
    model: str = "smollm2"
    lora: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the recipe `smollm2_reward`."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One test pair."""

    set: str
    longer: float
    """The length of the better response divided by that of the other, in characters."""
    margins: Mapping[str, float]
    """By head: the reward of the better response minus that of the other; by "nearest": the distance of the other
    response from the best length minus that of the better one."""
    overlaps: bool = False
    """Whether it shares a run of words with a training pair (`fathom.lab.overlap`)."""
    paraphrases: bool | None = None
    """Whether its conversation is similar to that of a training pair; None without the wheel of the encoder."""


class Split(NamedTuple):
    train: list[Comparison]
    """In an order drawn by the seed."""
    test: dict[str, list[Comparison]]
    """By set."""


# Pairs ----------------------------------------------------------------------------------------------------------------


@cache
def hh_pairs(longest: int) -> tuple[Comparison, ...]:
    """The pairs of HH-RLHF's harmless test set whose conversations have at most `longest` characters.

    Pairs with an empty response are left out, because it has no last token.
    """
    return tuple(pair for pair in all_hh() if all(pair.responses) and _longest(pair) <= longest)


@cache
def all_hh() -> tuple[Comparison, ...]:
    return tuple(read(data_folder() / HH / "test.jsonl.gz"))


def check_pairs(digests: Mapping[str, str]) -> None:
    """Raise FathomError if FATHOM_DATA holds other pairs than those with these digests."""
    check({name: digests[name] for name in OTHERS})
    check_digest(HH, all_hh(), digests["hh"])


def _longest(pair: Comparison) -> int:
    return len(pair.prompt_text) + max(map(len, pair.responses))


@cache
def other_pairs(name: str, longest: int) -> tuple[tuple[Comparison, ...], ...]:
    """The pairs of another set, by fold."""
    source = REAL[name]
    pairs = list(bench.find(source.benchmark).load(data_folder() / source.folder))
    return tuple(
        tuple(pair for prompt in dealt(pairs, source, fold, longest) for pair in prompt) for fold in range(FOLDS)
    )


def opening(pair: Comparison) -> str:
    """The first turn of a conversation; conversations that share it are in one fold."""
    return pair.prompt if isinstance(pair.prompt, str) else pair.prompt[0].content


def fold_of_opening(pair: Comparison) -> int:
    return int.from_bytes(hashlib.sha256(opening(pair).encode(errors="replace")).digest()[:8]) % FOLDS


def split(seed: int, settings: Settings) -> Split:
    """Test on the seed's fold, and train on all other pairs of HH-RLHF."""
    fold = fold_of(seed)
    train = [pair for pair in hh_pairs(settings.longest) if fold_of_opening(pair) != fold]
    random.Random(f"{seed}/train").shuffle(train)
    test = {"hh": [pair for pair in hh_pairs(settings.longest) if fold_of_opening(pair) == fold]}
    return Split(train, test | {name: list(other_pairs(name, settings.longest)[fold]) for name in OTHERS})


# Running --------------------------------------------------------------------------------------------------------------


def prepare(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Compute the frozen model's states of all pairs, once for all seeds of a run."""
    from fathom.lab import frozen

    use_one_thread()
    check_pairs(settings.digests)
    shared = folder.parent / "states"
    engine = LocalEngine(resolve(settings.model), device="cpu", dtype=precision(shared))
    for name, pairs in every(settings).items():
        frozen.compute(pairs, engine, settings.layers, shared / name, backwards=bool(seed % 2))
    if encoder_version():
        _embed(settings, shared / "embeddings.safetensors")


def _embed(settings: Settings, path: Path) -> None:
    """Write the embedding of every pair's conversation without its responses, by the pair's id."""
    from safetensors.torch import save

    if not path.exists():
        pairs = [pair for of_set in every(settings).values() for pair in of_set]
        vectors = embed([pair.prompt_text for pair in pairs])
        with atomic_write(path) as sink:
            sink.write(save({pair.id: vector.clone() for pair, vector in zip(pairs, vectors, strict=True)}))


def every(settings: Settings) -> dict[str, list[Comparison]]:
    """All pairs of each set, in a fixed order."""
    others = {name: [pair for fold in other_pairs(name, settings.longest) for pair in fold] for name in OTHERS}
    return {"hh": list(hh_pairs(settings.longest)), **others}


def precision(shared: Path) -> str:
    """The precision that the first process chose by timing; all seeds of a run compute in the same one."""
    shared.mkdir(parents=True, exist_ok=True)
    path = shared / "precision.json"
    if not path.exists():
        chosen = json.dumps({"dtype": fastest_dtype("cpu")})
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(chosen)
        except FileExistsError:
            pass
    return str(json.loads(path.read_text(encoding="utf-8"))["dtype"])


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    use_one_thread()
    margins = _frozen(seed, settings, folder) if part == "frozen" else _lora(seed, settings, folder)
    write_jsonl(folder / f"{part}.jsonl", ({"margins": each} for each in margins))


def _frozen(seed: int, settings: Settings, folder: Path) -> list[dict[str, float]]:
    """The margins of the frozen model's heads on every test pair, in the order of `tests`."""
    import torch

    from fathom.lab import frozen

    states = _states(settings, folder.parent / "states")
    divided = split(seed, settings)
    train = torch.stack([states[pair.id] for pair in divided.train])
    test = torch.stack([states[pair.id] for pair in tests(divided)])
    grid = frozen.Grid(decays=settings.decays, steps=settings.steps, learning_rate=settings.learning_rate)

    def margins(kind: Literal["linear", "mlp"], count: int) -> list[float]:
        head, few, groups = Head(kind=kind), train[:count], [opening(pair) for pair in divided.train[:count]]
        choice = frozen.choose(head, few, groups, grid, seed=seed)
        rewards: Rewards = frozen.fit(head, few[:, :, choice.layer], choice, grid, seed=seed)
        with torch.no_grad():
            found = rewards(test[:, :, choice.layer])
        margin: list[float] = (found[:, 0] - found[:, 1]).tolist()
        return margin

    named = {
        "linear": margins("linear", len(train)),
        "mlp": margins("mlp", len(train)),
        "linear few": margins("linear", settings.few),
    }
    return [dict(zip(named, each, strict=True)) for each in zip(*named.values(), strict=True)]


def _states(settings: Settings, folder: Path) -> dict[str, Any]:
    """The states of each pair, (2, layers, width), the better response first."""
    from fathom.lab import frozen

    found: dict[str, Any] = {}
    for name, pairs in every(settings).items():
        states = frozen.better_first(frozen.load(folder / name, len(pairs)), pairs)
        found |= {pair.id: of_pair for pair, of_pair in zip(pairs, states, strict=True)}
    return found


def tests(divided: Split) -> list[Comparison]:
    return [pair for name in SETS for pair in divided.test[name]]


def _lora(seed: int, settings: Settings, folder: Path) -> list[dict[str, float]]:
    """The margins of a model that was trained by LoRA, on every test pair."""
    from fathom.train import scalar
    from fathom.train.recipe import RewardRecipe, load

    divided = split(seed, settings)
    data, output = folder / "few.jsonl", folder / "lora"
    write_jsonl(data, (pair.model_dump(mode="json", exclude_none=True) for pair in divided.train[: settings.few]))
    dtype = precision(folder.parent / "states")
    values = {
        "model": settings.model,
        "data": str(data),
        "output": str(output),
        "seed": seed,
        "trainer.model_init_kwargs": {"dtype": dtype},
        **settings.lora,
    }
    if not (output / "fathom.json").exists():
        overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
        scalar.train(load(recipes.path("smollm2_reward"), RewardRecipe, overrides))
    return [{"lora": margin} for margin in _margins(output, tests(divided))]


def _margins(model: Path, pairs: Sequence[Comparison]) -> list[float]:
    """The score of each pair's better response minus that of the other, by the reward model `scalar`.

    It computes in float32: in bfloat16, other texts in a batch change scores by a quarter of their spread.
    """
    from fathom.lab.frozen import best_of

    judged = find("scalar")(engine=LocalEngine(model, device="cpu", dtype="float32")).run(pairs)
    found = []
    for pair, verdict in judged:
        if verdict.scores is None:
            raise FathomError(f"pair {pair.id} has no score: {verdict.votes[0].error or verdict.status}")
        found.append(verdict.scores[best_of(pair)] - verdict.scores[1 - best_of(pair)])
    return found


# Measuring ------------------------------------------------------------------------------------------------------------


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    divided = split(seed, settings)
    parts = [_read(folder / f"{part}.jsonl") for part in ("frozen", "lora")]
    names = [name for name in SETS for _ in divided.test[name]]
    overlaps = overlapping(divided.train, tests(divided))
    near = _paraphrases(divided, settings, folder.parent / "states" / "embeddings.safetensors")
    length = best_length(divided.train)
    scored = [
        Scored(name, longer(pair), frozen | lora | {"nearest": nearer(pair, length)}, overlap, paraphrases)
        for name, pair, frozen, lora, overlap, paraphrases in zip(
            names, tests(divided), *parts, overlaps, near, strict=True
        )
    ]
    trained_on_longer = fmean(half_for_tie(longer(pair) - 1) for pair in divided.train) >= 0.5
    dtype = precision(folder.parent / "states")
    rule: Literal["longer", "shorter"] = "longer" if trained_on_longer else "shorter"
    return measured(scored, rule, length, bfloat16=dtype == "bfloat16")


def _paraphrases(divided: Split, settings: Settings, path: Path) -> list[bool] | list[None]:
    """For each test pair, whether its conversation is similar to one of training; all None without embeddings."""
    import torch
    from safetensors.torch import load_file

    if not path.exists():
        return [None] * len(tests(divided))
    vectors = load_file(path)
    train, test = (torch.stack([vectors[pair.id] for pair in pairs]) for pairs in (divided.train, tests(divided)))
    return [nearest >= settings.near for nearest in similarity(test, train)]


def overlapping(train: Sequence[Comparison], test: Sequence[Comparison]) -> list[bool]:
    """Whether each test pair shares a run of words with a training pair."""
    seen = runs(text for pair in train for text in _texts(pair))
    return [bool(runs(_texts(pair)) & seen) for pair in test]


def _texts(pair: Comparison) -> list[str]:
    return [pair.prompt_text, *pair.responses]


def _read(path: Path) -> list[dict[str, float]]:
    return [json.loads(line)["margins"] for line in path.read_text(encoding="utf-8").splitlines()]


def longer(pair: Comparison) -> float:
    """The length of the better response divided by that of the other, in characters."""
    from fathom.lab.frozen import best_of

    best = best_of(pair)
    return len(pair.responses[best]) / max(1, len(pair.responses[1 - best]))


def nearer(pair: Comparison, length: int) -> float:
    """By how many characters the better response is nearer to a length than the other."""
    from fathom.lab.frozen import best_of

    best, other = (abs(len(pair.responses[place]) - length) for place in (best_of(pair), 1 - best_of(pair)))
    return float(other - best)


def best_length(train: Sequence[Comparison]) -> int:
    """The length for which "nearest to it" is right most often in both directions of length on the training pairs."""

    def right(length: int) -> float:
        return by_length((longer(pair), half_for_tie(nearer(pair, length))) for pair in train)["balanced"]

    return max(LENGTHS, key=right)


def measured(
    scored: Sequence[Scored], rule: Literal["longer", "shorter"], length: int, *, bfloat16: bool
) -> Measurement:
    """A pure function of one seed's test pairs. `rule` and `length` are the best ones on the training pairs."""
    names = (*HEADS, *RULES)
    found = {name: {each: accuracy(_of(scored, each), name) for each in SETS} for name in names}
    elsewhere = {name: accuracy([each for each in scored if each.set != "hh"], name) for name in names}
    strata = {name: lengths(_of(scored, "hh"), name) for name in names}
    linear, mlp = found["linear"]["hh"], found["mlp"]["hh"]
    return Measurement(
        contrasts={
            "two layers - linear, HH-RLHF": mlp - linear,
            "linear - the better rule of length, HH-RLHF": linear - found[rule]["hh"],
            "linear - nearest to the best length, both directions, HH-RLHF": (
                strata["linear"]["balanced"] - strata["nearest"]["balanced"]
            ),
            "linear - 0.5, other sets": elsewhere["linear"] - 0.5,
            "LoRA - linear on the same pairs, HH-RLHF": found["lora"]["hh"] - found["linear few"]["hh"],
        },
        figures={
            "accuracy": {name: found[name] | {"others": elsewhere[name]} for name in names},
            "lengths": strata,
            "loss": {name: {each: loss(_of(scored, each), name) for each in SETS} for name in HEADS},
            "overlap": {each: fmean(pair.overlaps for pair in _of(scored, each)) for each in SETS},
            "apart": {name: _apart(scored, name) for name in names},
            "paraphrases": {each: _paraphrased(_of(scored, each)) for each in SETS},
            "pairs": {name: float(len(_of(scored, name))) for name in SETS},
            "longer_rule": float(rule == "longer"),
            "best_length": float(length),
            "bfloat16": float(bfloat16),
        },
    )


def _of(scored: Sequence[Scored], name: str) -> list[Scored]:
    return [each for each in scored if each.set == name]


def _apart(scored: Sequence[Scored], name: str) -> dict[str, float | None]:
    """The accuracy on each set without the pairs that overlap with training, by words or embeddings.

    None if no pair is left.
    """
    kept = {each: [pair for pair in _of(scored, each) if not pair.overlaps and not pair.paraphrases] for each in SETS}
    return {each: accuracy(pairs, name) if pairs else None for each, pairs in kept.items()}


def _paraphrased(scored: Sequence[Scored]) -> float | None:
    """The share of pairs whose conversation is similar to one of training; None without embeddings."""
    found = [pair.paraphrases for pair in scored if pair.paraphrases is not None]
    return fmean(found) if found else None


def accuracy(scored: Sequence[Scored], name: str) -> float:
    """The share of pairs whose better response is preferred by a head or a rule. A tie counts half."""
    return fmean(half_for_tie(_margin(each, name)) for each in scored)


def _margin(each: Scored, name: str) -> float:
    signs = {"longer": 1.0, "shorter": -1.0}
    return signs[name] * (each.longer - 1) if name in signs else each.margins[name]


def lengths(scored: Sequence[Scored], name: str) -> dict[str, float]:
    return by_length((each.longer, half_for_tie(_margin(each, name))) for each in scored)


def loss(scored: Sequence[Scored], name: str) -> float:
    """The Bradley-Terry loss, nats per pair; log 2 = 0.693 for a model that knows nothing."""

    def softplus(value: float) -> float:
        return max(value, 0.0) + log1p(exp(-abs(value)))

    return fmean(softplus(-each.margins[name]) for each in scored)


# The page -------------------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    words: str
    cells: list[Figure]


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    names = {**HEADS, **RULES}
    return {
        "words": WORDS,
        "paraphrases": found.get("paraphrases"),
        "by_set": [
            Line(words, [found["accuracy"][name][each] for each in (*SETS, "others")]) for name, words in names.items()
        ],
        "by_stratum": [
            Line(words, [found["lengths"][name][each] for each in ("longer", "similar", "shorter", "balanced")])
            for name, words in names.items()
        ],
        "apart_by_set": [
            Line(words, [found["apart"][name][each] for each in SETS if each in found["apart"][name]])
            for name, words in names.items()
        ],
        "by_loss": [Line(words, [found["loss"][name][each] for each in SETS]) for name, words in HEADS.items()],
    }


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy by head, in and out of domain."""
    names = {**HEADS, **RULES}
    series = {"HH-RLHF": "hh", "HHH": "hhh", "LLMBar": "llmbar"}
    bars = {words: [found["accuracy"][name][each].bar for each in series.values()] for name, words in names.items()}
    marks = {"accuracy": dict.fromkeys(bars, 0.5)}
    grouped_bars({"accuracy": bars}, tuple(series), folder / "scalar", marks=marks, legend="chance")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("frozen", "lora"),
    prepare=prepare,
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=lambda: {
        **recipes.contents("smollm2_reward"),
        "wheel": smollm2.WHEEL_VERSION,
        "encoder": encoder_version(),
    },
)
