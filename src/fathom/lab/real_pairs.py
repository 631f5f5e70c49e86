"""Real labelled pairs for experiments, from the files of published benchmarks, dealt to seeds.

    pairs = draw(REAL["hhh"], seed=10, count=20, longest=1500)          # Comparisons, whole prompts

The benchmarks are in the folder that the environment variable FATHOM_DATA names, one folder each (`Source.folder`).

A frozen model judges a pair in the same way in every run, so a seed can only decide which pairs it judges. Therefore
the prompts of each source are dealt once, by a hash, into `FOLDS` disjoint folds, and a seed draws from one fold:

    seeds 0 to 9 (shaping): fold 0        reported seeds: folds 1 to 8        seeds from 100 on: fold 9

So no pair on which a reported seed is tested was a test pair while settings were chosen. An experiment that trains on
all folds but its own, such as `scalar`, has trained and validated on pairs of folds 1 to 9 while settings were chosen;
its register says what was chosen so. All pairs of a prompt are in one fold: the seeds 10 to 17 share no prompt, their
means are independent, and an interval over them is one over prompts. Seed 18 draws from the fold of seed 10.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from fathom import bench
from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.lab.experiments.register import REPORTED, SHAPING

VARIABLE = "FATHOM_DATA"
FOLDS = 10
_REPORTED_FOLDS = 8


class Source(NamedTuple):
    benchmark: str
    folder: str
    subset: str | None = None
    """Only this subset of the benchmark."""
    whole: bool = False
    """Whether a prompt counts only if all of its pairs are short enough, as a matrix of styles needs."""


REAL: Mapping[str, Source] = {
    "llmbar": Source("llmbar", "llmbar"),
    "hhh": Source("hhh", "hhh_alignment"),
    "autoj": Source("autoj", "autoj_pairwise"),
    "evalbiasbench": Source("evalbiasbench", "evalbiasbench"),
    "rm_bench chat": Source("rm_bench", "rm_bench", "chat", whole=True),
    "rm_bench code": Source("rm_bench", "rm_bench", "code", whole=True),
    "rm_bench safety": Source("rm_bench", "rm_bench", "safety", whole=True),
}


def draw(source: Source, seed: int, count: int | None, longest: int) -> list[Comparison]:
    """Pairs of whole prompts from the seed's fold, in an order drawn by the seed, until there are `count` or more.

    The last prompt's pairs are cut off at `count`; None takes the whole fold. Prompts and responses have at most
    `longest` characters. Raises FathomError if the fold has fewer pairs.
    """
    prompts = dealt(_pairs(source), source, fold_of(seed), longest)
    random.Random(f"{seed}/{source}").shuffle(prompts)
    pairs = list(chain.from_iterable(prompts))[:count]
    if count is not None and len(pairs) < count:
        name = f"{source.benchmark} {source.subset or ''}".strip()
        raise FathomError(
            f"fold {fold_of(seed)} of {name} has {len(pairs)} pairs of at most {longest} characters; expected {count}: "
            "lower the number of pairs in the register, or raise `longest`"
        )
    return pairs


def fold_of(seed: int) -> int:
    if seed in SHAPING:
        return 0
    return 1 + (seed - REPORTED[0]) % _REPORTED_FOLDS if seed in REPORTED else FOLDS - 1


def dealt(pairs: Iterable[Comparison], source: Source, fold: int, longest: int) -> list[list[Comparison]]:
    """The labelled pairs of one fold, by prompt.

    Prompts are dealt in turn, in the order of their hashes, so folds have equally many prompts, up to one.
    """
    by_prompt: dict[str, list[Comparison]] = {}
    for pair in pairs:
        if pair.label is not None and pair.label.winner is not None:
            by_prompt.setdefault(pair.prompt_text, []).append(pair)
    kept = {prompt: _short(of_prompt, source, longest) for prompt, of_prompt in by_prompt.items()}
    ordered = sorted((prompt for prompt, left in kept.items() if left), key=lambda prompt: _digest(source, prompt))
    return [kept[prompt] for prompt in ordered[fold::FOLDS]]


def _short(pairs: Sequence[Comparison], source: Source, longest: int) -> list[Comparison]:
    short = [each for each in pairs if min(map(len, each.responses)) > 0 and _longest(each) <= longest]
    return [] if source.whole and len(short) < len(pairs) else short


def _longest(pair: Comparison) -> int:
    return max(map(len, (pair.prompt_text, *pair.responses)))


def _digest(source: Source, prompt: str) -> bytes:
    return hashlib.sha256(f"{source.benchmark}\x1f{prompt}".encode(errors="replace")).digest()


@cache
def _pairs(source: Source) -> tuple[Comparison, ...]:
    pairs = bench.find(source.benchmark).load(data_folder() / source.folder)
    return tuple(pair for pair in pairs if source.subset in (None, pair.metadata["subset"]))


def data_folder() -> Path:
    """The folder that FATHOM_DATA names. Raises FathomError if it is not set or no folder."""
    named = os.environ.get(VARIABLE)
    if not named or not Path(named).is_dir():
        what = f"is {named!r}, which is no folder" if named else "is not set"
        folders = ", ".join(dict.fromkeys(source.folder for source in REAL.values()))
        raise FathomError(f"{VARIABLE} {what}; expected a folder with the folders {folders}")
    return Path(named)


def digest(source: Source) -> str:
    """A hash of all pairs of a source, with their labels, whatever files hold them: 16 hexadecimal digits."""
    return digest_of(_pairs(source))


def digest_of(pairs: Iterable[Comparison]) -> str:
    """A hash of pairs with their labels, whatever their order: 16 hexadecimal digits."""
    content = [each.model_dump_json(include={"id", "prompt", "responses", "label"}) for each in pairs]
    return hashlib.sha256("\n".join(sorted(content)).encode(errors="replace")).hexdigest()[:16]


def check(expected: Mapping[str, str]) -> None:
    """Raise FathomError if a source has other pairs than those with the expected digest."""
    for name, of_register in expected.items():
        check_digest(REAL[name].folder, _pairs(REAL[name]), of_register, f" of {name}")


def check_digest(folder: str, pairs: Iterable[Comparison], expected: str, name: str = "") -> None:
    """Raise FathomError if the pairs of a folder of FATHOM_DATA have another digest."""
    if (found := digest_of(pairs)) != expected:
        raise FathomError(
            f"{VARIABLE}/{folder} has other pairs{name} than the register states: their digest is {found}, expected "
            f"{expected}; results of other pairs cannot be compared with the committed ones"
        )
