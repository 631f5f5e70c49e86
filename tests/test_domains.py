"""Weights of domains: the slope of one look-ahead step, and that noisy labels lose weight."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch

from fathom.data.reading import read, write_jsonl
from fathom.data.records import Comparison, Label
from fathom.errors import FathomError
from fathom.train import domains, process
from fathom.train.look_ahead import weight_gradient
from fathom.train.recipe import ProcessRecipe
from test_train_process import FAST, output
from tiny import make_checkpoint


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = ["add good sum bad\n"] * 4
    return make_checkpoint(tmp_path_factory.mktemp("base") / "m", vocab_texts=texts, context=128)


def rows(count: int, source: str, flipped: float, seed: int) -> list[dict[str, Any]]:
    """TRL's rows: a step that says "bad" is wrong; a share of the labels is wrong."""
    draw, found = random.Random(f"{source}/{seed}"), []
    for _ in range(count):
        steps = [draw.choice(["good sum", "good", "bad sum", "bad"]) for _ in range(3)]
        labels = [("bad" not in step) != (draw.random() < flipped) for step in steps]
        found.append({"prompt": "add", "completions": steps, "labels": labels, "source": source})
    return found


def outcomes(count: int, seed: int) -> list[Comparison]:
    """Solutions that are all good or all bad, with their outcome only."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        kind = draw.choice(["good", "bad"])
        steps = tuple(draw.choice([kind, f"{kind} sum"]) for _ in range(3))
        label = Label(scores=(float(kind == "good"),))
        found.append(Comparison(prompt="add", responses=("\n\n".join(steps),), steps=(steps,), label=label))
    return found


def recipe(base: Path, data: Path, output: Path, **settings: Any) -> ProcessRecipe:
    settings = {"trainer": FAST | {"learning_rate": 5e-3}} | settings
    return ProcessRecipe(model=str(base), data=data, output=output, domain="source", **settings)


def test_the_slope_is_that_of_the_meta_loss_after_one_step_of_gradient_descent() -> None:
    """Two domains and a meta loss of a linear model; against central differences in float64."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    wanted = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    start, rate = torch.randn(4, generator=generator, dtype=torch.float64), 0.1

    def loss(place: int, model: torch.Tensor) -> torch.Tensor:
        return (drawn[place] @ model - wanted[place]).square().mean()

    def gradient(place: int, model: torch.Tensor) -> torch.Tensor:
        model = model.clone().requires_grad_()
        return domains.gradient(loss(place, model), [model])

    def after(weights: torch.Tensor) -> torch.Tensor:
        return start - rate * sum(weights[place] * gradient(place, start) for place in range(2))

    weights, small = torch.tensor([1.3, 0.7], dtype=torch.float64), 1e-4
    domain_gradients = torch.stack([gradient(place, start) for place in range(2)])
    found = weight_gradient(domain_gradients, gradient(2, after(weights)), rate)
    for place in range(2):
        change = small * torch.eye(2, dtype=torch.float64)[place]
        expected = (loss(2, after(weights + change)) - loss(2, after(weights - change))) / (2 * small)
        assert float(found[place]) == pytest.approx(float(expected), rel=1e-4)


def test_weights_are_positive_with_mean_one() -> None:
    found = domains.weights_of(torch.tensor([0.0, 3.0, -9.0]))
    assert float(found.mean()) == pytest.approx(1.0)
    assert found.min() > 0
    assert domains.weights_of(torch.zeros(3)).tolist() == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("trusted", ["outcomes", "steps"])
def test_domains_with_wrong_labels_lose_weight_and_training_reads_the_weights(
    base: Path, tmp_path: Path, trusted: str
) -> None:
    data = tmp_path / "steps.jsonl"
    shares = {"clean": 0.0, "wrong": 1.0}
    write_jsonl(data, [row for name, share in shares.items() for row in rows(24, name, share, seed=0)])
    settings = recipe(base, data, tmp_path / "prm")
    write_jsonl(tmp_path / "trusted.jsonl", rows(24, "trusted", 0.0, seed=1))
    meta = outcomes(24, seed=1) if trusted == "outcomes" else list(read(tmp_path / "trusted.jsonl"))
    weights = domains.fit(settings, meta, steps=6, batch=4, meta_rate=0.2)
    assert weights["clean"] > 1.2 > 0.8 > weights["wrong"]
    assert sum(weights.values()) == pytest.approx(2.0)

    file = tmp_path / "weights.json"
    file.write_text(json.dumps(weights))
    weighted = settings.model_copy(update={"domain_weights": file})
    assert {solution.weight for solution in process.read(weighted)} == set(weights.values())


def test_the_weight_of_a_solution_multiplies_the_loss_of_its_steps() -> None:
    labels = torch.tensor([[1.0, 0.0]])
    plain = process.StepLoss(None)
    weighted = plain.weighted(torch.tensor([0.25]))(output(1.0, 2.0), labels)
    assert float(weighted) == pytest.approx(0.25 * float(plain(output(1.0, 2.0), labels)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"clean": -1}', "greater than or equal to 0"),
        ('{"other": 1}', "has no weight of the domain 'clean'"),
        ("[]", "not an object of domains and weights"),
    ],
)
def test_weights_that_do_not_fit_the_data_are_refused(base: Path, tmp_path: Path, content: str, reason: str) -> None:
    write_jsonl(tmp_path / "steps.jsonl", rows(2, "clean", 0.0, seed=0))
    (tmp_path / "weights.json").write_text(content)
    settings = recipe(base, tmp_path / "steps.jsonl", tmp_path / "o", domain_weights=tmp_path / "weights.json")
    with pytest.raises(FathomError, match=reason):
        process.read(settings)
    with pytest.raises(FathomError, match="column 'source' has clean; expected two or more domains"):
        domains.fit(settings, outcomes(2, seed=0))
