"""Rendering of steps: the tokens are those of a family's own code, and every step has a recorded position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import prm
from fathom.engines.step_heads import StepHead
from fathom.engines.steps import Rendered, candidate_tokens, render, render_next, separator_tokens
from fathom.errors import FathomError
from fathom.judging import make_judge_for_checkpoint
from fathom.process.conventions import FILE, families, find, of_head
from fathom.rewards.process import ProcessRewardModel
from prm import GAP, PROBLEM, STEPS, TAG


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Any]:
    chat = prm.byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>"], prm.CHATML)
    special = ["<|end_of_text|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    llama = prm.byte_level(special, prm.LLAMA3, "<|begin_of_text|>")
    return {"math_shepherd": prm.sentence_piece(), "rlhflow": llama} | dict.fromkeys(
        families().keys() - {"math_shepherd", "rlhflow"}, chat
    )


def rendered(tokenizers: dict[str, Any], family: str, problem: str, steps: Sequence[str]) -> Rendered:
    return render(tokenizers[family], problem, steps, find(family).convention)


def chat(tokenizer: Any, *turns: tuple[str, str]) -> list[int]:
    messages = [{"role": role, "content": content} for role, content in turns]
    return list(tokenizer.apply_chat_template(messages, return_dict=False))


SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
OWN: dict[str, Callable[[Any], list[int]]] = {
    "math_shepherd": lambda own: [
        own.bos_token_id, *own.encode(f"{PROBLEM} " + "\n".join(f"{step} {TAG}" for step in STEPS))
    ],
    "openr": lambda own: own.encode(f"{PROBLEM} " + " ".join(f"{step} {GAP}" for step in STEPS)),
    "qwen_math": lambda own: chat(
        own, ("system", SYSTEM), ("user", PROBLEM), ("assistant", "".join(f"{step}<extra_0>" for step in STEPS))
    ),
    "reasonflux": lambda own: chat(
        own, ("user", PROBLEM), ("assistant", "".join(f"{step}<extra_0>" for step in STEPS))
    ),
    "rlhflow": lambda own: chat(
        own,
        *(
            turn
            for place, step in enumerate(STEPS)
            for turn in (("user", step if place else f"{PROBLEM} {step}"), ("assistant", "+"))
        ),
    ),
    "skywork": lambda own: own.encode(f"{PROBLEM}\n") + [
        token for step in STEPS for token in (*own.encode(step), own.encode("\n")[-1])
    ],
    "token_classes": lambda own: own.encode(PROBLEM) + [
        token for step in STEPS for token in (*own.encode(step), *own.encode("\n"))
    ],
}  # fmt: skip


@pytest.mark.parametrize("family", OWN)
def test_the_tokens_are_those_of_the_familys_own_code_up_to_the_last_separator(
    family: str, tokenizers: dict[str, Any]
) -> None:
    found = rendered(tokenizers, family, PROBLEM, STEPS)
    assert len(found.tokens) > 30
    assert list(found.tokens) == OWN[family](tokenizers[family])[: len(found.tokens)]


TEXTS = st.text(max_size=20) | st.sampled_from(
    [TAG, f"a {TAG} b", GAP, "<extra_0>", "<|im_end|>", "<|eot_id|>", "</s>", "+", "x\n\ny", "", "  ", "\n"]
)


@pytest.mark.parametrize("family", families())
def test_every_step_has_one_position_whatever_the_texts_contain(family: str, tokenizers: dict[str, Any]) -> None:
    convention, tokenizer = find(family).convention, tokenizers[family]
    separator = separator_tokens(tokenizer, convention)

    @given(TEXTS, st.lists(TEXTS, min_size=1, max_size=6))
    @settings(max_examples=60, deadline=None)
    def check(problem: str, steps: list[str]) -> None:
        found = render(tokenizer, problem, steps, convention)
        assert len(found.positions) == len(steps)
        assert list(found.positions) == sorted(set(found.positions))
        for position in found.positions:
            end = position + 1 + (len(separator) if convention.read == "before" else 0)
            assert found.tokens[end - len(separator) : end] == separator
        assert found.seen(found.positions[-1] + 1) == len(steps)
        assert found.seen(found.positions[-1]) == len(steps) - 1

    check()


@pytest.mark.parametrize("family", families())
def test_the_tokens_of_a_prefix_are_a_prefix_of_the_tokens(family: str, tokenizers: dict[str, Any]) -> None:
    """So a step can be added to a cached prefix, and training on a part of a solution is training on its beginning."""
    whole = rendered(tokenizers, family, PROBLEM, STEPS)
    for count in range(1, len(STEPS)):
        part = rendered(tokenizers, family, PROBLEM, STEPS[:count])
        assert whole.tokens[: len(part.tokens)] == part.tokens
        assert whole.positions[:count] == part.positions


@pytest.mark.parametrize("family", families())
def test_the_tokens_of_steps_rendered_one_by_one_are_those_of_the_solution(
    family: str, tokenizers: dict[str, Any]
) -> None:
    convention, tokenizer = find(family).convention, tokenizers[family]

    @given(TEXTS, st.lists(TEXTS, min_size=1, max_size=4))
    @settings(max_examples=40, deadline=None)
    def check(problem: str, steps: list[str]) -> None:
        tokens: list[int] = []
        positions = []
        for place, step in enumerate(steps):
            new = render_next(tokenizer, problem, steps[:place], step, convention)
            positions.append(len(tokens) + new.positions[0])
            tokens += new.tokens
        assert render(tokenizer, problem, steps, convention) == Rendered(tuple(tokens), tuple(positions))

    check()


def test_a_step_cannot_add_a_separator_or_end_its_turn(tokenizers: dict[str, Any]) -> None:
    for family, token in (("qwen_math", "<extra_0>"), ("qwen_math", "<|im_end|>"), ("rlhflow", "<|eot_id|>")):
        tokenizer = tokenizers[family]
        control = tokenizer.convert_tokens_to_ids(token)
        plain, hostile = (rendered(tokenizers, family, PROBLEM, (f"4 {more}", "5")) for more in ("", token))
        assert hostile.tokens.count(control) == plain.tokens.count(control)


# The table ------------------------------------------------------------------------------------------------------------


def test_a_head_that_only_one_family_has_identifies_it() -> None:
    heads = get_args(StepHead)
    assert [of_head(head).name for head in heads] == ["token_classes", "qwen_math", "skywork"]
    assert sum(family.recognised_by in heads for family in families().values()) == len(heads)


@pytest.mark.parametrize(
    ("model", "family"), [(model, family.name) for family in families().values() for model in family.models]
)
def test_a_published_checkpoint_is_judged_by_the_convention_of_its_family(model: str, family: str) -> None:
    for name in (Path(model), Path("models") / Path(model).name):
        judge = make_judge_for_checkpoint(name)
        assert (type(judge).__name__, getattr(judge, "family", None)) == ("ProcessRewardModel", family)


def test_your_own_family_is_one_row(tmp_path: Path, tokenizers: dict[str, Any]) -> None:
    row = {"layout": "text", "apart": True, "joint": " | ", "separator": " #", "head": "vocabulary", "good": "Yes",
           "bad": "No", "reduction": "last", "threshold": 0.3}  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(row))
    family, tokenizer = find(str(tmp_path / "mine.yaml")), tokenizers["openr"]
    assert family.name == "mine"
    found = render(tokenizer, "p", ("a", "b"), family.convention)
    assert tokenizer.decode(found.tokens) == "p | a #b #"
    assert len(candidate_tokens(tokenizer, family.convention)) == 2
    model = ProcessRewardModel(family=str(tmp_path / "mine.yaml"))
    assert (model.rule.steps, model.threshold) == ("last", 0.3)


def test_a_solution_is_reduced_as_the_authors_of_the_family_do_unless_they_name_no_way() -> None:
    named = {"math_shepherd": "min", "rlhflow": "mean", "qwen_math": "prod"}
    assert {name: ProcessRewardModel(family=name).rule.steps for name in families()} == {
        name: named.get(name, "min") for name in families()
    }
    assert ProcessRewardModel(family="openr").threshold == 0.5
    assert ProcessRewardModel(family="openr", threshold=0.0).threshold == 0.0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("layout: text", "separator: Field required"),
        ("{layout: text, separator: x, head: classes, seperator: y}", "seperator: "),
        ("{layout: prose, separator: x, head: classes}", "layout: Input should be 'text', 'answer' or 'turns'"),
        ("{layout: text, separator: x, head: classes, reduction: sum}", "reduction: Input should be 'min', 'prod'"),
        ("{layout: text, separator: x, head: classes, threshold: 2}", "threshold: Input should be less than or equal"),
        ("[1]", "got list, expected the keys of one family"),
        ("{", "cannot be read as YAML"),
    ],
)
def test_a_row_that_is_no_convention_is_refused_with_its_key(row: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(row)
    with pytest.raises(FathomError, match=message):
        find(str(tmp_path / "mine.yaml"))


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(FathomError, match="no family of process reward models 'qwen_maths'; did you mean qwen_math"):
        find("qwen_maths")
    assert set(yaml.safe_load(FILE.read_text(encoding="utf-8"))) == families().keys()


def test_what_cannot_be_rendered_is_refused(tokenizers: dict[str, Any]) -> None:
    with pytest.raises(FathomError, match="there are no steps to score"):
        rendered(tokenizers, "qwen_math", PROBLEM, ())
    with pytest.raises(FathomError, match="no single token for the separator 'ки', it encodes it as 2"):
        rendered({"math_shepherd": tokenizers["openr"]}, "math_shepherd", PROBLEM, STEPS)
    with pytest.raises(FathomError, match="no single token for the answer 'perhaps'"):
        candidate_tokens(tokenizers["openr"], replace(find("openr").convention, good="perhaps"))
    base = prm.byte_level(["<|endoftext|>", "<extra_0>"])
    with pytest.raises(FathomError, match="the tokenizer has no chat template; choose a family whose layout is text"):
        render(base, PROBLEM, STEPS, find("qwen_math").convention)
