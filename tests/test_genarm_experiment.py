"""GenARM in a grammar of four words: its texts, its models, its whole path, and its arithmetic."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch

import fresh
from fathom.engines.guiding import Guide
from fathom.lab import grammar
from fathom.lab.experiments.results import Measurement
from fathom.lab.reproductions import genarm

SETTINGS = genarm.EXPERIMENT.settings
SMALL = replace(
    SETTINGS, length=8, base_texts=40, base_steps=2, pairs=10, reward_steps=2, batch=8, texts=10, base_hidden=16
)


def test_defects_are_words_b_directly_after_a() -> None:
    a, b, c = grammar.A, grammar.B, grammar.C
    texts = torch.tensor([[a, b, a, b], [a, a, b, b], [b, a, c, b]])
    assert grammar.defects(texts).tolist() == [2, 1, 0]
    assert grammar.win_rate(texts, texts) == 0.5
    assert grammar.win_rate(texts[[1, 2, 2]], texts[[0, 1, 2]]) == pytest.approx(2.5 / 3)


def test_pairs_have_the_text_with_fewer_defects_first() -> None:
    texts = grammar.written(400, 12, torch.Generator().manual_seed(0))
    better, worse = grammar.ordered(texts, 50)
    assert len(better) == 50
    assert bool((grammar.defects(better) < grammar.defects(worse)).all())
    assert set(texts.flatten().tolist()) == {grammar.A, grammar.B, grammar.C, grammar.D}


def test_with_weight_zero_nothing_diverges_and_otherwise_the_guide_draws_from_the_measured_distribution() -> None:
    base, reward = grammar.language_model(0, 16, 1).eval(), grammar.language_model(1, 16, 1).eval()
    texts = grammar.generated(base, 6, 5, seed=0)
    assert grammar.BEGIN not in texts
    assert grammar.divergence(base, reward, 0.0, texts) == pytest.approx(0, abs=1e-6)
    ids = grammar.begun(texts)[:, :3]
    guided = Guide([(reward, 2.0)])(ids, base(ids).logits[:, -1])[:, 1:].log_softmax(-1)
    plain = base(ids).logits[:, -1, 1:].log_softmax(-1)
    # The divergence of all texts that continue as these do, from the third word alone.
    ratio = (guided - plain).gather(1, texts[:, 2:3] - 1).mean()
    whole = [grammar.divergence(base, reward, 2.0, texts[:, :n]) * n for n in (3, 2)]
    assert whole[0] - whole[1] == pytest.approx(float(ratio), abs=1e-5)


def test_the_whole_path_runs(tmp_path: Path) -> None:
    genarm.run("grammar", 0, SMALL, tmp_path)
    found = genarm.measure(0, SMALL, tmp_path)
    words = {words for claim in genarm.EXPERIMENT.register.claims for words in claim.contrasts}
    assert words == found.contrasts.keys()
    assert abs(found.figures["alphas"]["0.0"]["divergence"]) < 1e-6


def made_up(seed: int, wins: float) -> Measurement:
    """A seed in which weights of at least 0.5 win in a share `wins`, and the best of n in 0.6."""
    rng = random.Random(seed)

    def near(value: float) -> float:
        return value + rng.gauss(0, 0.001)

    def of(alpha: float) -> dict[str, Any]:
        share = 0.5 + (wins - 0.5) * min(alpha, 0.5) / 0.5
        return {"wins": near(share), "defects": near(3 - share), "divergence": near(alpha / 10)}

    best = {str(n): {"wins": near(0.6), "defects": near(2)} for n in SETTINGS.best_of}
    sizes = {"base": 46800.0, "reward": 6072.0}
    alphas = {str(alpha): of(alpha) for alpha in SETTINGS.alphas}
    return genarm.measured({"alphas": alphas, "best": best, "accuracy": near(0.9), "sizes": sizes}, SETTINGS)


FAIL = ("better_than_best_of_two", "guided_wins", "more_weight_wins_more")


@pytest.mark.parametrize(("wins", "missing"), [(0.9, FAIL[:0]), (0.55, FAIL[:1]), (0.4, FAIL)])
def test_claims_hold_where_they_are_true(wins: float, missing: tuple[str, ...]) -> None:
    found = fresh.holding(genarm.EXPERIMENT, fresh.rows(made_up(seed, wins) for seed in range(10, 18)))
    assert {name for name, holds in found.items() if not holds} == set(missing)


def test_the_page_shows_every_weight(tmp_path: Path) -> None:
    page = fresh.page(genarm.EXPERIMENT, fresh.rows(made_up(seed, 0.9) for seed in range(10, 18)), tmp_path)
    assert all(f"guided, weight {alpha}" in page for alpha in SETTINGS.alphas)
