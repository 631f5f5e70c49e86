"""Activation rewards: how a direction is fitted, how its layer is chosen, and what the judge of that name scores."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason='needs pip install "fathom-rm[train]"')

import torch
from scipy.optimize import approx_fprime
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.engines.chat import encode_chat
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.judging import make_judge_for_checkpoint
from fathom.rationale import Status
from fathom.rewards.activation import ActivationReward, Direction, Pool
from fathom.train import activation
from fathom.train.activation import Differences
from tiny import make_checkpoint

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model") / "m", vocab_texts=["how? kind rude very "] * 4, context=64)


def comparisons(count: int, seed: int = 0) -> list[Comparison]:
    """Kind responses are better than rude ones, whatever their lengths and the position of the better one."""
    draws = np.random.default_rng(seed)
    items = []
    for number in range(count):
        words = ["kind " * draws.integers(1, 5), "rude " * draws.integers(1, 5)]
        best = int(draws.integers(2))
        responses = (words[0], words[1]) if best == 0 else (words[1], words[0])
        prompt = f"how? {'very ' * draws.integers(0, 4)}{number}"
        items.append(Comparison(id=f"{seed}-{number}", prompt=prompt, responses=responses, label=Label(best=best)))
    return items


def best_of(item: Comparison) -> int:
    assert item.label is not None
    assert item.label.best is not None
    return item.label.best


def write(path: Path, items: list[Comparison]) -> Path:
    path.write_text("".join(item.model_dump_json(exclude_none=True) + "\n" for item in items))
    return path


def planted(pairs: int, layers: int, signal: int, width: int = 12, size: float = 1.0) -> Differences:
    """Noise in every layer; in one of them the better response is also further along the first dimension."""
    values = RANDOM.normal(size=(pairs, layers, width))
    values[:, signal, 0] += size
    return Differences(values, tuple(map(str, range(pairs))))


def test_the_difference_of_means_is_the_direction_between_them() -> None:
    better, worse = RANDOM.normal(size=(2, 30, 5))
    expected = better.mean(0) - worse.mean(0)
    found = activation.direction(better - worse, "difference")
    assert found == pytest.approx(expected / np.linalg.norm(expected))


@pytest.mark.parametrize("width", [3, 40])  # fewer and more dimensions than pairs
def test_the_logistic_probe_is_the_minimum_of_its_loss(width: int) -> None:
    differences = RANDOM.normal(size=(20, width)) + 0.3
    scaled = differences / np.linalg.norm(differences, axis=1).mean()

    def loss(weights: Any) -> float:
        return float(np.logaddexp(0, -scaled @ weights).mean() + 0.1 / 2 * weights @ weights)

    found = activation._logistic(differences, 0.1)
    assert np.abs(approx_fprime(found, loss, 1e-6)).max() < 1e-4
    assert loss(found) < loss(np.zeros(width))


def test_a_direction_does_not_depend_on_the_scale_of_states() -> None:
    differences = RANDOM.normal(size=(20, 6)) + 0.3
    for method, decay in (("difference", 0.0), ("logistic", 0.1)):
        found = [activation.direction(scale * differences, method, decay) for scale in (1.0, 1000.0)]  # type: ignore[arg-type]
        assert found[1] == pytest.approx(found[0], abs=1e-3)
        assert np.linalg.norm(found[0]) == pytest.approx(1)


@pytest.mark.parametrize("method", ["difference", "logistic"])
def test_the_layer_with_the_signal_is_chosen(method: Any) -> None:
    chosen = activation.choose(planted(60, 4, signal=2, size=2.0), method, seed=0)
    assert chosen.layer == 2
    assert chosen.separation > 0.5


def test_labels_without_signal_are_not_separated_on_left_out_pairs() -> None:
    """Every direction separates the pairs that it was fitted to: with 12 dimensions, most of 20 random ones."""
    separations, fits = [], []
    for _ in range(20):
        found = planted(20, 1, signal=0, size=0.0)
        separations.append(activation.choose(found, "difference", seed=0).separation)
        fits.append(activation.accuracy(found.values[:, 0], activation.direction(found.values[:, 0], "difference")))
    assert np.mean(fits) > 0.7
    assert abs(np.mean(separations)) < 0.3


def test_pairs_of_one_prompt_are_never_split_between_fitting_and_choosing() -> None:
    groups = [str(place % 7) for place in range(30)]
    folds = list(activation._folds(groups, 3))
    assert len(folds) == 5
    for kept, left_out in folds:
        assert not {groups[place] for place in kept} & {groups[place] for place in left_out}
    assert sorted(place for _, left_out in folds for place in left_out) == list(range(30))
    with pytest.raises(FathomError, match="all pairs have one prompt"):
        list(activation._folds(["a", "a"], 0))


def test_more_pairs_give_more_accurate_directions() -> None:
    train, test = planted(200, 3, signal=1, size=0.7, width=48), planted(400, 3, signal=1, size=0.7, width=48)
    points = activation.curve(train, test, (8, 128), "difference", draws=10, seed=0)
    assert [point.pairs for point in points] == [8, 128]
    few, many = (np.mean(point.accuracies) for point in points)
    assert few + 0.05 < many
    with pytest.raises(FathomError, match="the curve needs 300 pairs; there are 200"):
        activation.curve(train, test, (300,), "difference", draws=2, seed=0)


def by_annotators(pairs: int, seed: int) -> Differences:
    """Three annotators prefer what is further along the first dimension; two others answer at random."""
    draws = np.random.default_rng(seed)
    values = draws.normal(size=(pairs, 1, 16))
    who = [f"a{number}" for number in draws.integers(5, size=pairs)]
    right = np.where(values[:, 0, 0] > 0, 1.0, -1.0)
    careless = np.where(draws.random(pairs) < 0.5, 1.0, -1.0)
    signs = np.where(np.isin(who, ["a3", "a4"]), careless, right)
    return Differences(values * signs[:, None, None], tuple(map(str, range(pairs))), annotators=tuple(who))


def test_labels_of_annotators_who_contradict_the_others_count_less() -> None:
    cosines = []
    for seed in range(8):
        found = by_annotators(150, seed)
        joint, plain = (
            activation.direction(found.values[:, 0], method, 0.01, found.annotators)  # type: ignore[arg-type]
            for method in ("annotators", "logistic")
        )
        cosines.append((joint[0], plain[0]))
        rationality = activation.joint(found.values[:, 0], found.annotators, 0.01).rationality
        assert max(rationality["a3"], rationality["a4"]) < min(rationality[f"a{number}"] for number in range(3))
    mine, plain_ones = np.mean(cosines, axis=0)
    assert mine > plain_ones + 0.05
    assert activation.choose(by_annotators(60, 0), "annotators", seed=0).separation > 0.2


def test_no_test_pair_has_a_say_in_the_layer() -> None:
    """The training pairs have their signal in one layer, the test pairs in the other."""
    train, test = planted(80, 2, signal=0, size=2.0), planted(400, 2, signal=1, size=2.0)
    for method in ("difference", "logistic"):
        (point,) = activation.curve(train, test, (60,), method, draws=3, seed=0)  # type: ignore[arg-type]
        assert point.layers == (0, 0, 0)
        assert max(point.accuracies) < 0.7


def saved(path: Path, model: Path, *, layer: int = 1, pool: Pool = "mean", **changes: Any) -> Path:
    weights = LocalEngine(model, device="cpu").identity.rpartition(":")[2]
    values = {"model": "m", "weights": weights, "layer": layer, "pool": pool, "method": "difference", "pairs": 9}
    vector = RANDOM.normal(size=32)
    path.write_text(Direction.model_validate(values | {"vector": tuple(vector)} | changes).model_dump_json())
    return path


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_the_score_is_the_projection_of_transformers_own_hidden_state(model: Path, tmp_path: Path, pool: Pool) -> None:
    path = saved(tmp_path / "d.json", model, pool=pool)
    (item,) = comparisons(1)
    verdict = asyncio.run(ActivationReward(engine=LocalEngine(model, device="cpu"), direction=path)(item))
    tokenizer, causal = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    prompt = encode_chat(tokenizer, [{"role": "user", "content": item.prompt_text}])
    expected = []
    for response in item.responses:
        answer = tokenizer.encode(response, add_special_tokens=False)
        with torch.no_grad():
            layers = causal(torch.tensor([[*prompt, *answer]]), output_hidden_states=True).hidden_states
        states = layers[1][0, len(prompt) :]
        state = states[-1] if pool == "last" else states.mean(0)
        expected.append(float(state.double() @ torch.tensor(json.loads(path.read_text())["vector"]).double()))
    assert verdict.scores == pytest.approx(expected, abs=1e-4)


def test_a_direction_of_other_weights_is_refused(model: Path, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "other", seed=5, context=64)
    judge = ActivationReward(engine=LocalEngine(other, device="cpu"), direction=saved(tmp_path / "d.json", model))
    with pytest.raises(FathomError, match="was fitted to m with the weights"):
        list(judge.run(comparisons(1)))


def test_bad_files_and_missing_ones_name_the_setting_to_change(model: Path, tmp_path: Path) -> None:
    with pytest.raises(FathomError, match=r"direction=.*nothere.json: No such file"):
        ActivationReward(direction=tmp_path / "nothere.json")
    (tmp_path / "bad.json").write_text('{"model": "m"}')
    with pytest.raises(FathomError, match=r"bad.json: weights: Field required; give a file of fathom train activation"):
        ActivationReward(direction=tmp_path / "bad.json")
    with pytest.raises(FathomError, match="needs a direction; fit one with fathom train activation"):
        list(ActivationReward(engine=LocalEngine(model, device="cpu")).run(comparisons(1)))
    path = saved(tmp_path / "short.json", model, vector=(1.0, 2.0))
    with pytest.raises(FathomError, match="the direction has 2 dimensions, the model's states have 32"):
        list(ActivationReward(engine=LocalEngine(model, device="cpu"), direction=path).run(comparisons(1)))


def test_empty_and_long_responses_get_no_score(model: Path, tmp_path: Path) -> None:
    item = Comparison(id="1", prompt="how?", responses=("", "kind " * 99))
    judge = ActivationReward(engine=LocalEngine(model, device="cpu"), direction=saved(tmp_path / "d.json", model))
    ((_, verdict),) = judge.run([item])
    assert verdict.scores is None
    votes = verdict.votes[0].per_response
    assert [vote.status for vote in votes or ()] == [Status.INVALID, Status.FAILED]


def test_the_commands_fit_a_direction_and_judge_with_it(model: Path, tmp_path: Path) -> None:
    pairs, held_out = write(tmp_path / "p.jsonl", comparisons(40)), write(tmp_path / "t.jsonl", comparisons(60, seed=1))
    direction, figures = tmp_path / "direction.json", tmp_path / "figures.json"
    arguments = ["train", "activation", str(pairs), "--model", str(model), "--out", str(direction)]
    measured = ["--test", str(held_out), "--curve", "8,32", "--draws", "4", "--json", str(figures)]
    result = CliRunner().invoke(app, [*arguments, *measured])
    assert result.exit_code == 0, result.output
    found = json.loads(figures.read_text())
    assert found["layer"] in (1, 2)
    assert found["accuracy"] > 0.9
    assert [(point["pairs"], len(point["accuracies"])) for point in found["curve"]] == [(8, 4), (32, 4)]

    items = [
        item.model_copy(update={"metadata": {"who": "careless" if place % 2 else "careful"}})
        if place % 4 != 1
        else item.model_copy(update={"metadata": {"who": "careless"}, "label": Label(best=1 - best_of(item))})
        for place, item in enumerate(comparisons(40))
    ]
    labelled = write(tmp_path / "who.jsonl", items)
    by_whom = ["--method", "annotators", "--annotator", "who", "--json", str(figures), "--out", str(tmp_path / "who")]
    result = CliRunner().invoke(app, [*arguments[:2], str(labelled), *arguments[3:-2], *by_whom])
    assert result.exit_code == 0, result.output
    assert "columns not used" not in result.output
    found_by_whom = json.loads(figures.read_text())["rationality"]
    assert found_by_whom["careless"] < found_by_whom["careful"]

    alone = tmp_path / "alone.json"
    result = CliRunner().invoke(app, [*arguments[:-1], str(alone)])
    assert result.exit_code == 0, result.output
    both = [json.loads(path.read_text()) for path in (alone, direction)]  # the test pairs are only measured
    assert both[0]["layer"] == both[1]["layer"]
    assert both[0]["vector"] == pytest.approx(both[1]["vector"], abs=1e-4)

    out = tmp_path / "verdicts.jsonl"
    judge = ["judge", str(held_out), "--judge", "activation", "--judge-option", f"direction={direction}"]
    result = CliRunner().invoke(app, [*judge, "--model", str(model), "--out", str(out)])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    right = [
        row["winner"] == item.label.best for row, item in zip(rows, comparisons(60, seed=1), strict=True) if item.label
    ]
    assert np.mean(right) == pytest.approx(found["accuracy"])
    assert isinstance(make_judge_for_checkpoint(model, name="activation", direction=direction), ActivationReward)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--layers", "3"], "--layers 3: expected whole numbers from 0 to 2"),
        (["--curve", "8"], "--curve needs --test"),
        (["--method", "annotators"], "--method annotators needs --annotator COLUMN"),
        (["--annotator", "who"], "and vice versa"),
        (
            ["--method", "annotators", "--annotator", "who"],
            "'who' is None, expected the name of one annotator",
        ),
        (["--layers", "one"], "expected whole numbers"),
    ],
)
def test_settings_that_cannot_work_are_refused(model: Path, tmp_path: Path, options: list[str], problem: str) -> None:
    pairs = write(tmp_path / "p.jsonl", comparisons(8))
    arguments = ["train", "activation", str(pairs), "--model", str(model), "--out", str(tmp_path / "d.json"), *options]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, FathomError)
    assert problem in str(result.exception)


def test_pairs_that_the_model_cannot_read_are_left_out_and_counted(model: Path) -> None:
    items = [*comparisons(4), Comparison(id="e", prompt="how?", responses=("", "rude"), label=Label(best=1))]
    tie = Comparison(id="t", prompt="how?", responses=("kind", "rude"), label=Label(scores=(1.0, 1.0)))
    engine = LocalEngine(model, device="cpu")
    found = asyncio.run(activation.read([*items, tie], engine, layers=(1, 2), pool="last"))
    assert found.values.shape == (4, 2, 32)
    assert len(found.left_out) == 1
    assert "empty" in found.left_out[0]
    with pytest.raises(FathomError, match=r"none of 1 pairs; the first reason: .*empty"):
        asyncio.run(activation.read([items[-1]], engine, layers=(1,), pool="last"))
    with pytest.raises(FathomError, match="none of 1 comparisons has a label that orders two responses"):
        asyncio.run(activation.read([tie], engine, layers=(1,), pool="last"))
