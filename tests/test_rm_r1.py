"""RM-R1 in the small world: its chains, its words, and the arithmetic of its claims."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

import fresh
from fathom.judges.rm_r1 import RMR1Judge
from fathom.lab import rm_r1, world
from fathom.lab.arms import Measured, Settings
from fathom.lab.experiments.results import Row
from fathom.lab.reproductions import rm_r1 as reproduction
from fathom.rationale import Status

ITEMS = world.items(40, seed=3)
TRUE = {  # accuracy on preference, on correctness
    ("answer", "sft"): (0.6, 0.5),
    ("answer", "rlvr"): (0.7, 0.5),
    ("chat", "sft"): (0.95, 0.6),
    ("chat", "rlvr"): (0.98, 0.7),
    ("reasoning", "sft"): (0.5, 0.95),
    ("reasoning", "rlvr"): (0.5, 0.98),
    ("typed", "sft"): (0.85, 0.9),
    ("typed", "rlvr"): (0.98, 0.98),
}


@pytest.mark.parametrize("arm", rm_r1.ARMS)
def test_every_chain_is_read_as_its_label(arm: rm_r1.Arm) -> None:
    for item in ITEMS:
        vote = RMR1Judge().read(rm_r1.chain(item, arm), item.comparison)
        assert (vote.status, vote.winner) == (Status.OK, item.winner)


def test_typed_chains_have_the_structure_of_their_task_unless_mistyped() -> None:
    structures = {
        (item.domain, mistyped): RMR1Judge().read(rm_r1.chain(item, "typed", mistyped), item.comparison).rationale
        for item in ITEMS
        for mistyped in (False, True)
    }
    assert {key: rationale.structure for key, rationale in structures.items() if rationale} == {
        ("preference", False): "breadth",
        ("preference", True): "depth",
        ("correctness", False): "depth",
        ("correctness", True): "breadth",
    }


def test_the_base_knows_every_word_of_prompts_and_chains(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(rm_r1.extended_base(0, tmp_path))
    for item in ITEMS:
        for text in (RMR1Judge(trained=True).ask(item.comparison)[0]["content"], rm_r1.chain(item, "typed")):
            ids = words.encode(text, add_special_tokens=False)
            assert words.unk_token_id not in ids
            assert words.decode(ids) == text


def test_new_words_begin_near_what_the_base_has_in_their_place(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = rm_r1.extended_base(0, tmp_path)
    words, rows = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder).lm_head.weight.detach(),
    )
    for phrase, known in rm_r1.phrases().items():
        new, old = (rows[words.convert_tokens_to_ids(word)] for word in (phrase, known))
        assert 0 < float((new - old).norm() / old.norm()) < 0.3


def test_examples_hold_the_verbs_of_sft_and_the_share_that_is_mistyped() -> None:
    rows = rm_r1.examples("typed", Settings(fine_tuning=600, mistagged=0.1), seed=0)
    verbs = {row["prompt"][0]["content"].split("```\n")[1].split(" ")[0] for row in rows}
    assert verbs == world.split(0).sft
    chat = [row["completion"][0]["content"].startswith("<type>Chat") for row in rows]
    fitting = [first == (place % 2 == 0) for place, first in enumerate(chat)]  # domains by turns, preference first
    assert sum(fitting) / len(fitting) == pytest.approx(0.9, abs=0.04)


Truth = Mapping[reproduction.Cell, tuple[float, float]]


def measurements(truth: Truth, items: int = 600) -> list[Row]:
    return fresh.rows(
        reproduction.measured({cell: _run(*truth[cell], items, seed) for cell in truth}) for seed in range(10)
    )


def _run(preference: float, correctness: float, items: int, seed: int) -> list[Measured]:
    rng = random.Random(f"{preference}/{correctness}/{seed}")
    run = []
    for k in range(items):
        domain = ("preference", "correctness")[k % 2]
        accurate = rng.random() < (preference if domain == "preference" else correctness)
        part = world.PARTS[k % 3]
        run.append(Measured(f"{seed}-{k}", domain, f"verb{k % 24}", part, True, accurate, True, "breadth", 7, 40, 5.0))  # type: ignore[arg-type]
    return run


def holding(truth: Truth) -> dict[str, bool]:
    return fresh.holding(reproduction.EXPERIMENT, measurements(truth))


def test_claims_that_are_true_hold() -> None:
    assert set(holding(TRUE).values()) == {True}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("claim", "cell", "values"),
    [
        ("routing_beats_chat", ("chat", "rlvr"), (0.98, 0.98)),
        ("routing_beats_reasoning", ("reasoning", "rlvr"), (0.98, 0.98)),
        ("routing_keeps_both", ("typed", "rlvr"), (0.98, 0.9)),
        ("reasoning_beats_answering", ("answer", "rlvr"), (0.98, 0.98)),
        ("rlvr_adds", ("typed", "sft"), (0.98, 0.98)),
    ],
)
def test_a_claim_that_is_false_does_not_hold(claim: str, cell: reproduction.Cell, values: tuple[float, float]) -> None:
    assert not holding({**TRUE, cell: values})[claim]  # type: ignore[dict-item]


def test_ceilings_are_those_of_what_a_chain_shows() -> None:
    found = {arm: [reproduction.ceiling(arm, domain) for domain in reproduction.DOMAINS] for arm in rm_r1.ARMS}
    assert found == {"answer": [1.0, 1.0], "chat": [1.0, 0.75], "reasoning": [0.5, 1.0], "typed": [1.0, 1.0]}


def test_results_make_a_page_and_a_figure(tmp_path: Path) -> None:
    page = fresh.page(reproduction.EXPERIMENT, measurements(TRUE), tmp_path)  # type: ignore[arg-type]
    assert "| `routing_beats_chat` | typed - chat, over all | +" in page
