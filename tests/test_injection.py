"""No text that others wrote changes the structure of a prompt, ends a turn, or is read as a verdict.

Judges, their settings and templates are found as they lie in the package: a new one is covered by being there.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cache
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import meta, nodes

import fathom.judges
from fathom import prompts
from fathom.data.reading import read
from fathom.data.records import Comparison, Message
from fathom.engines import ChatMessage
from fathom.engines.control import KNOWN, defuse, pattern
from fathom.errors import FathomError
from fathom.judges import Judge
from fathom.rationale import Rationale, Status, Unit, parse, render

ROOT = Path(__file__).parent


def corpus() -> list[str]:
    themes = yaml.safe_load((ROOT / "injections.yaml").read_text(encoding="utf-8"))
    texts = [text for theme in themes.values() for text in theme]
    return [text if isinstance(text, str) else text["text"] * text["times"] for text in texts]


CORPUS = corpus()
HOSTILE = st.lists(st.sampled_from([text for text in CORPUS if len(text) < 500]) | st.text(), max_size=4).map("".join)
"""Texts of the corpus and of no sense, run together."""


class Section(NamedTuple):
    text: str
    fenced: bool


def sections(prompt: str) -> list[Section]:
    """A prompt as CommonMark cuts it: a fence is closed by a line of as many backticks, or more, and nothing else."""
    found, lines, fence = [], list[str](), ""
    for line in prompt.split("\n"):
        run = re.fullmatch("(`{3,})", line)
        if run and (not fence or len(line) >= len(fence)):
            found.append(Section("\n".join(lines), bool(fence)))
            lines, fence = [], "" if fence else line
        else:
            lines.append(line)
    assert not fence, "a fence was left open"
    return [*found, Section("\n".join(lines), fenced=False)]


def assert_only_filled(skeleton: str, prompt: str, values: dict[str, str]) -> None:
    """`prompt` is `skeleton` with values for its slots, each inside of a fence of its own, and nothing else."""
    pairs = list(zip(sections(skeleton), sections(prompt), strict=True))
    slot = re.compile("|".join(values))
    for empty, full in pairs:
        assert full.fenced == empty.fenced
        assert full.fenced or not slot.search(empty.text), "text of others stands outside of a fence"
        filled = slot.sub(lambda name: values[name[0]], empty.text)
        assert full.text == (defuse(filled) if full.fenced else filled)


# Judges --------------------------------------------------------------------------------------------------------------


def variants() -> Iterator[Any]:
    """Every judge in every combination of its switches: settings that are one of some words, or true or false."""
    for name in modules_of_judges():
        judge = getattr(importlib.import_module(f"fathom.judges.{name}"), "JUDGE", None)
        if judge is not None:
            yield from (pytest.param(made, id=f"{name} {switches}") for switches, made in _made(judge))


def modules_of_judges() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(fathom.judges.__path__)]


def _made(judge: type[Judge]) -> Iterator[tuple[str, Judge]]:
    hints = get_type_hints(judge)
    choices = {field.name: _choices(hints[field.name]) for field in fields(judge)}
    switches = {name: values for name, values in choices.items() if values}
    for chosen in product(*switches.values()):
        settings = dict(zip(switches, chosen, strict=True))
        try:
            yield " ".join(f"{name}={value}" for name, value in settings.items()), judge(**settings)
        except (ValueError, FathomError):
            continue  # settings that the judge refuses together


def _choices(hint: Any) -> tuple[Any, ...]:
    if hint is bool:
        return (False, True)
    return get_args(hint) if get_origin(hint) is Literal else ()


JUDGES = list(variants())
judges = pytest.mark.parametrize("judge", JUDGES)


MAX_PARTS = 5
"""Instruction, reference and three responses."""


COUNTS = {"pointwise": (1,), "pairwise": (2,), "listwise": (1, 3)}
"""How many responses a judge of each arity is shown here."""


def filled(texts: Sequence[str], n: int, *, reference: bool = True) -> tuple[Comparison, dict[str, str]]:
    """A comparison of n responses whose parts are `texts`, going round, and the part that stands for each slot."""
    first, expected, *responses = islice(cycle(texts), n + 2)
    instruction = first or "-"
    comparison = Comparison(
        id="1", prompt=instruction, responses=tuple(responses), reference=expected if reference else None
    )
    return comparison, dict(zip(slots(n), [instruction, expected, *responses], strict=True))


def slots(n: int) -> list[str]:
    return ["QinstructionQ", "QreferenceQ", *(f"Qresponse{k}Q" for k in range(n))]


UNSHOWN = {"S2JJudge", "LibraJudge", "SelfPRMJudge", "YesNoJudge"}
"""Judges that are to find out by themselves what is right, so that they may not see the reference answer."""


@cache
def skeleton(judge: Judge, n: int, *, reference: bool) -> list[ChatMessage] | None:
    """What it asks with slots for parts; None where it refuses a comparison without a reference."""
    try:
        return judge.ask(filled(slots(n), n, reference=reference)[0])
    except FathomError:
        assert not reference, "only a comparison without a reference may be refused"
        return None


def assert_keeps_its_structure(judge: Judge, texts: Sequence[str]) -> None:
    for n, reference in product(COUNTS[judge.arity], (False, True)):
        expected = skeleton(judge, n, reference=reference)
        if expected is None:
            continue
        comparison, values = filled(texts, n, reference=reference)
        asked = judge.ask(comparison)
        assert [message["role"] for message in asked] == [message["role"] for message in expected]
        for message, empty in zip(asked, expected, strict=True):
            assert_only_filled(empty["content"], message["content"], values)
        shown = "".join(message["content"] for message in expected)
        assert all(name in shown for name in values.keys() - {"QreferenceQ"}), "the prompt leaves a part out"
        assert ("QreferenceQ" in shown) == (reference and type(judge).__name__ not in UNSHOWN)


def test_every_judge_is_tested_here() -> None:
    tested = {str(param.id).split(" ")[0] for param in JUDGES}
    assert tested == {name for name in modules_of_judges() if not name.startswith("_")}


@judges
def test_prompts_parse_back_into_what_was_put_in_whatever_that_is(judge: Judge) -> None:
    assert len(CORPUS) >= 150
    for place in range(len(CORPUS)):
        # Every text comes to stand in every part, beside others.
        assert_keeps_its_structure(judge, (CORPUS[place:] + CORPUS)[:MAX_PARTS])


@settings(max_examples=25)
@given(st.data())
def test_prompts_parse_back_into_any_text(data: st.DataObject) -> None:
    judge = data.draw(st.sampled_from([param.values[0] for param in JUDGES]))
    assert_keeps_its_structure(judge, data.draw(st.lists(HOSTILE, min_size=1, max_size=4)))


@judges
def test_a_conversation_is_fenced_as_a_whole(judge: Judge) -> None:
    fine, _ = filled(["fine"], COUNTS[judge.arity][-1])
    for text in CORPUS:
        talk = (Message(role="user", content=text), Message(role="assistant", content=text))
        assert unfenced(judge, fine.model_copy(update={"prompt": talk})) == unfenced(judge, fine)


def unfenced(judge: Judge, comparison: Comparison) -> list[str]:
    return [part.text for asked in judge.ask(comparison) for part in sections(asked["content"]) if not part.fenced]


@judges
def test_a_vote_is_read_from_the_completion_and_never_from_what_was_judged(judge: Judge) -> None:
    completions = (
        "\\boxed{1, 2, 3}",
        "\\boxed{7}",
        "Final verdict: [[A]]",
        "[[B]]",
        "Score: 3",
        "I cannot say.",
        "",
        '{"verdict": "A"}',
        "YES",
    )
    n = COUNTS[judge.arity][-1]
    harmless, _ = filled(["harmless"], n)
    expected = [judge.read(completion, harmless) for completion in completions]
    for text in CORPUS:
        comparison, _ = filled([text], n)
        assert [judge.read(completion, comparison) for completion in completions] == expected


# Templates -----------------------------------------------------------------------------------------------------------

OWN = {"style", "index"}
"""Names of values in templates that Fathom itself makes, so that they need no fence."""


@cache
def templates() -> list[str]:
    return prompts._environment().list_templates()


def tree(template: str) -> nodes.Template:
    environment = prompts._environment()
    assert environment.loader is not None
    return environment.parse(environment.loader.get_source(environment, template)[0])


FOR_MASKED_MODELS = {"slot/cloze.jinja", "slot/cloze_pair.jinja"}
"""Texts with a gap, for encoders, which were trained on texts without fences and follow no instructions."""


@pytest.mark.parametrize("template", sorted({*templates()} - FOR_MASKED_MODELS))
def test_templates_write_values_through_the_fence_alone(template: str) -> None:
    written = [node for output in tree(template).find_all(nodes.Output) for node in output.nodes]
    assert [node for node in written if not isinstance(node, nodes.TemplateData) and not _is_safe(node)] == []


def _is_safe(node: nodes.Expr) -> bool:
    match node:
        case nodes.Filter(name="fenced"):
            return True
        case nodes.Name(name=name):
            return name in OWN
        case (
            nodes.Getattr(node=nodes.Name(name="loop"), attr="index" | "index0")
            | nodes.Const()
            | nodes.Filter(name="length")
        ):
            return True
        case nodes.CondExpr(expr1=one, expr2=other):
            return _is_safe(one) and (other is None or _is_safe(other))
        case nodes.Add(right=nodes.Const(value=int())):
            return True  # a number: no text can be added to one
        case nodes.Filter(node=nodes.Const(value="%.3g"), name="format"):
            return True  # nor written as one
        case nodes.Concat(nodes=parts):
            return all(map(_is_safe, parts))
    return False


class Slot(str):
    """A text that is a unit as well."""

    @property
    def principle(self) -> Slot:
        return self

    @property
    def definition(self) -> str:
        return ""


def needed(template: str) -> set[str]:
    """The values that a template, and those that it extends or includes, are given."""
    parsed = tree(template)
    others = (name for name in meta.find_referenced_templates(parsed) if name)
    return set(meta.find_undeclared_variables(parsed)).union(*map(needed, others)) - {"solution"}


def fences(template: str) -> bool:
    return any(filtered.name == "fenced" for filtered in tree(template).find_all(nodes.Filter))


@pytest.mark.parametrize("template", [name for name in templates() if name.startswith("synth/") and fences(name)])
def test_the_prompts_of_synthesis_parse_back_into_what_was_put_in(template: str) -> None:
    names = sorted(needed(template) | {"solution"})
    marks = {name: f"Q{name}Q" for name in names}
    skeleton = synthesised(template, marks)
    for text in CORPUS:
        prompt = synthesised(template, dict.fromkeys(names, text))
        assert_only_filled(skeleton, prompt, dict.fromkeys(marks.values(), text))


def synthesised(template: str, values: dict[str, str]) -> str:
    """The template filled with these texts, with two of each where it takes several."""
    filled = {name: [Slot(text)] * 2 if name in {"units", "responses"} else text for name, text in values.items()}
    return prompts.render(template.removesuffix(".jinja"), **filled)


# Control tokens ------------------------------------------------------------------------------------------------------

ORDINARY = [
    "if a <b and c> d: return a | b",
    "xs |> List.map f <| ys",
    "p <|> q",
    "<b>bold</b>, <br/>, <strike>, <section>",
    "std::vector<std::string>",
    "[link](https://example.org) [INSTALL] [/install]",
    "|a|b|\n|---|---|",
    "x[i] || y[j]",
    "I think > you think < they think",
    "",
]


@given(st.text() | st.sampled_from(ORDINARY))
def test_text_without_control_tokens_is_fenced_as_it_is(text: str) -> None:
    if not KNOWN.search(text):
        assert prompts.fenced(text).split("\n", 1)[1].rsplit("\n", 1)[0] == text


@pytest.mark.parametrize("text", ORDINARY)
def test_what_people_write_is_no_control_token(text: str) -> None:
    assert defuse(text) == text


@given(HOSTILE)
def test_what_is_broken_holds_no_control_token_and_says_what_it_said(text: str) -> None:
    once = defuse(text)
    assert not KNOWN.search(once)
    assert defuse(once) == once
    assert once.replace(" ", "") == text.replace(" ", "")


def test_tokens_that_hold_each_other_are_all_broken() -> None:
    tokens = pattern(["<s>", "< s>", "<|a|>", "<|a|>b", "x"])
    assert not tokens.search(defuse("<s> <|a|>b <<s>s> < s>", tokens))
    assert defuse("nothing", pattern([])) == "nothing"


def test_ordinary_responses_are_shown_as_they_are() -> None:
    data = os.environ.get("FATHOM_DATA")
    if data is None:
        pytest.skip("set FATHOM_DATA to the folder that holds the evaluation data")
    texts = [text for pair in read(Path(data) / "judgebench/pairs_gpt.jsonl.gz") for text in pair.responses]
    assert [text for text in texts if defuse(text) != text] == []


# Real tokenizers and templates ---------------------------------------------------------------------------------------


def turns(start: str, end: str, answer: str, begin: str = "") -> str:
    """A chat template: `start` and `end` around each turn, `answer` before the model's; `ROLE` stands for the role."""
    first, head, tail, last = map(json.dumps, (begin, start, end, answer))
    turn = f"""{head.replace("ROLE", '" ~ m["role"] ~ "')} ~ (m["content"] | trim) ~ {tail}"""
    return f"{{{{ {first} }}}}{{% for m in messages %}}{{{{ {turn} }}}}{{% endfor %}}{{{{ {last} }}}}"


FAMILIES = {
    "Llama 2": (["<s>", "</s>", "<unk>"], turns("[INST] ", " [/INST]", "", "<s>")),
    "Llama 3": (
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|python_tag|>"],
        turns(
            "<|start_header_id|>ROLE<|end_header_id|>\n\n",
            "<|eot_id|>",
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "<|begin_of_text|>",
        ),
    ),
    "ChatML, Qwen": (
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"],
        turns("<|im_start|>ROLE\n", "<|im_end|>\n", "<|im_start|>assistant\n"),
    ),
    "Gemma": (
        ["<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>"],
        turns("<start_of_turn>ROLE\n", "<end_of_turn>\n", "<start_of_turn>model\n", "<bos>"),
    ),
    "Mistral": (
        ["<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"],
        turns("[INST]", "[/INST]", "", "<s>"),
    ),
    "Phi": (
        ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<|im_sep|>"],
        turns("<|ROLE|>\n", "<|end|>\n", "<|assistant|>\n"),
    ),
    "DeepSeek": (
        ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>"],
        turns("<｜User｜>", "", "<｜Assistant｜>", "<｜begin▁of▁sentence｜>"),
    ),
    "GPT-OSS, harmony": (
        ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>"],
        turns("<|start|>ROLE<|message|>", "<|end|>", "<|start|>assistant"),
    ),
    "Zephyr": (["<s>", "</s>", "<unk>"], turns("<|ROLE|>\n", "</s>\n", "<|assistant|>\n")),
    "Command-R": (
        [
            "<BOS_TOKEN>",
            "<|START_OF_TURN_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
            "<|USER_TOKEN|>",
            "<|CHATBOT_TOKEN|>",
            "<|SYSTEM_TOKEN|>",
        ],
        turns(
            "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
            "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
            "<BOS_TOKEN>",
        ),
    ),
}
families = pytest.mark.parametrize("family", FAMILIES)


@cache
def tokenizer(family: str) -> Any:
    """Byte by byte, with the family's own control tokens and a mark that is not called special."""
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special, template = FAMILIES[family]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in special])
    made.add_tokens([AddedToken("<tool_call>"), AddedToken("  "), AddedToken("<h1>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=special[-1],
        chat_template=template + "{# <tool_call> and <h1 #}",
        clean_up_tokenization_spaces=False,
    )


def controls(family: str, tokens: list[int]) -> list[int]:
    ids = {tokenizer(family).convert_tokens_to_ids(token) for token in [*FAMILIES[family][0], "<tool_call>"]}
    return [token for token in tokens if token in ids]


@families
def test_control_tokens_of_a_prompt_are_those_of_its_template_whatever_its_content(family: str) -> None:
    from fathom.engines.chat import encode_chat

    def encoded(content: str) -> list[int]:
        return encode_chat(tokenizer(family), [{"role": "user", "content": content}])

    expected = controls(family, encoded("harmless"))
    assert expected, "the template's own control tokens are control tokens"
    own = [*FAMILIES[family][0], "<tool_call>"]
    for text in [*own, "".join(own), *(text[:3000] for text in CORPUS)]:
        assert controls(family, encoded(text)) == expected, text
        assert controls(family, encoded(prompts.fenced(text))) == expected, text


@families
def test_content_without_control_tokens_is_encoded_as_the_tokenizer_does(family: str) -> None:
    from fathom.engines.chat import encode_chat

    for text in (*ORDINARY, "two  spaces and a <h1>heading</h1>"):
        chat = [{"role": "user", "content": text}]
        expected = tokenizer(family).apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        assert encode_chat(tokenizer(family), chat) == expected  # type: ignore[arg-type]


@families
def test_a_server_that_gets_text_finds_no_control_token_in_what_is_fenced(family: str) -> None:
    marks = pattern([*FAMILIES[family][0], "[INST]", "[/INST]", "<|user|>", "<|assistant|>", "<|system|>"])
    assert [text for text in CORPUS if marks.search(prompts.fenced(text))] == []


def test_training_is_given_prompts_without_the_models_control_tokens() -> None:
    from fathom.train.rlvr import fitting

    rows = [{"prompt": [{"role": "user", "content": "a <|python_tag|> b"}], "label": 0}]
    for most in (None, 1000):
        (row,), left_out = fitting(tokenizer("Llama 3"), rows, most)
        assert row == {"prompt": [{"role": "user", "content": "a < |python_tag|> b"}], "label": 0}
        assert left_out == 0


# Verdicts ------------------------------------------------------------------------------------------------------------


def test_a_judge_that_quotes_a_response_and_decides_nothing_has_no_verdict() -> None:
    for text in CORPUS:
        quotation = (
            f"Response B reads, word for word:\n\n{prompts.fenced(text)}\n\nThat is all that I can say about it."
        )
        assert parse(quotation).status is not Status.OK, text


@pytest.mark.parametrize("verdict", ["A", "B"])
def test_a_judge_that_quotes_a_response_and_then_decides_is_read_by_its_own_verdict(verdict: Any) -> None:
    for text in CORPUS:
        own = render(Rationale((Unit("Accuracy", "Right or wrong.", "It quotes a verdict.", verdict),), "", verdict))
        quotation = f"Response B reads, word for word:\n\n{prompts.fenced(text)}\n\n{own}"
        assert parse(quotation).rationale.verdict in (verdict, None), text
