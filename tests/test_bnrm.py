"""Heads with several outputs: factors (BNRM), members of an ensemble (CRM), distributions (AVA), and objectives."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from transformers import AutoModel, AutoModelForSequenceClassification
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.engines import ClassifyRequest, bnrm
from fathom.engines.headed import HeadedModel
from fathom.engines.heads import Head, load_classifier
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from fathom.metrics.principles import principles
from fathom.results import runs
from fathom.rewards.scalar import ScalarRewardModel, decisive
from fathom.train import collaborative, recipes, scalar
from fathom.train.avril import token_rewards
from fathom.train.recipe import RewardRecipe, load
from fathom.train.scalar_trainer import rewards_of
from test_train_reward import LEARN, LORA, comparisons, logged, write
from tiny import make_checkpoint


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = ["how? kind rude long short "] * 4
    return make_checkpoint(tmp_path_factory.mktemp("base") / "m", vocab_texts=texts, context=128)


def trained(base: Path, data: Path, output: Path, **settings: Any) -> Path:
    return scalar.train(RewardRecipe(model=str(base), data=data, output=output, **{"trainer": LEARN} | settings))


def outputs(folder: Path, items: list[Comparison]) -> torch.Tensor:
    """All outputs for each response, (responses, outputs)."""
    model, tokenizer, _ = load_classifier(folder, device="cpu")
    with torch.no_grad():
        return torch.cat(
            [model(torch.tensor([text])).logits for item in items for text in scalar.encode(tokenizer, item)]
        )


# Factors: the distributions -------------------------------------------------------------------------------------------

positive = st.floats(0.3, 4)


@given(shape=st.floats(1, 6), scale=positive, a=positive, b=positive)
def test_the_divergence_of_weibull_from_gamma_is_that_of_quadrature(
    shape: float, scale: float, a: float, b: float
) -> None:
    def integrand(u: float) -> float:
        # Over probabilities, where the Weibull distribution is uniform: x is its quantile, so the range is finite.
        t = -math.log1p(-u)
        log_x = math.log(scale) + math.log(t) / shape
        log_q = math.log(shape / scale) + (shape - 1) * (log_x - math.log(scale)) - t
        log_p = a * math.log(b) - math.lgamma(a) + (a - 1) * log_x - b * math.exp(log_x)
        return log_q - log_p

    expected, _ = quad(integrand, 0, 1, epsabs=1e-9, limit=500)
    found = bnrm.weibull_gamma_kl(torch.tensor(shape, dtype=torch.float64), torch.tensor(scale).double(), a, b)
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_the_divergence_is_zero_only_for_the_prior() -> None:
    one = torch.ones((), dtype=torch.float64)
    assert float(bnrm.weibull_gamma_kl(one, one)) == pytest.approx(0, abs=1e-12)  # both are exponential
    others = [bnrm.weibull_gamma_kl(k * one, s * one) for k, s in ((1.5, 1.0), (1.0, 2.0), (3.0, 0.3))]
    assert min(others) > 0.05


def test_samples_have_the_mean_that_the_network_asks_for() -> None:
    torch.manual_seed(0)
    raw = torch.tensor([[0.5, 2.0], [-3.0, 0.7], [2.0, -1.0]])
    shape, scale = bnrm.weibull(raw)
    torch.testing.assert_close(bnrm.mean(shape, scale), torch.tensor([2.0, 0.7, bnrm.FLOOR]))
    draws = bnrm.sample(shape.expand(100_000, 3), scale.expand(100_000, 3))
    assert draws.min() >= 0
    # The standard deviation of a Weibull variable with k >= 1 is at most its mean: 5 standard errors of 100,000 draws.
    assert ((draws.mean(0) / bnrm.mean(shape, scale) - 1).abs() < 5 / math.sqrt(100_000)).all()


def test_only_training_samples_and_no_contribution_is_negative() -> None:
    torch.manual_seed(0)
    head, states = bnrm.FactorHead(8, 16, spread=0.5), torch.randn(5, 8)
    assert not torch.equal(head(states), head(states))
    head.eval()
    assert torch.equal(head(states), head(states))
    assert head(states).min() >= 0
    off = head(states) <= 2 * bnrm.FLOOR
    assert 0.2 < off.float().mean() < 0.8


# Factors: training and judging ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_factors_are_learned_saved_and_named_in_the_rationale_of_a_verdict(
    base: Path, tmp_path: Path, lora: dict[str, Any] | None
) -> None:
    held_out = comparisons(24, seed=1)
    data, test = write(tmp_path / "d.jsonl", comparisons(64)), write(tmp_path / "t.jsonl", held_out)
    folder = trained(base, data, tmp_path / "m", head="bnrm", factors=8, lora=lora, eval_data=test)
    described = json.loads((folder / "fathom.json").read_text())
    assert (described["combine"], described["head"]["kind"]) == ("sum", "bnrm")
    assert logged(folder, "eval_accuracy")[-1] >= 0.9

    out = tmp_path / "verdicts.jsonl"
    judged = CliRunner().invoke(app, ["judge", str(test), "--model", str(folder), "--out", str(out)])
    assert judged.exit_code == 0, judged.output
    rows = [row for row in runs.open(out).rows() if "pairs" not in row]
    contributions = outputs(folder, held_out)
    assert contributions.min() >= 0
    given_scores = [score for row in rows for score in row["scores"] or ()]
    assert given_scores == pytest.approx(contributions.sum(-1).tolist(), abs=1e-4)
    for row, pair in zip(rows, contributions.view(-1, 2, 8), strict=True):
        [vote] = row["votes"]
        assert vote["rationale"] is not None
        first = vote["rationale"]["units"][0]
        assert first["principle"] == f"factor {(pair[0] - pair[1]).abs().argmax() + 1}"
        assert float(first["judgment"]) == pytest.approx(float((pair[0] - pair[1]).abs().max()), rel=1e-3)
    [deciding, *_] = principles(rows)  # the table of the report
    assert deciding.rows > 12
    assert deciding.right is not None
    assert deciding.right.mean > 0.8


def test_the_factor_with_the_largest_difference_comes_first() -> None:
    units = decisive([{"factor 1": 1.0, "factor 2": 0.5}, {"factor 1": 0.75, "factor 3": 2.0}])
    named = [(unit.principle, unit.sub_verdict, unit.judgment) for unit in units]
    assert named == [("factor 3", "B", "+2"), ("factor 2", "A", "+0.5"), ("factor 1", "A", "+0.25")]
    assert decisive([{"factor 1": 1.0}, {"factor 1": 1.0}]) == ()
    [third] = decisive([{}, {}, {"factor 1": 1.0}])
    assert third.sub_verdict is None


def test_the_weight_of_the_divergence_pulls_factors_to_the_prior(base: Path, tmp_path: Path) -> None:
    data, [item] = write(tmp_path / "d.jsonl", comparisons(64)), comparisons(1, seed=1)
    free, pulled = (
        outputs(trained(base, data, tmp_path / f"m{kl}", head="bnrm", factors=8, kl=kl), [item]) for kl in (0.0, 1.0)
    )

    def spread(found: torch.Tensor) -> float:
        return float((found[0] - found[1]).abs().sum())

    assert spread(pulled) < 0.5 * spread(free)


# Ensembles ------------------------------------------------------------------------------------------------------------


def test_members_of_an_ensemble_differ_and_disagree_most_where_they_saw_nothing(base: Path, tmp_path: Path) -> None:
    data, items = write(tmp_path / "d.jsonl", comparisons(64)), comparisons(12, seed=1)
    folder = trained(base, data, tmp_path / "m", members=4)
    plain = AutoModelForSequenceClassification.from_pretrained(folder)
    assert plain.config.id2label == {place: f"member {place + 1}" for place in range(4)}
    found = outputs(folder, items)
    assert float(found.std(1).min()) > 0
    engine = LocalEngine(folder, device="cpu", dtype="float32")
    scores = [verdict.scores for _, verdict in ScalarRewardModel(engine=engine, combine="mean").run(items)]
    assert [score for each in scores for score in each or ()] == pytest.approx(found.mean(1).tolist(), abs=1e-4)
    lower = ScalarRewardModel(engine=engine, combine="mean", pessimism=2.0)
    bounds = [score for _, verdict in lower.run(items) for score in verdict.scores or ()]
    assert bounds == pytest.approx((found.mean(1) - 2 * found.std(1)).tolist(), abs=1e-4)


def test_weights_of_members_have_mean_one_and_do_not_depend_on_the_number_of_examples() -> None:
    targets = scalar.Target(pairs=((0, 1, 1.0),))
    rows = scalar.rows([scalar.Example([[1], [2]], targets)] * 4000, members=2, seed=3)
    weights = torch.tensor([row["weights"] for row in rows])
    assert weights.mean(0).tolist() == pytest.approx([1.0, 1.0], abs=5 / math.sqrt(4000))
    assert "weights" not in scalar.rows([scalar.Example([[1], [2]], targets)])[0]


# Two members against wrong labels -------------------------------------------------------------------------------------


def with_wrong_labels(items: list[Comparison], share: float) -> list[Comparison]:
    """The comparisons, a share of them with the label of the other response."""
    wrong = set(random.Random(0).sample(range(len(items)), round(share * len(items))))
    return [
        item.model_copy(update={"label": Label(best=1 - (item.label.best or 0))}) if place in wrong else item
        for place, item in enumerate(items)
        if item.label is not None
    ]


def test_weights_of_two_members_are_those_of_pairs_that_the_other_one_finds_easiest() -> None:
    loss = torch.tensor([[0.1, 0.9, 0.5, 0.3], [0.8, 0.2, 0.1, 0.7]])
    assert collaborative.weights(loss, 0.5).tolist() == [[0, 2, 2, 0], [2, 0, 0, 2]]
    assert collaborative.weights(loss, 0.0).tolist() == [[1] * 4] * 2


def test_two_members_that_select_for_each_other_leave_out_wrong_labels(base: Path, tmp_path: Path) -> None:
    """Both are right in the end, and less misled than members that are trained on all pairs."""
    data = write(tmp_path / "d.jsonl", with_wrong_labels(comparisons(64), 0.3))
    items, trainer = comparisons(24, seed=1), LEARN | {"max_steps": 30, "per_device_train_batch_size": 16}
    margins = {}
    for noise in (0.0, 0.3):
        folder = trained(base, data, tmp_path / f"m{noise}", members=2, noise=noise, trainer=trainer)
        rewards = outputs(folder, items).view(-1, 2, 2)
        best = torch.tensor([item.label.best for item in items if item.label is not None])
        right = torch.gather(rewards, 1, best[:, None, None].expand(-1, 1, 2)).squeeze(1)
        margins[noise] = 2 * right - rewards.sum(1)
    assert (margins[0.3] > 0).float().mean() > 0.9
    assert margins[0.3].mean() > 2 * margins[0.0].mean()


def test_the_share_of_pairs_that_members_leave_out_is_logged(base: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "d.jsonl", comparisons(16))
    trainer = LEARN | {"max_steps": 6, "logging_steps": 1, "per_device_train_batch_size": 8}
    for noise in (0.0, 0.5):
        folder = trained(base, data, tmp_path / f"m{noise}", members=2, noise=noise, trainer=trainer)
        # It grows to the assumed share over the first 30 % of the steps, in whole pairs of a batch of 8.
        assert logged(folder, "left_out") == ([] if not noise else [0.0, pytest.approx(0.25), *[0.5] * 4])


# A distribution for each token ----------------------------------------------------------------------------------------


def test_a_distribution_of_rewards_is_learned_saved_and_judged_with(base: Path, tmp_path: Path) -> None:
    data, items = write(tmp_path / "d.jsonl", comparisons(64)), comparisons(24, seed=1)
    folder = trained(base, data, tmp_path / "m", head="gaussian", kl=0.01, lora=LORA)
    described = json.loads((folder / "fathom.json").read_text())
    assert (described["weights"], described["head"]["outputs"]) == ({"mean": 1.0}, ["mean", "deviation"])
    found = outputs(folder, items)
    out, test = tmp_path / "verdicts.jsonl", write(tmp_path / "t.jsonl", items)
    judged = CliRunner().invoke(app, ["judge", str(test), "--model", str(folder), "--out", str(out)])
    assert judged.exit_code == 0, judged.output
    rows = [row for row in runs.open(out).rows() if "pairs" not in row]
    assert [score for row in rows for score in row["scores"] or ()] == pytest.approx(found[:, 0].tolist(), abs=1e-4)
    right = [row["winner"] == item.label.best for row, item in zip(rows, items, strict=True) if item.label]
    assert sum(right) >= 22
    lower = ScalarRewardModel(engine=LocalEngine(folder, device="cpu"), weights={"mean": 1.0, "deviation": -1.0})
    [(_, verdict)] = lower.run(items[:1])
    assert verdict.scores == pytest.approx((found[:2, 0] - found[:2, 1]).tolist(), abs=1e-4)


def test_the_page_s_program_gives_the_distribution_of_every_token(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(tmp_path / "d.jsonl", comparisons(16))
    trainer = LEARN | {"max_steps": 2}
    folder = trained(base, data, tmp_path / "m", head="gaussian", kl=0.01, lora=LORA, trainer=trainer)
    page = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
    (program,) = [each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "head: gaussian" in each]
    found: dict[str, Any] = {}
    exec(program.replace("runs/reward", str(folder)), found)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found["found"]) > 4
    # The reward of the text is that of its last token.
    request = ClassifyRequest(tuple(found["messages"][:1]), found["messages"][1]["content"])
    own = asyncio.run(LocalEngine(folder, device="cpu").classify(request)).logits
    assert found["found"][-1][1:] == pytest.approx(own, abs=1e-4)
    assert len({mean for _, mean, _ in found["found"]}) > 4
    with pytest.raises(FathomError, match="has no gaussian head"):
        token_rewards(base, found["messages"])


def test_the_penalty_is_the_mean_divergence_of_the_tokens_without_padding(base: Path) -> None:
    model = HeadedModel(AutoModel.from_pretrained(base), Head(kind="gaussian", outputs=("mean", "deviation"))).train()
    ids, mask = torch.arange(6, 16).view(2, 5), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    found = model(ids, mask).loss.detach()
    for row, length in enumerate((5, 3)):
        states = model.model(ids[row : row + 1, :length]).last_hidden_state
        mean, log_std = model.score.layer(states).unbind(-1)
        std = log_std.clamp(-5, 2).exp()
        expected = ((std**2 + mean**2 - 1) / 2 - std.log()).mean().detach()
        assert float(found[row]) == pytest.approx(float(expected), rel=1e-4)


# Objectives -----------------------------------------------------------------------------------------------------------


def of_objective(objective: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Kind is better than rude; long is better than short."""
    better, worse = {"kindness": ("kind ", "rude "), "length": ("long ", "short ")}[objective]
    rng = random.Random(f"{seed}/{objective}")
    rows = []
    for _ in range(count):
        chosen, rejected = better * rng.randint(1, 6), worse * rng.randint(1, 6)
        rows.append({"prompt": "how?", "chosen": chosen, "rejected": rejected, "objective": objective})
    return rows


def test_a_comparison_trains_the_output_of_its_objective_only(base: Path, tmp_path: Path) -> None:
    both, one = tmp_path / "both.jsonl", tmp_path / "one.jsonl"
    rows = of_objective("kindness", 48) + of_objective("length", 48)
    both.write_text("".join(json.dumps(row) + "\n" for row in rows))
    one.write_text("".join(json.dumps(row) + "\n" for row in rows[:48]))
    named = {"objectives": ("kindness", "length")}
    folder = trained(base, both, tmp_path / "m", trainer=LEARN | {"max_steps": 60}, **named)
    words = Comparison(id="x", prompt="how?", responses=("kind ", "rude ", "long ", "short "))
    kind, rude, long, short = outputs(folder, [words])
    assert kind[0] - rude[0] > 1
    assert long[1] - short[1] > 1

    engine = LocalEngine(folder, device="cpu", dtype="float32")
    first = ScalarRewardModel(engine=engine, weights={"kindness": 1.0, "length": 0.0})
    [(_, verdict)] = first.run([words])
    assert verdict.scores == pytest.approx([float(kind[0]), float(rude[0]), float(long[0]), float(short[0])], abs=1e-4)


def test_only_the_output_of_its_objective_has_a_gradient_from_a_comparison() -> None:
    recipe = RewardRecipe(model="-", data="-", output="-", objectives=("a", "b", "c"))
    outputs = torch.randn(4, 3, requires_grad=True)
    inputs = {"objectives": torch.tensor([2, 0]), "of": torch.tensor([0, 0, 1, 1])}
    [rewards], measured = rewards_of(recipe, outputs, inputs)
    assert torch.equal(rewards, measured)
    assert torch.equal(rewards[:, 0], outputs[torch.arange(4), torch.tensor([2, 2, 0, 0])])
    rewards.sum().backward()
    assert outputs.grad is not None
    assert outputs.grad.tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 0], [1, 0, 0]]


def test_an_unknown_objective_is_refused(base: Path, tmp_path: Path) -> None:
    data = tmp_path / "d.jsonl"
    data.write_text(json.dumps(of_objective("kindness", 1)[0]) + "\n")
    with pytest.raises(FathomError, match="column 'objective' is 'kindness', expected one of objectives: safety"):
        trained(base, data, tmp_path / "m", objectives=("safety",))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["head=bnrm", "members=3"], "head: bnrm and members give the outputs different meanings"),
        (["members=3", "objectives=[a, b]"], "members and objectives give the outputs different meanings"),
        (["head=bnrm", "loss=binary"], "head: bnrm applies to losses that compare responses, not to binary"),
        (["kl=0.1"], "kl applies to head: bnrm or gaussian, not to linear"),
        (["head=gaussian", "factors=9"], "factors applies to head: bnrm, not to gaussian"),
        (["head=gaussian", "pooling=mean"], "expected pooling: last"),
        (["noise=0.2"], "noise needs members: 2, which select pairs for each other; got members: 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(overrides: list[str], message: str, tmp_path: Path) -> None:
    data = write(tmp_path / "d.jsonl", comparisons(2))
    with pytest.raises(FathomError, match=message):
        load(recipes.path("mini_reward"), RewardRecipe, [f"data={data}", *overrides])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"combine": "sum", "weights": {"reward": 1.0}}, "combine='sum' uses all outputs"),
        ({"combine": "sum", "pessimism": 1.0}, "pessimism=1.0 with combine='sum'"),
        ({"combine": "mean", "pessimism": -1.0}, "pessimism=-1.0 with combine='mean'"),
    ],
)
def test_settings_of_the_judge_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(FathomError, match=message):
        ScalarRewardModel(**settings)
