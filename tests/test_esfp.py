"""Explanations and slots: the order task, the two kinds of model, and the arithmetic of the claims."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

import torch

import fresh
from fathom.lab import cloze
from fathom.lab.experiments.results import Row
from fathom.lab.reproductions import esfp as reproduction

SETTINGS = reproduction.EXPERIMENT.settings
SMALL = replace(
    SETTINGS,
    pretraining=2,
    tuning=2,
    esnli_pretraining=2,
    esnli_tuning=2,
    batch=8,
    unlabelled=16,
    labelled=12,
    tested=9,
)
ROWS = [
    {"premise": f"a {who} runs", "hypothesis": f"a {who} {does}", "label": label, "explanation_1": why}
    for who in ("dog", "man", "cat", "girl")
    for does, label, why in (
        ("moves", "entailment", "who runs moves"),
        ("sleeps", "contradiction", "it is not true that who runs sleeps"),
        ("smiles", "neutral", "who runs need not smile"),
    )
]


def decided(context: tuple[int, ...]) -> int:
    """The label by the premises alone, by following every fact, written apart from the task's own code."""
    facts = {(context[place], context[place + 2]) for place in range(0, 16, 4)}
    *_, x, _, y = context

    def reaches(start: int, end: int) -> bool:
        return any(a == start and (b == end or reaches(b, end)) for a, b in facts)

    return 0 if reaches(x, y) else 2 if reaches(y, x) else 1


def test_labels_follow_from_the_premises_and_are_equally_frequent() -> None:
    examples = cloze.order_examples(300, seed=1)
    assert all(decided(each.context) == each.label for each in examples)
    assert all(70 < count < 130 for count in Counter(each.label for each in examples).values())
    assert not any(set(each.explanation) & set(cloze.LABELS) for each in examples)


def test_explanations_give_the_label_away() -> None:
    for each in cloze.order_examples(100, seed=2):
        place = each.explanation.index(cloze.NEXT)
        first, second = each.explanation[:place], each.explanation[place + 1 :]
        x, y = first[0], second[0]
        assert each.label == (0 if y in first else 2 if x in second else 1)


@pytest.mark.parametrize("kind", cloze.KINDS)
def test_only_the_masked_model_sees_what_comes_after(kind: cloze.Kind) -> None:
    model = cloze.built(kind, cloze.ORDER_WORDS, SETTINGS.sizes, seed=0).eval()
    ids = torch.tensor([[8, 9, 10, 11], [8, 9, 10, 12]])
    with torch.no_grad():
        first, second = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, 0]
    assert torch.allclose(first, second, atol=1e-6) == (kind == "causal")


def test_twins_have_the_same_weights_to_train() -> None:
    masked, causal = (cloze.built(kind, 30, SETTINGS.sizes, seed=0) for kind in cloze.KINDS)
    shapes = [{name: weight.shape for name, weight in model.named_parameters()} for model in (masked, causal)]
    assert shapes[0] == shapes[1]
    assert all(torch.equal(a, b) for a, b in zip(masked.parameters(), causal.parameters(), strict=True))


@pytest.mark.parametrize("kind", cloze.KINDS)
def test_a_slot_does_not_depend_on_other_texts_of_the_batch(kind: cloze.Kind) -> None:
    model = cloze.built(kind, cloze.ORDER_WORDS, SETTINGS.sizes, seed=0).eval()
    short, long = cloze.Example((8, 9), (), 0), cloze.Example(tuple(range(8, 16)), (9, 10), 1)
    alone = cloze.probabilities(model, [(short, "none")])[0]
    together = cloze.probabilities(model, [(short, "none"), (long, "explained")])[0]
    assert torch.allclose(alone, together, atol=1e-5)


@pytest.mark.parametrize("kind", cloze.KINDS)
def test_both_kinds_learn_the_slot(kind: cloze.Kind) -> None:
    tasks: list[cloze.Task] = [(cloze.Example((8 + label,), (), label), "none") for label in range(3)]
    model = cloze.built(kind, cloze.ORDER_WORDS, SETTINGS.sizes, seed=0)
    cloze.tune(model, tasks, replace(SETTINGS.sizes, tuning=60, batch=12), seed=0)
    assert cloze.accuracy(model, tasks) == 1


def test_written_explanations_are_samples_that_a_seed_determines() -> None:
    writer = cloze.built("causal", cloze.ORDER_WORDS, SETTINGS.sizes, seed=0).eval()
    examples = cloze.order_examples(5, seed=3)
    first, again, other = (cloze.explain(writer, examples, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert [each.context for each in first] == [each.context for each in examples]


def test_deviation_is_zero_for_equal_explanations_only() -> None:
    model = cloze.built("masked", cloze.ORDER_WORDS, SETTINGS.sizes, seed=0).eval()
    examples = cloze.order_examples(6, seed=4)
    others = [each._replace(explanation=each.explanation[::-1]) for each in examples]
    assert reproduction.deviation(model, [examples, examples]) == 0
    shares = [cloze.probabilities(model, [(each, "explained") for each in part]) for part in (examples, others)]
    halves = [abs(a[each.label] - b[each.label]).item() / 2 for a, b, each in zip(*shares, examples, strict=True)]
    assert reproduction.deviation(model, [examples, others]) == pytest.approx(sum(halves) / 6, rel=1e-4)


def test_the_rule_of_negations_takes_its_labels_from_training_rows() -> None:
    flipped = [row | {"label": {"entailment": "neutral"}.get(row["label"], "entailment")} for row in ROWS]
    assert reproduction.accuracy_of_negations(ROWS, ROWS) == pytest.approx(2 / 3)
    assert reproduction.accuracy_of_negations(ROWS, flipped) == 0
    assert [*map(reproduction.has_negation, ("It isn't so.", "A man cannot fly", "a note on knots"))] == [
        True,
        True,
        False,
    ]


def test_the_whole_path_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduction, "esnli_rows", lambda: ROWS)
    monkeypatch.setattr(reproduction, "fold_of", lambda seed: reproduction._fold(ROWS[0]))
    for part in reproduction.EXPERIMENT.parts:
        reproduction.run(part, 0, SMALL, tmp_path)
    found = reproduction.measure(0, SMALL, tmp_path)
    assert set(found.contrasts) == {name for c in reproduction.EXPERIMENT.register.claims for name in c.contrasts}


def test_rows_of_a_premise_are_in_one_fold_and_stripping_removes_verdict_words() -> None:
    assert len({reproduction._fold(row) for row in ROWS[:3]}) == 1
    vocabulary = reproduction.vocabulary_of(ROWS, 100)
    whole, stripped = (reproduction.encode(ROWS[1], vocabulary, strip) for strip in (False, True))
    assert vocabulary["true"] in whole.explanation
    assert vocabulary["true"] not in stripped.explanation
    assert whole.context == stripped.context


def measurements(gain: float, masked: float, stable: float, alone: float) -> list[Row]:
    def of(seed: int) -> dict[str, Any]:
        noise = random.Random(seed).uniform(-0.01, 0.01)

        def order(surplus: float, deviation: float) -> dict[str, float]:
            explained = 0.5 + gain + surplus + noise
            return {"none": 0.5, "explained": explained, "alone": explained, "deviation": deviation + noise / 10}

        real = {"none": 0.4, "explained": 0.4 + gain, "alone": 0.4 + alone + noise, "stripped": 0.4 + alone / 2}
        return {
            "order": {
                "right_explanations": 0.9,
                "masked": order(masked, 0.1),
                "causal": order(0, 0.1 + stable + noise / 5),
            },
            "esnli": {"masked": real, "causal": real, "negations": 0.6, "changed": 0.03},
        }

    return fresh.rows(reproduction.measured(of(seed)) for seed in range(8))


def test_the_claims_hold_if_their_differences_exist_and_fail_if_they_do_not() -> None:
    found = fresh.holding(reproduction.EXPERIMENT, measurements(0.3, 0.05, 0.05, 0.3))
    assert found["masked_is_stabler"]
    assert found["explanations_give_the_label_away"]
    assert found["explanations_help"]
    found = fresh.holding(reproduction.EXPERIMENT, measurements(-0.05, -0.05, -0.05, -0.1))
    assert found == dict.fromkeys(found, False)


def test_a_leak_below_the_rule_of_negations_is_not_enough() -> None:
    found = fresh.holding(reproduction.EXPERIMENT, measurements(0.3, 0.05, 0.05, 0.15))
    assert not found["explanations_give_the_label_away"]


def test_the_page_shows_both_kinds(tmp_path: Path) -> None:
    text = fresh.page(reproduction.EXPERIMENT, measurements(0.3, 0.05, 0.05, 0.3), tmp_path)
    assert all(f"| {words} |" in text for words in reproduction.WORDS.values())
