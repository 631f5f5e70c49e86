"""`fathom compare-engines`: equal verdicts are told from different ones, and where two texts part and why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from fathom.cli import app
from fathom.engines import Completion, FinishReason, TokenLogprob
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judging.compare_engines import cause, diverge
from serving import Answer, Call, Reply, Server, chat, serving

A, B = "Final verdict: [[A]]", "Final verdict: [[B]]"


def compare(*arguments: object) -> Result:
    command = ["compare-engines", *map(str, arguments)]
    return CliRunner().invoke(app, command, catch_exceptions=False, terminal_width=200)


def compared(answer: Answer, pairs: Path, *arguments: object) -> tuple[Server, Result, list[dict[str, Any]]]:
    """The models `one` and `other` of a server that answers so, on the pairs as they stand."""
    out = pairs.with_name("differences.jsonl")

    async def run() -> tuple[Server, Result]:
        async with serving(answer) as server:
            told = [f"openai base_url={server.url} retries=0 model={model}" for model in ("one", "other")]
            engines = ["--engine", told[0], "--engine", told[1], "--no-swap", "--out", out, *arguments]
            return server, await asyncio.to_thread(compare, pairs, "--model", "any", *engines)

    server, result = asyncio.run(run())
    return server, result, [json.loads(line) for line in out.read_text().splitlines()]


def by_model(one: Reply, other: Reply) -> Answer:
    return lambda call: one if call.fields["model"] == "one" else other


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"id": str(n), "prompt": f"Task {n}", "response_a": "yes", "response_b": "no"} for n in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# Verdicts -------------------------------------------------------------------------------------------------------------


def test_an_engine_agrees_with_itself(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    from fathom.data.reading import write_jsonl
    from fathom.lab import world

    file, out = tmp_path / "pairs.jsonl", tmp_path / "differences.jsonl"
    write_jsonl(file, [item.comparison for item in world.items(4, seed=3)])
    engines = ["--engine", "local", "--engine", "local device=cpu max_batch=1", "--max-tokens", 150]
    result = compare(file, "--model", "mini", *engines, "--out", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert result.exit_code == 0
    assert [row["agree"] for row in rows] == [True] * 4
    assert [text["equal"] for row in rows for text in row["texts"]] == [True] * 8
    assert json.loads((tmp_path / "differences.jsonl.meta.json").read_text())["summary"]["verdicts_equal"] == 4


def test_other_words_with_the_same_verdict_agree(pairs: Path) -> None:
    _, result, rows = compared(by_model(chat(f"Well. {A}"), chat(f"Good. {A}")), pairs)
    assert result.exit_code == 0
    assert [row["agree"] for row in rows] == [True] * 3
    assert [row["texts"][0]["equal"] for row in rows] == [False] * 3


def test_other_verdicts_are_told_by_the_exit_code_and_in_the_row(pairs: Path) -> None:
    _, result, rows = compared(by_model(chat(A), chat(B)), pairs)
    assert result.exit_code == 1
    assert [verdict["winner"] for verdict in rows[0]["verdicts"]] == [0, 1]
    assert rows[0]["texts"][0]["divergence"]["before"] == "Final verdict: [["
    assert rows[0]["texts"][0]["divergence"]["after"] == ["A]]", "B]]"]
    assert "verdicts equal" in result.stderr
    assert "0 of 3" in result.stderr


@pytest.mark.parametrize("one", [chat(A), Reply(400)], ids=["one fails", "both fail"])
def test_a_call_that_failed_agrees_with_nothing(one: Reply, pairs: Path) -> None:
    _, result, rows = compared(by_model(one, Reply(400, b'{"error": "no such model"}')), pairs)
    assert result.exit_code == 1
    assert [row["agree"] for row in rows] == [False] * 3
    assert rows[0]["texts"][0]["cause"] == "failed"
    assert "no such model" in rows[0]["texts"][0]["errors"][1]


def test_what_is_in_the_journal_is_not_asked_again(pairs: Path) -> None:
    replies = by_model(chat(A), chat(A))

    async def twice() -> list[int]:
        async with serving(replies) as server:
            told = ["--engine", f"openai base_url={server.url} model=one", "--engine", f"openai base_url={server.url}"]
            arguments = (pairs, "--model", "other", *told, "--out", pairs.with_name("out.jsonl"))
            calls = []
            for _ in range(2):
                await asyncio.to_thread(compare, *arguments)
                calls.append(len(server.calls))
            return calls

    assert asyncio.run(twice()) == [12, 12]


@pytest.mark.parametrize(
    ("engines", "message"),
    [
        (["local"], "given 1 times; expected twice"),
        (["local", 'openai "model=x'], "expected NAME SETTING=VALUE"),
        (["local", "nowhere"], "there is no engine 'nowhere'"),
        (["local", "local colour=red"], "colour"),
    ],
)
def test_engines_that_cannot_be_opened_are_refused_in_words(engines: list[str], message: str, pairs: Path) -> None:
    arguments = [part for engine in engines for part in ("--engine", engine)]
    with pytest.raises(FathomError, match=message):
        compare(pairs, "--model", "mini", *arguments)


# Where texts part, and why --------------------------------------------------------------------------------------------


@given(st.text(), st.text(), st.text())
def test_both_texts_begin_with_what_stands_before_the_place_where_they_part(shared: str, one: str, other: str) -> None:
    texts = shared + "a" + one, shared + "b" + other
    found = diverge(*texts)
    assert found.character == len(shared)
    assert shared.endswith(found.before)
    for text, after in zip(texts, found.after, strict=True):
        assert text.startswith(shared + after)
    assert found.word <= len(shared.split())


def test_the_word_is_the_one_that_differs() -> None:
    assert diverge("one two three", "one two four").word == 2
    assert diverge("one twain", "one two").word == 1
    assert diverge("one two", "one two three").word == 2


def tokens(*told: tuple[str, float]) -> tuple[TokenLogprob, ...]:
    return tuple(TokenLogprob(token, logprob) for token, logprob in told)


def done(text: str, prompt: int = 7, finish_reason: FinishReason = "stop", reasoning: str = "") -> Completion:
    return Completion(text, finish_reason, Usage(prompt, 1), reasoning=reasoning)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (done("x", prompt=7), done("y", prompt=8), "prompt"),
        (done("x", prompt=0), done("y", prompt=8), "unknown"),
        (done("x"), done("y", reasoning="Hm"), "thinking"),
        (done("a b"), done(" a  b\n"), "whitespace"),
        (done("a", finish_reason="length"), done("a b"), "limit"),
        (done("a b"), done("a"), "end"),
        (done("a b"), done("a c"), "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_cause_follows_from_what_differs(one: Completion, other: Completion, expected: str) -> None:
    assert cause(one, other, diverge(one.text, other.text)) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # Both chose with probability exp(-0.69) = 0.50, after a token of the same probability.
        (tokens(("a", -0.1), (" b", -0.69)), tokens(("a", -0.1), (" c", -0.70)), "tie"),
        # 0.99 for either cannot be one distribution.
        (tokens(("a", -0.1), (" b", -0.01)), tokens(("a", -0.1), (" c", -0.01)), "model"),
        (tokens(("a", -0.1), (" b", -0.69)), tokens(("a", -0.1), (" c", -1.2)), "model"),
        # The token before has another probability already.
        (tokens(("a", -0.1), (" b", -0.69)), tokens(("a", -0.4), (" c", -0.69)), "model"),
        # Tokens that are not those of the text tell nothing.
        (tokens(("a", -0.1), (" x", -0.69)), tokens(("a", -0.1), (" c", -0.69)), "unknown"),
    ],
)
def test_a_tie_is_told_from_another_distribution(
    one: Sequence[TokenLogprob], other: Sequence[TokenLogprob], expected: str
) -> None:
    found = diverge("a b", "a c", (tuple(one), tuple(other)))
    assert cause(done("a b"), done("a c"), found) == expected


def test_a_token_that_is_not_the_most_probable_one_of_its_engine_was_sampled_by_other_rules() -> None:
    greedy = (TokenLogprob("b", -0.5, (("b", -0.5),)),)
    penalised = (TokenLogprob("c", -1.1, (("b", -0.5),)),)
    assert cause(done("b"), done("c"), diverge("b", "c", (greedy, penalised))) == "sampling"


def with_logprobs(text: str, told: Sequence[TokenLogprob]) -> Reply:
    body = json.loads(chat(text).body)
    body["choices"][0]["logprobs"] = {"content": [{"token": t.token, "logprob": t.logprob} for t in told]}
    return Reply(body=json.dumps(body).encode())


def test_a_text_that_differs_is_asked_for_its_log_probabilities(pairs: Path) -> None:
    replies = by_model(
        with_logprobs(A, tokens(("Final verdict: [[", -0.1), ("A", -0.7), ("]]", 0))),
        with_logprobs(B, tokens(("Final verdict: [[", -0.1), ("B", -0.69), ("]]", 0))),
    )
    _, result, rows = compared(replies, pairs)
    assert rows[0]["texts"][0]["cause"] == "tie"
    assert [token["logprob"] for token in rows[0]["texts"][0]["divergence"]["tokens"]] == [-0.7, -0.69]
    assert rows[0]["texts"][0]["divergence"]["drift"] == 0
    assert "'A' has log-probability -0.700" in result.stderr


def test_an_engine_that_gives_no_log_probabilities_is_asked_for_them_once(pairs: Path) -> None:
    def answer(call: Call) -> Reply:
        if "logprobs" in call.fields:
            return Reply(400, b'{"error": "logprobs is not supported"}')
        return chat(A if call.fields["model"] == "one" else B)

    server, _, rows = compared(answer, pairs)
    assert [row["texts"][0]["cause"] for row in rows] == ["unknown"] * 3
    assert sum("logprobs" in call.fields for call in server.calls) == 2
