"""Probabilities of verdicts: read from the token that carries the verdict, or not at all."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.records import Comparison
from fathom.engines import ChatMessage, Completion, Sampling, TokenLogprob
from fathom.engines.openai import OpenAIEngine
from fathom.engines.scripted import ScriptedEngine
from fathom.errors import FathomError
from fathom.judges import Judge, Rule, Vote, find
from fathom.judges._probabilities import verdict_probabilities
from fathom.judges.mix import MixJudge
from fathom.rationale import Status
from fathom.voting.wrappers import Repeated, Swapped, WithRule
from serving import Reply, chat, serving
from test_hostile import rows

PAIR = Comparison(id="1", prompt="Say hello.", responses=("Hello.", "Go away."))
TRUE = {"A": 0.6, "B": 0.3, "tie": 0.05}
FALSE = {"A": 0.01, "B": 0.98}
"""What stands beside every A and B that is not the verdict."""


def likely(token: str, letter: str, shares: dict[str, float] = TRUE) -> TokenLogprob:
    """A token with `letter` in it, and beside it the same token with the other choices in its place."""
    top = tuple((token.replace(letter, choice), math.log(share)) for choice, share in shares.items())
    return TokenLogprob(token, math.log(shares.get(letter, 0.5)), top)


def split(text: str, cuts: Sequence[int], verdict: int) -> list[TokenLogprob]:
    """The text in tokens; only the one that holds place `verdict` has the true shares."""
    edges = sorted({0, len(text), *(cut % len(text) for cut in cuts)})
    return [
        likely(text[start:end], text[verdict], TRUE if start <= verdict < end else FALSE)
        for start, end in pairwise(edges)
    ]


def probabilities(tokens: Sequence[TokenLogprob], text: str, judge: Judge | None = None, stops: Sequence[str] = ()):  # type: ignore[no-untyped-def]
    judge = judge or MixJudge()

    def read(text: str) -> Vote:
        return judge.read(text, PAIR)

    return verdict_probabilities(tokens, text, judge.choices, read(text), read, stops=stops)


# Any tokens: the same, or none ----------------------------------------------------------------------------------------

PROSE = st.lists(
    st.sampled_from(
        ["Response A is shorter. ", "B rambles. ", "A > B. ", "Plan A fails. ", "\n", "A", " B ", "[[B]]? "]
    ),
    max_size=8,
).map("".join)
ENDINGS = st.sampled_from(
    [
        "\n\nFinal verdict: [[{}]]", "\n[[{}]]", "\nFinal verdict: {}\n", "\n**Verdict**: {} because A and B differ",
        "\nFinal verdict: [[{0}]]\n\nSo my final verdict: [[{0}]]",
    ]
)  # fmt: skip
CUTS = st.lists(st.integers(0, 10_000), max_size=60)


@given(prose=PROSE, ending=ENDINGS, letter=st.sampled_from("AB"), cuts=CUTS)
def test_however_a_text_is_cut_into_tokens_the_answer_is_the_same_or_none(
    prose: str, ending: str, letter: str, cuts: list[int]
) -> None:
    text = prose + ending.format(letter)
    verdict = len(prose) + ending.index("{")
    assert probabilities(split(text, cuts, verdict), text) in (None, pytest.approx((0.6, 0.3)))


@given(prose=PROSE.filter(lambda prose: "[[" not in prose), letter=st.sampled_from("AB"), cuts=CUTS)
def test_the_probability_is_found_where_a_token_holds_the_letter_alone(
    prose: str, letter: str, cuts: list[int]
) -> None:
    text = f"{prose}\nFinal verdict: [[{letter}]]"
    verdict = len(text) - 3
    assert probabilities(split(text, [*cuts, verdict, verdict + 1], verdict), text) == pytest.approx((0.6, 0.3))


def test_in_the_hostile_corpus_the_token_found_spells_what_was_read() -> None:
    readings = [(text, MixJudge().read(text, PAIR, finished=True)) for text in (row["text"] for row in rows())]
    readable = [(text, vote) for text, vote in readings if vote.status is Status.OK and len(text) < 5000]
    found = 0
    for text, vote in readable:
        words = re.findall(r" ?\w+| ?[^\w\s]+|\s+", text)
        told = probabilities([TokenLogprob(word, -0.1, ((word, -0.1),)) for word in words], text)
        if told is not None:
            found += 1
            assert [mass > 0 for mass in told] == [vote.winner == 0, vote.winner == 1], text
    assert found > 0.9 * len(readable)


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param([" [[", "A", "]]"], id="alone"),
        pytest.param([" [[A", "]]"], id="with what opens"),
        pytest.param([" [[", "A]]"], id="with what closes"),
        pytest.param([" ", "[[", "A]]\n\n"], id="with line breaks"),
        pytest.param(["[[", "A", "]]"], id="without the space before it, as some tokenizers decode"),
        pytest.param([" [[", "A", "]]", "<|im_end|>"], id="before an end token"),
    ],
)
def test_tokenizers_differ(tokens: list[str]) -> None:
    told = [TokenLogprob("Final verdict:", -0.1), *(likely(token, "A") for token in tokens)]
    assert probabilities(told, "Final verdict: [[A]]") == pytest.approx((0.6, 0.3))


@pytest.mark.parametrize(
    ("before", "after", "stops"),
    [
        pytest.param(["<think>", "A", "? Or ", "B", "?", "</think>", "\n\n"], [], (), id="a thought before"),
        pytest.param([], ["\n", "User", ":"], ("\nUser:",), id="a stop string after"),
        pytest.param(["\ufffd", "\ufffd", " so"], [], (), id="halves of a character before"),
    ],
)
def test_tokens_may_say_more_than_the_text(before: list[str], after: list[str], stops: tuple[str, ...]) -> None:
    told = [likely(token, "A", FALSE) for token in before]
    told += [TokenLogprob(" [[", -0.1), likely("A", "A"), TokenLogprob("]]", -0.1)]
    told += [likely(token, "A", FALSE) for token in after]
    text = "😀 so [[A]]" if "\ufffd" in before[:1] else "[[A]]"
    assert probabilities(told, text, stops=stops) == pytest.approx((0.6, 0.3))


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        pytest.param([likely("Final verdict: [[A]]", "A")], "Final verdict: [[A]]", id="one token for all"),
        pytest.param([TokenLogprob(token, -0.1) for token in ("[[", "A", "]]")], "[[A]]", id="nothing beside it"),
        pytest.param([likely(token, "A") for token in ("[[", "A", "]]")], "So: [[A]]", id="other text than tokens"),
        pytest.param([likely(token, "A") for token in ("[[A]]", "[[A]]")], "[[A]]", id="two places that fit"),
        pytest.param([likely("A", "A")], "A is as good as B.", id="no verdict"),
        pytest.param([], "[[A]]", id="no tokens"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_for_certain_is_none(tokens: list[TokenLogprob], text: str) -> None:
    assert probabilities(tokens, text) is None


def test_the_token_drawn_counts_where_it_is_not_among_the_most_likely() -> None:
    drawn = TokenLogprob("B", math.log(0.01), (("A", math.log(0.7)), ("I", math.log(0.2))))
    told = [TokenLogprob("[[", -0.1), drawn, TokenLogprob("]]", -0.1)]
    assert probabilities(told, "[[B]]") == pytest.approx((0.7, 0.01))


def test_a_vote_for_a_tie_has_probabilities_of_the_responses_too() -> None:
    told = [TokenLogprob("[[", -0.1), likely("tie", "tie"), TokenLogprob("]]", -0.1)]
    assert probabilities(told, "[[tie]]") == pytest.approx((0.6, 0.3))


# Other judges' choices ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Lettered(Judge):
    """Answers with one of `choices`, and nothing else."""

    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        return [{"role": "user", "content": comparison.prompt_text}]

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        if text.strip() not in self.choices:
            return Vote(Status.MISSING, text=text)
        return Vote(Status.OK, winner=self.choices[text.strip()], order=(0, 1), text=text)


class LowerUpper(Lettered):
    choices = {"m": 0, "M": 1}  # noqa: RUF012


class Digits(Lettered):
    choices = {"1": 0, "2": 1, "10": None}  # noqa: RUF012


class YesNo(Lettered):
    choices = {"Yes": 0, "No": 1}  # noqa: RUF012


class Scores(Lettered):
    """The higher score wins: the letters are labels, and no token carries the verdict."""

    choices = {"A": 0, "B": 1}  # noqa: RUF012

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        told = dict(line.split(": ") for line in text.splitlines())
        if set(told) != {"A", "B"}:
            return Vote(Status.MISSING, text=text)
        scores = (float(told["A"]), float(told["B"]))
        return Vote(Status.OK, winner=scores.index(max(scores)), scores=scores, order=(0, 1), text=text)


def test_labels_of_scores_carry_no_verdict() -> None:
    tokens = [likely(token, token) for token in ("A", ": ", "8", "\n", "B", ": ", "6")]
    assert probabilities(tokens, "A: 8\nB: 6", Scores()) is None


def test_letters_that_differ_only_in_case_are_told_apart() -> None:
    """AlpacaEval's weighted preference, 1 + P(M) / (P(m) + P(M)), from the first token alone."""
    told = [likely("m", "m", {"m": 0.2, "M": 0.6, "x": 0.1}), TokenLogprob("<|im_end|>", 0.0)]
    m, upper = probabilities(told, "m", LowerUpper())
    assert (m, upper) == pytest.approx((0.2, 0.6))
    assert 1 + upper / (m + upper) == pytest.approx(1.75)


def test_choices_may_be_words() -> None:
    assert probabilities([likely(" Yes", "Yes", {"Yes": 0.5, "No": 0.4})], "Yes", YesNo()) == pytest.approx((0.5, 0.4))


def test_choices_that_begin_alike_have_no_probabilities() -> None:
    assert probabilities([likely("1", "1", {"1": 0.5, "2": 0.4})], "1", Digits()) is None


def test_a_file_that_is_no_judge_is_not_listed_as_one() -> None:
    with pytest.raises(FathomError, match=r"expected one of: [a-z]"):
        find("_probabilities")


# Through engines ------------------------------------------------------------------------------------------------------


def told_reply(tokens: Sequence[TokenLogprob]) -> Reply:
    body = json.loads(chat("".join(token.token for token in tokens)).body)
    content = [
        {
            "token": token.token,
            "logprob": token.logprob,
            "top_logprobs": [{"token": name, "logprob": logprob} for name, logprob in token.top],
        }
        for token in tokens
    ]
    body["choices"][0]["logprobs"] = {"content": content}
    return Reply(body=json.dumps(body).encode())


VERDICT = [TokenLogprob("Final verdict: [[", -0.1), likely("B", "B"), TokenLogprob("]]", -0.1)]


def test_votes_in_both_orders_add_up_to_the_mean_probability() -> None:
    async def judged():  # type: ignore[no-untyped-def]
        async with serving(lambda _: told_reply(VERDICT)) as server, OpenAIEngine("m", base_url=server.url) as engine:
            judge = MixJudge(engine=engine, sampling=Sampling(top_logprobs=5))
            return await WithRule(Swapped(judge), Rule("probability"))(PAIR)

    verdict = asyncio.run(judged())
    assert [vote.probabilities for vote in verdict.votes] == [pytest.approx((0.6, 0.3)), pytest.approx((0.3, 0.6))]
    assert (verdict.winner, verdict.scores) == (None, pytest.approx((0.45, 0.45)))


def test_votes_without_probabilities_are_invalid_where_these_are_counted_and_say_why() -> None:
    engine = ScriptedEngine(Completion("Final verdict: [[A]]", logprobs=(TokenLogprob("Final verdict: [[A]]", -0.1),)))
    judge = MixJudge(engine=engine, sampling=Sampling(top_logprobs=5))
    verdict, majority = asyncio.run(WithRule(judge, Rule("probability"))(PAIR)), asyncio.run(judge(PAIR))
    assert (verdict.status, verdict.winner) == (Status.INVALID, None)
    assert verdict.votes[0].error == "no probabilities: the engine returned no top log-probabilities"
    assert (majority.status, majority.winner) == (Status.OK, 0)


def test_a_sampled_verdict_is_as_frequent_as_its_probability_says(mini_judge: Judge) -> None:
    """The small model, its last layer turned down until it is unsure of what it saw."""
    from fathom.lab import world

    items = [item.comparison for item in world.items(60, seed=5)]
    votes = [vote for _, verdict in Repeated(mini_judge, 12).run(items) for vote in verdict.votes]
    told = [vote for vote in votes if vote.probabilities is not None]
    assert len(told) > 0.9 * sum(vote.status is Status.OK for vote in votes)
    # Of those that name A or B: each is a draw of its own, so squares of standard deviations add up.
    shares = [vote.probabilities[0] / sum(vote.probabilities) for vote in told if vote.winner is not None]
    variance = sum(share * (1 - share) for share in shares)
    surplus = sum(vote.winner == 0 for vote in told) - sum(shares)
    assert variance > 2, "else the test says nothing"
    assert abs(surplus) < 4 * math.sqrt(variance)


@pytest.fixture
def mini_judge() -> Judge:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    from fathom.engines.checkpoints import resolve
    from fathom.engines.local import LocalEngine
    from fathom.judging import make_judge_for_checkpoint

    engine = LocalEngine(resolve("mini"))
    engine.model.model.norm.weight.data *= 0.5
    sampling = Sampling(max_tokens=100, temperature=1.0, top_logprobs=5)
    return make_judge_for_checkpoint(Path(resolve("mini")), style="vanilla", engine=engine, sampling=sampling)


def test_fathom_judge_asks_for_what_the_rule_counts(mini_pairs: Path) -> None:
    result = CliRunner().invoke(
        app, ["judge", str(mini_pairs), "--model", "mini", "--no-swap", "--aggregate", "probability"]
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert rows
    for row in rows:
        [vote] = row["votes"]
        assert row["scores"] == vote["probabilities"]
        assert 0.99 < sum(row["scores"]) < 1.00001


@pytest.fixture
def mini_pairs(tmp_path: Path) -> Path:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    from fathom.lab import world

    lines = [
        json.dumps({"prompt": item.comparison.prompt_text, "responses": item.comparison.responses})
        for item in world.items(4, seed=5)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(lines))
    return path
