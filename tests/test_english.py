"""The English world: what its verbs decide, and what its judge reads."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.errors import FathomError
from fathom.judging.choice import judge_choice
from fathom.lab import english
from fathom.lab.english import FITTING, Item, ShortJudge
from fathom.lab.world import OTHER

JUDGE = ShortJudge()
ITEMS = st.builds(
    lambda seed, verb: english.item(random.Random(seed), "one", verb, english.domain_of(verb)),
    st.integers(0, 10**6),
    st.sampled_from([verb for verbs in english.VERBS.values() for verb in verbs]),
)


@given(ITEMS)
def test_a_fitting_rationale_leads_to_the_better_response(item: Item) -> None:
    structure = FITTING[item.domain]
    vote = JUDGE.read(english.rationale(item, structure), item.comparison)
    assert vote.status == "ok"
    assert vote.winner == item.winner
    assert vote.rationale is not None
    assert vote.rationale.structure == structure


@given(ITEMS)
def test_a_rationale_of_the_other_structure_is_read_as_such(item: Item) -> None:
    structure = FITTING[OTHER[item.domain]]
    vote = JUDGE.read(english.rationale(item, structure), item.comparison)
    assert vote.rationale is not None
    assert vote.rationale.structure == structure
    assert vote.winner == item.winner_by(structure)


def test_the_other_structure_is_right_in_half_of_the_items() -> None:
    items = english.items(2000, [*english.VERBS["preference"], *english.VERBS["correctness"]], seed=0, prefix="half")
    right = sum(item.winner == item.winner_by(FITTING[OTHER[item.domain]]) for item in items)
    assert right / len(items) == pytest.approx(0.5, abs=0.04)
    assert english.accuracy_by_match(0.0) == 0.5
    assert english.accuracy_by_match(1.0) == 1.0


def test_texts_without_tag_or_verdict_are_neither_structure_nor_vote() -> None:
    item = english.item(random.Random(0), "one", "draft", "preference")
    untagged = JUDGE.read("Both are fine.\n[[A]]", item.comparison)
    assert untagged.rationale is not None
    assert untagged.rationale.structure == "vanilla"
    cut = JUDGE.read("Qualities: A clear, warm", item.comparison, finished=False)
    assert (cut.status, cut.winner) == ("truncated", None)


@pytest.mark.parametrize("seed", range(5))
def test_sets_of_verbs_are_disjoint_balanced_and_drawn_by_seed(seed: int) -> None:
    sets = english.split(seed, (4, 8, 8))
    assert [len(verbs) for verbs in sets] == [8, 16, 16]
    assert len({verb for verbs in sets for verb in verbs}) == 40
    assert all(sum(verb in english.VERBS["correctness"] for verb in verbs) * 2 == len(verbs) for verbs in sets)
    assert sets != english.split(seed + 1, (4, 8, 8))


def test_only_the_verb_tells_the_domain_of_a_prompt() -> None:
    draft = english.item(random.Random(3), "one", "draft", "preference")
    compute = english.item(random.Random(3), "one", "compute", "correctness")
    one, other = (JUDGE.prompt(item.comparison)[-1]["content"] for item in (draft, compute))
    assert one.replace("Draft", "VERB") == other.replace("Compute", "VERB")


def test_recipes_name_the_judge() -> None:
    assert judge_choice("fathom.lab.english:ShortJudge")().build() == JUDGE
    with pytest.raises(FathomError):
        judge_choice("fathom.lab.english:NoJudge")
