"""The small world of criteria: its items, its judgements, and what can be known in it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import astuple
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.judges.spct import SPCTJudge
from fathom.lab import criteria
from fathom.lab.criteria import PRINCIPLES, Item, ideal, items, judgment, posterior
from fathom.rationale import Status

JUDGE = SPCTJudge(trained=True)


def test_items_are_a_pure_function_of_seed_and_have_a_winner() -> None:
    assert items(20, seed=1, clear=0.5) == items(20, seed=1, clear=0.5)
    assert items(20, seed=1, clear=0.5) != items(20, seed=2, clear=0.5)
    for item in items(200, seed=0, clear=0.5):
        grades = item.table[item.wanted]
        assert grades[item.winner] > grades[1 - item.winner]


@given(st.integers(0, 10**6), st.integers(0, len(PRINCIPLES)))
def test_judgements_are_read_as_the_grades_of_their_principle(seed: int, principle: int) -> None:
    (item,) = items(1, seed=seed, clear=0.5)
    for stated in (True, False):
        vote = JUDGE.read(judgment(item, principle, stated=stated), item.comparison)
        assert (vote.status, vote.scores) == (Status.OK, item.table[principle])
        assert vote.rationale is not None
        assert bool(vote.rationale.units) == stated


def test_the_posterior_is_bayes_theorem() -> None:
    table = ((2, 1), (2, 1), (3, 3), (1, 2), (5, 5))  # under the third principle they tie, so it is never wanted
    item = Item("i", (0, 0, 1), 0, table)
    # P(cues | 0) = .7 .7 .1, P(cues | 1) = .1 .1 .7, P(cues | 3) = .1 .1 .1
    assert posterior(item, 0.7) == pytest.approx({0: 49 / 57, 1: 7 / 57, 3: 1 / 57})


def test_ideal_accuracies_follow_from_the_posterior() -> None:
    item = Item("i", (0, 1, 3), 0, ((1, 4), (2, 1), (3, 3), (2, 1), (9, 1)))
    # All three are equally likely. The first says 1 with a lead of 3, the others 0 with a lead of 1 each.
    found = ideal(item, clear=0.4)
    assert found.one == pytest.approx(5 / 9)  # 1/3 1/3 + 2/3 2/3
    assert found.majority == found.best == pytest.approx(2 / 3)
    assert found.sum == pytest.approx(1 / 3)
    # Lazy judgements lead by 8 for the first response, and are most.
    lazy = ideal(item, clear=0.4, lazy=0.6)
    assert lazy.greedy == lazy.sum == lazy.majority == pytest.approx(2 / 3)
    assert lazy.one == pytest.approx(0.4 * 5 / 9 + 0.6 * 2 / 3)


@pytest.mark.parametrize(("clear", "lazy"), [(0.55, 0.0), (1.0, 0.55)])
def test_ideal_accuracies_are_what_simulated_judges_reach(clear: float, lazy: float) -> None:
    rng = random.Random(0)
    drawn = items(4000, seed=3, clear=clear)

    def one_vote(item: Item) -> float:
        chances = posterior(item, clear)
        (principle,) = rng.choices(list(chances), list(chances.values()))
        first, second = item.table[len(PRINCIPLES) if rng.random() < lazy else principle]
        return 0.5 if first == second else float((second > first) == bool(item.winner))

    expected = fmean(ideal(item, clear=clear, lazy=lazy).one for item in drawn)
    assert fmean(map(one_vote, drawn)) == pytest.approx(expected, abs=0.03)


@given(st.integers(0, 10**6), st.sampled_from([0.4, 0.55, 1.0]), st.sampled_from([0.0, 0.55]))
def test_nothing_is_better_than_the_best(seed: int, clear: float, lazy: float) -> None:
    (item,) = items(1, seed=seed, clear=clear)
    found = ideal(item, clear=clear, lazy=lazy)
    assert max(astuple(found)) == pytest.approx(found.best)


def test_every_prompt_and_judgement_is_made_of_words_that_the_tokenizer_knows() -> None:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    from fathom.engines.chat import encode_chat
    from fathom.synth.rejection import hinted

    words = criteria.tokenizer()

    def known(tokens: list[int]) -> bool:
        return words.unk_token_id not in tokens

    asked: list[Callable[[Item], list[int]]] = [
        lambda item: encode_chat(words, JUDGE.ask(item.comparison)),
        lambda item: encode_chat(words, hinted(JUDGE.ask(item.comparison), item.comparison)),
    ]
    for item in items(300, seed=0, clear=0.5):
        assert all(known(ask(item)) for ask in asked)
        for principle in range(len(PRINCIPLES) + 1):
            for stated in (True, False):
                text = judgment(item, principle, stated=stated)
                tokens = words.encode(text, add_special_tokens=False)
                assert known(tokens)
                assert words.decode(tokens) == text
