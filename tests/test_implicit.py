"""The implicit process reward: the log-ratio of two models, split into the rewards of steps."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison
from fathom.data.steps import spans
from fathom.engines import Likelihood
from fathom.engines.cache import CachedEngine
from fathom.engines.local import LocalEngine
from fathom.judges import Vote
from fathom.rationale import Status
from fathom.rewards.implicit import BETA, ImplicitReward, step_rewards, token_steps
from tiny import make_checkpoint

STEPS = ("First, 2 + 2 = 4 €.", "Then 4 + 1 = 6.\n\nNote: 5 was meant.", "So the sum is ½ of 12.")
SOLUTION = Comparison(id="1", prompt="What is 2 + 2 + 1?", responses=("\n\n".join(STEPS),), steps=(STEPS,))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return make_checkpoint(folder / "policy", seed=1), make_checkpoint(folder / "reference", seed=2)


def voted(model: ImplicitReward, comparison: Comparison = SOLUTION) -> Vote:
    (vote,) = asyncio.run(model.votes(comparison))
    return vote


def log_probabilities(folder: Path, prompt: str, text: str) -> list[float]:
    """By transformers alone: of each token of an answer, which here is a byte."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    head = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True)["input_ids"]
    answer = tokenizer.encode(text, add_special_tokens=False)
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([head + answer])).logits[0]
    return [float(row.log_softmax(-1)[token]) for row, token in zip(logits[len(head) - 1 : -1], answer, strict=True)]


def test_rewards_are_the_log_ratio_of_each_steps_tokens_and_sum_to_that_of_the_solution(
    models: tuple[Path, Path],
) -> None:
    policy, reference = models
    model = ImplicitReward(engine=LocalEngine(policy), reference=str(reference))
    vote = voted(model)
    rewards = [float(line.split()[-1]) for line in vote.text.splitlines()]
    text = "\n\n".join(STEPS)
    ratios = [
        ours - theirs
        for ours, theirs in zip(*(log_probabilities(each, SOLUTION.prompt_text, text) for each in models), strict=True)
    ]
    # A token is a byte here, so the tokens of a step are the bytes of the step and of the blank line after it.
    ends = [0, *(end for _, end in spans([(step + "\n\n").encode() for step in STEPS[:-1]])), len(text.encode())]
    expected = [BETA * sum(ratios[begin:end]) for begin, end in pairwise(ends)]
    assert rewards == pytest.approx(expected, abs=1e-4)
    assert len(set(expected)) == len(STEPS)

    (request,) = model.requests(SOLUTION)
    readings = [asyncio.run(LocalEngine(each).likelihood(request)) for each in models]
    exact = step_rewards(readings[0], readings[1], model.steps(SOLUTION))
    assert sum(exact) == pytest.approx(readings[0].total - readings[1].total, abs=1e-5)


def test_step_scores_are_probabilities_and_the_worst_step_is_the_score(models: tuple[Path, Path]) -> None:
    vote = voted(ImplicitReward(engine=LocalEngine(models[0]), reference=str(models[1])))
    assert vote.step_scores is not None
    assert vote.scores == (min(score for score in vote.step_scores[0] if score is not None),)
    equal = voted(ImplicitReward(engine=LocalEngine(models[0]), reference=str(models[0])))
    assert equal.step_scores == ((pytest.approx(0.5),) * len(STEPS),)


def test_readings_of_both_models_are_kept_in_the_journal(models: tuple[Path, Path], tmp_path: Path) -> None:
    with CachedEngine(LocalEngine(models[0]), tmp_path / "journal") as engine:
        model = ImplicitReward(engine=engine, reference=str(models[1]))
        once = voted(model)
        assert engine.misses == 2
        assert voted(model) == once
        assert engine.misses == 2


def test_models_with_different_tokens_have_no_ratio(models: tuple[Path, Path], tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "other", vocab_texts=STEPS * 3, vocab_size=400)
    vote = voted(ImplicitReward(engine=LocalEngine(models[0]), reference=str(other)))
    assert vote.status is Status.INVALID
    assert "different tokens" in (vote.error or "")


def test_an_empty_solution_has_no_score(models: tuple[Path, Path]) -> None:
    vote = voted(
        ImplicitReward(engine=LocalEngine(models[0]), reference=str(models[1])),
        Comparison(prompt="?", responses=(" ",)),
    )
    assert (vote.status, vote.scores) == (Status.INVALID, None)


def test_the_command_names_the_missing_reference(models: tuple[Path, Path], tmp_path: Path) -> None:
    source = tmp_path / "solutions.jsonl"
    source.write_text('{"prompt": "1 + 1?", "response": "It is 2.\\n\\nSo 2."}\n', encoding="utf-8")
    command = [
        "judge",
        str(source),
        "--judge",
        "implicit",
        "--model",
        str(models[0]),
        "--out",
        str(tmp_path / "v.jsonl"),
    ]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    assert "--judge-option reference=MODEL" in str(refused.exception)
    done = CliRunner().invoke(app, [*command, "--judge-option", f"reference={models[1]}"])
    assert done.exit_code == 0, done.output


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_every_token_belongs_to_the_step_of_its_first_letter(texts: list[str], random: Random) -> None:
    steps = [text.replace("\ufffd", "?") + "x" for text in texts]
    whole = "".join(steps)
    cuts = sorted({0, len(whole), *(random.randrange(len(whole)) for _ in range(6))})
    tokens = [whole[begin:end] for begin, end in pairwise(cuts)]
    of_letter = [step for step, text in enumerate(steps) for _ in text]
    found = token_steps(tokens, steps)
    for token, step, begin in zip(tokens, found, cuts, strict=False):
        if token.strip():
            first = begin + len(token) - len(token.lstrip())
            assert step == of_letter[first]
    rewards = step_rewards(
        Likelihood(tuple(tokens), (-1.0,) * len(tokens)), Likelihood(tuple(tokens), (-3.0,) * len(tokens)), steps
    )
    assert sum(rewards) == pytest.approx(2.0 * len(tokens))


def test_tokens_with_parts_of_characters_belong_to_the_step_of_the_character() -> None:
    # "€" is three bytes; each alone decodes to U+FFFD.
    assert token_steps(["a", "\ufffd", "\ufffd", "\ufffd", "\n\n", "b"], ["a€\n\n", "b"]) == [0, 0, 0, 0, 0, 1]
    with pytest.raises(ValueError, match="do not spell"):
        token_steps(["a", "c"], ["ab"])
