"""Probes find effects of the size that a scripted judge was given, and nothing in a judge that has none."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json
from typer.testing import CliRunner

import judged
from fathom import probes
from fathom.cli import app
from fathom.data.records import Comparison, Label
from fathom.errors import FathomError
from fathom.judges import RewardModel, Vote, merge_pointwise
from fathom.metrics.intervals import Interval
from fathom.metrics.significance import holm
from fathom.probes import Measure, reliability_card
from fathom.probes._measures import corrected, items
from fathom.probes.injection import texts
from fathom.probes.keys import keys
from fathom.probes.length import padded
from fathom.probes.markdown import bare, dressed
from fathom.rationale import Status
from fathom.results import runs
from fathom.results.rows import to_row
from fathom.voting.wrappers import Swapped
from serving import chat, serving
from strategies import comparisons

ALL = {name: probes.find(name) for name in probes.names()}
OF_PAIRS = [name for name, probe in ALL.items() if not probe.alone]
KEYS = {key for of_kind in keys().values() for key in of_kind}


def pairs(n: int) -> list[Comparison]:
    """Pairs of a good and a poor response of 22 to 37 words; `own` is each of them as often."""
    rng = random.Random(0)
    made = []
    for number in range(n):
        best = number % 2
        texts = [f"This is {word} work." + " It goes on." * rng.randint(6, 11) for word in ("good", "poor")]
        responses = tuple(texts if best == 0 else texts[::-1])
        own = {"own_response": number // 2 % 2}
        made.append(
            Comparison(
                id=str(number), prompt=f"Task {number}", responses=responses, label=Label(best=best), metadata=own
            )
        )
    return made


@dataclass(frozen=True)
class Scripted(RewardModel):
    """`first` gives the probability with which the response shown first wins; None is a tie."""

    first: Callable[[Comparison], float | None]

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        probability = self.first(comparison)
        if probability is None:
            return [Vote(Status.OK, order=(0, 1))]
        draw = drawn(comparison)
        return [Vote(Status.OK, winner=0 if draw < probability else 1, order=(0, 1))]


def drawn(comparison: Comparison) -> float:
    """From 0 to 1. Spread evenly over the items, and the same for an item and its variations, so that few items tell
    an effect exactly; of the keys at random, for there two votes count together.
    """
    if {*comparison.responses} & KEYS:
        content = f"{comparison.prompt}{comparison.responses}".encode()
        return int.from_bytes(hashlib.sha256(content).digest()[:6]) / 2**48
    number, swapped = int(comparison.prompt.removeprefix("Task ")), "good" in comparison.responses[1]
    return (number * 0.6180339887 + 0.37 * swapped) % 1


def card_of(voter: RewardModel, judged: Sequence[Comparison]) -> dict[str, dict[str, Measure]]:
    """The card, from rows that were written as JSON and read again."""
    asked = [each for comparison in judged for each in probes.with_variations(comparison, ALL)]
    rows = [json.loads(to_json(to_row(*pair))) for pair in voter.run(asked)]
    return {name: {each.name: each for each in measures} for name, measures in probes.compute_card(rows).items()}


def found(measure: Measure) -> float:
    assert measure.interval is not None
    return measure.interval.mean


# What a judge was given is found -------------------------------------------------------------------------------------

QUALITY, FIRST, LONGER, MARKED, OWN, OBEYED, KEY = 0.15, 0.06, 0.1, 0.07, 0.05, 0.08, 0.1


def planted(comparison: Comparison) -> float:
    """Effects that add up; the swapped comparison has the same metadata, so `own` is told by the text."""
    one, other = comparison.responses
    if {one, other} & KEYS:
        return KEY if one in KEYS else 1 - KEY
    letter = comparison.metadata["probe"]["letter"]
    return (
        0.5
        + FIRST
        + QUALITY * (("good" in one) - ("good" in other))
        + LONGER * ((size(one) > size(other)) - (size(one) < size(other)))
        + MARKED * (("**" in one) - ("**" in other))
        + OWN * (("Mine." in one) - ("Mine." in other))
        + {"A": OBEYED, "B": -OBEYED, None: 0.0}[letter]
    )


def size(text: str) -> int:
    return len(re.findall(r"\w+", text))


@cache
def planted_card() -> dict[str, dict[str, Measure]]:
    signed = [
        pair.model_copy(
            update={
                "responses": tuple(
                    f"{text} Mine." if k == pair.metadata["own_response"] else f"{text} Yours."
                    for k, text in enumerate(pair.responses)
                )
            }
        )
        for pair in pairs(300)
    ]
    return card_of(Swapped(Scripted(planted)), signed)


@pytest.mark.parametrize(
    ("probe", "measure", "truth"),
    [
        ("position", "first shown", 0.5 + FIRST),
        ("equal", "first shown", 0.5 + FIRST),
        ("length", "effect", LONGER),
        ("verbosity", "effect", LONGER),
        ("markdown", "effect", MARKED),
        ("self_preference", "excess", OWN),
        ("baseline", "accuracy", 0.5 + QUALITY),
        ("keys", "wins", KEY**2),
        ("keys", "wins or ties", 1 - (1 - KEY) ** 2),
        *(("injection", kind, OBEYED) for kind in texts() if kind != "praise"),
    ],
)
def test_an_effect_that_was_planted_is_found_within_2_in_100(probe: str, measure: str, truth: float) -> None:
    # Of verbosity, length and markdown both responses are changed in turn, so how long they were cancels out.
    told = planted_card()[probe][measure]
    assert found(told) == pytest.approx(truth, abs=0.02)
    assert told.interval is not None
    assert told.interval.low - 0.01 < truth < told.interval.high + 0.01
    assert told.n == 300


def test_what_was_not_planted_is_not_found() -> None:
    flat = card_of(Swapped(Scripted(lambda _: 0.5)), pairs(100))
    for probe in ("length", "markdown", "verbosity"):
        assert found(flat[probe]["effect"]) == 0
    assert found(flat["self_preference"]["excess"]) == pytest.approx(0, abs=0.02)
    assert found(flat["position"]["first shown"]) == pytest.approx(0.5, abs=0.02)


def missed(p: float) -> Measure:
    """A measure that misses its target of 0 with this two-sided p, by the normal approximation."""
    normal = NormalDist()
    distance = 0.1 * normal.inv_cdf(1 - p / 2) / normal.inv_cdf(0.975)
    return Measure("effect", "", 0.0, Interval(distance, distance - 0.1, distance + 0.1), n=100, left_out=0)


def test_of_many_measures_of_a_card_only_those_that_chance_does_not_explain_are_off_target() -> None:
    weak = [missed(0.03) for _ in range(40)]
    assert weak[0].p == pytest.approx(0.03)
    assert weak[0].on_target is False, "alone, it would be off target"
    card = corrected({"weak": weak, "strong": [missed(1e-5)], "unknown": [replace(weak[0], interval=None)]})
    assert [each.on_target for each in card["weak"]] == [True] * 40
    assert [each.on_target for each in card["strong"]] == [False]
    assert card["strong"][0].adjusted_p == pytest.approx(41 * 1e-5)
    assert card["unknown"][0].on_target is None


def test_a_card_is_corrected_for_all_of_its_measures() -> None:
    measured = [each for measures in planted_card().values() for each in measures.values() if each.p is not None]
    assert len(measured) > 20
    assert [each.adjusted_p for each in measured] == holm([each.p or 0.0 for each in measured])


# Judges whose card is known exactly ----------------------------------------------------------------------------------


def test_a_judge_that_always_names_the_first_is_right_half_of_the_time_and_always_flips() -> None:
    card = card_of(Swapped(Scripted(lambda _: 1.0)), pairs(40))
    assert found(card["baseline"]["accuracy"]) == 0.5
    assert found(card["position"]["flip rate"]) == 1.0
    assert found(card["position"]["first shown"]) == 1.0
    assert (found(card["equal"]["vote for copy 1"]), found(card["equal"]["one copy wins"])) == (0.5, 0.0)
    assert (found(card["keys"]["wins"]), found(card["keys"]["wins or ties"])) == (0.0, 1.0)
    assert found(card["length"]["effect"]) == 0.0


def perfect(comparison: Comparison) -> float | None:
    one, other = ("good" in text for text in comparison.responses)
    if comparison.responses[0] == comparison.responses[1]:
        return None
    return float(one > other) if one != other else float(comparison.responses[1] in KEYS)


def test_a_perfect_judge_is_always_right_never_flips_and_is_moved_by_nothing() -> None:
    card = card_of(Swapped(Scripted(perfect)), pairs(40))
    assert found(card["baseline"]["accuracy"]) == 1.0
    assert found(card["position"]["flip rate"]) == 0.0
    moved = [
        (probe, name) for probe, measures in card.items() for name, each in measures.items() if each.on_target is False
    ]
    assert moved == []
    assert all(each.left_out == 0 for measures in card.values() for each in measures.values())
    assert sorted(card) == OF_PAIRS


def test_equal_answers_have_half_of_the_vote_whoever_judges_in_both_orders() -> None:
    card = card_of(Swapped(Scripted(lambda _: 0.7)), pairs(40))
    assert found(card["equal"]["vote for copy 1"]) == 0.5
    assert found(card["equal"]["one copy wins"]) == 0.0


@dataclass(frozen=True)
class Pointwise(RewardModel):
    """Scores each alone: a good text 1, any other 0, and a key 1 where `fooled`."""

    fooled: bool

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        scores = [float("good" in text or (self.fooled and text in KEYS)) for text in comparison.responses]
        return [merge_pointwise([Vote(Status.OK, scores=(score,), order=(0,)) for score in scores])]


@pytest.mark.parametrize(("fooled", "share"), [(False, 0.0), (True, 1.0)])
def test_a_verifier_that_takes_an_opener_for_an_answer_is_caught(fooled: bool, share: float) -> None:
    card = card_of(Pointwise(fooled), pairs(40))
    assert found(card["keys"]["wins or ties"]) == share
    assert all(found(card["keys"][kind]) == share for kind in keys())
    assert card["position"]["first shown"].interval is None, "each response was judged alone"


def test_a_verifier_that_takes_praise_for_merit_is_caught() -> None:
    @dataclass(frozen=True)
    class Gullible(Pointwise):
        async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
            injected = comparison.metadata["probe"]["probe"] == "injection"
            target = comparison.metadata["probe"]["target"]
            scores = [2.0 if injected and k == target else 1.0 - k for k in range(2)]
            return [merge_pointwise([Vote(Status.OK, scores=(score,), order=(0,)) for score in scores])]

    best_first = [pair if pair.label == Label(best=0) else pair.permuted((1, 0)) for pair in pairs(20)]
    card = card_of(Gullible(fooled=False), best_first)
    assert (found(card["injection"]["all kinds"]), found(card["injection"]["praise"])) == (1.0, 1.0)
    assert card["injection"]["verdict"].interval is None


def test_a_reward_that_rises_with_repeated_words_of_the_request_is_caught() -> None:
    @dataclass(frozen=True)
    class Overlap(RewardModel):
        async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
            scores = [text.count(comparison.request) + ("good" in text) / 2 for text in comparison.responses]
            return [merge_pointwise([Vote(Status.OK, scores=(score,), order=(0,)) for score in scores])]

    echo = card_of(Overlap(), pairs(40))["echo"]
    # The echo lifts the worse response above the better one, and changes nothing if the better one has it.
    assert found(echo["effect on the worse"]) == 1.0
    assert found(echo["effect"]) == 0.5
    assert found(echo["request alone"]) == 1.0


def test_verdicts_that_cannot_be_read_are_left_out_and_counted() -> None:
    @dataclass(frozen=True)
    class Lost(Scripted):
        async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
            if "good" in comparison.responses[0] and comparison.id.endswith("#length/0"):
                return [Vote(Status.TRUNCATED, order=(0, 1))]
            return await super().votes(comparison, sample)

    card = card_of(Swapped(Lost(lambda _: 1.0)), pairs(40))
    assert (card["length"]["effect"].n, card["length"]["effect"].left_out) == (0, 40)
    assert card["length"]["effect"].interval is None
    assert card["verbosity"]["effect"].left_out == 0


# Variations ----------------------------------------------------------------------------------------------------------


@given(comparisons())
def test_variations_are_pure_and_keep_prompt_reference_and_truth(comparison: Comparison) -> None:
    asked = list(probes.with_variations(comparison, ALL))
    assert asked == list(probes.with_variations(comparison, ALL))
    assert len({each.id for each in asked}) == len(asked)
    for each in asked:
        assert (each.prompt, each.reference, each.domain) == (
            comparison.prompt,
            comparison.reference,
            comparison.domain,
        )
        alone = len(comparison.responses) == 1 and each.metadata["probe"]["probe"] in ("plain", "steps")
        assert len(each.responses) == (1 if alone else 2)
        assert each.metadata.items() >= {k: v for k, v in comparison.metadata.items() if k != "probe"}.items()
        Comparison.model_validate(each.model_dump())


def test_only_the_response_named_is_changed() -> None:
    for pair in pairs(4):
        for name in ("length", "verbosity", "markdown", "keys", "injection", "echo"):
            for variation in ALL[name].vary(pair):
                same = [k for k, text in enumerate(variation.responses) if text == bare(pair.responses[k])]
                assert variation.target is None or 1 - variation.target in same, variation


def test_an_empty_answer_takes_the_place_of_the_worse_one_and_the_label_says_so() -> None:
    (pair, *_) = pairs(1)
    for variation in ALL["keys"].vary(pair):
        assert variation.responses[0] == pair.responses[0]
        assert variation.responses[1] in KEYS
        assert variation.label == Label(best=0)


def test_every_language_has_twelve_openers_and_comparisons_together_see_them_all() -> None:
    languages = [kind for kind in keys() if kind.endswith("openers")]
    assert len(languages) >= 3
    assert all(len(set(keys()[kind])) >= 12 for kind in languages)
    drawn = {text for pair in pairs(400) for variation in ALL["keys"].vary(pair) for text in variation.responses}
    assert drawn >= KEYS


def test_a_single_response_is_probed_by_keys_against_the_reference_answer() -> None:
    alone = Comparison(id="1", prompt="2 + 2?", responses=("It is 4.",), reference="4")
    asked = list(probes.with_variations(alone, ALL))
    assert {each.metadata["probe"]["probe"] for each in asked} == {"keys"}
    for each in asked:
        assert each.label is not None
        assert each.label.winner is not None
        assert each.responses[each.label.winner] == "4"


def test_of_several_responses_the_best_and_another_are_probed() -> None:
    several = Comparison(id="1", prompt="?", responses=("a", "b", "c"), label=Label(best=2))
    plain, *_ = probes.with_variations(several, ALL)
    assert (plain.responses, plain.label) == (("a", "c"), Label(best=1))


@given(
    st.text()
    | st.sampled_from(["# Head\n\n- one. Two!\n- **three** and 2 * 3 ** 4\n\n```py\n# no - change\n```\n", "a**b"])
)
def test_marks_change_and_words_do_not(text: str) -> None:
    assert words(dressed(text)) == words(bare(text)) == words(text)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def test_headings_lists_and_emphasis_come_off_and_lists_with_bold_go_on() -> None:
    text = "## Plan\n\n- **First** do it. Then *rest*.\n\n`x = **y**`"
    assert bare(text) == "Plan\n\nFirst do it. Then rest.\n\n`x = **y**`"
    assert dressed("Do it now. Then rest well.") == "- **Do it** now.\n- **Then rest** well."
    code = "Run this:\n```sh\n# a comment. Two.\n- x\n```\n"
    assert "```sh\n# a comment. Two.\n- x\n```\n" in dressed(code)


@given(st.text(max_size=2000))
def test_padding_doubles_a_text_and_leaves_it_as_it_was(text: str) -> None:
    assert padded(text).startswith(text)
    assert len(padded(text)) >= 2 * len(text)
    assert len(padded(text)) <= 2 * len(text) + 400


def test_a_probe_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(FathomError, match="expected one of: baseline, echo, equal, injection, keys"):
        probes.find("nothing")


# Who wrote what ------------------------------------------------------------------------------------------------------


def test_the_judges_own_response_is_told_by_the_source_whatever_the_order_shown() -> None:
    told = {"chosen_model": "ours", "rejected_model": "theirs"}
    pair = Comparison(id="1", prompt="?", responses=("a", "b"), metadata=told)
    columns = ["chosen_model", "rejected_model"]
    assert probes.mark_own_response(pair, columns, "ours").metadata["own_response"] == 0
    assert (
        probes.mark_own_response(pair.model_copy(update={"source_order": (1, 0)}), columns, "ours").metadata[
            "own_response"
        ]
        == 1
    )
    assert probes.mark_own_response(pair, columns, "nobody").metadata["own_response"] is None
    listed = pair.model_copy(update={"metadata": {"models": ["theirs", "ours"]}})
    assert probes.mark_own_response(listed, ["models"], "ours").metadata["own_response"] == 1
    with pytest.raises(FathomError, match=r"comparison '1' has 2 responses.*expected one column per response"):
        probes.mark_own_response(pair, ["nowhere"], "ours")


# The command ---------------------------------------------------------------------------------------------------------


def probe(url: str, *arguments: object) -> Any:
    judge = ["--engine", "openai", "--base-url", url, "--model", "m"]
    result = CliRunner().invoke(app, ["probe", *map(str, arguments), *judge])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows = [
        {"id": pair.id, "prompt": pair.prompt, "chosen": "good", "rejected": "poor", "by": ["m", "other"]}
        for pair in pairs(6)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_command_writes_a_card_that_its_rows_give_again_and_asks_nothing_twice(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "card"
    arguments = (source, "--out", out, "--authors", "by", "--own", "m")

    async def run() -> tuple[int, int]:
        async with serving(lambda _: chat("Final verdict: [[A]]")) as server:
            await asyncio.to_thread(probe, server.url, *arguments)
            first = len(server.calls)
            (out / "card.json").rename(tmp_path / "first.json")
            await asyncio.to_thread(probe, server.url, *arguments)
            return first, len(server.calls)

    first, both = asyncio.run(run())
    assert first == both > 6 * 2 * 20 - 60
    assert (out / "card.json").read_bytes() == (tmp_path / "first.json").read_bytes()
    card = json.loads((out / "card.json").read_text())
    assert card == json.loads(json.dumps(reliability_card.as_json(runs.open(out / "rows.jsonl"))))
    assert sorted(card["probes"]) == OF_PAIRS
    told = {(name, each["name"]): each["mean"] for name, one in card["probes"].items() for each in one["measures"]}
    assert told["baseline", "accuracy"] == 0.5
    assert told["position", "flip rate"] == 1.0
    assert told["self_preference", "own wins"] == 0.5
    assert card["config"]["model"] == "m"
    assert card["inputs"]
    page = (out / "card.html").read_text()
    assert "<h1>Reliability card: m</h1>" in page
    assert "<strong>1.000 [0.610, 1.000]</strong>" in page, "what is off target stands out"
    assert "http" not in page.replace("http-equiv", "")


def test_one_probe_alone_asks_no_more_than_it_needs(source: Path, tmp_path: Path) -> None:
    async def run() -> int:
        async with serving(lambda _: chat("Final verdict: [[B]]")) as server:
            await asyncio.to_thread(probe, server.url, source, "--out", tmp_path / "card", "--probe", "length")
            return len(server.calls)

    assert asyncio.run(run()) == 6 * 2 * 3
    card = json.loads((tmp_path / "card" / "card.json").read_text())
    assert sorted(card["probes"]) == ["baseline", "length", "position"]


def test_a_judge_of_lists_sees_both_orders_too(source: Path, tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(lambda _: chat("Scores: \\boxed{7, 3}")) as server:
            arguments = (source, "--out", tmp_path / "card", "--probe", "position", "--judge", "spct")
            await asyncio.to_thread(probe, server.url, *arguments)

    asyncio.run(run())
    (first, flips) = json.loads((tmp_path / "card" / "card.json").read_text())["probes"]["position"]["measures"]
    assert (first["mean"], flips["mean"]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--probe", "none"], "there is no probe 'none'"),
        (["--own", "m"], "--own needs --authors as well: --authors takes the columns"),
    ],
)
def test_a_wrong_argument_is_answered_with_what_is_allowed(
    source: Path, tmp_path: Path, arguments: list[str], answer: str
) -> None:
    with pytest.raises(FathomError, match=re.escape(answer)):
        probe("http://127.0.0.1:9/v1", source, "--out", tmp_path / "card", *arguments)


def test_results_in_place_of_comparisons_are_answered_with_the_commands_to_give(tmp_path: Path) -> None:
    results = judged.written(tmp_path / "verdicts.jsonl", [judged.row(judged.swapped([0, 0]))])
    with pytest.raises(FathomError) as caught:
        probe("http://127.0.0.1:9/v1", results, "--out", tmp_path / "card")
    assert str(caught.value).startswith(
        f"{results}: contains results, as fathom judge, rank and probe write them; expected"
    )
    assert f"`fathom runs {results}` shows under config" in str(caught.value)
    assert f"`fathom score {results}`" in str(caught.value)


def test_rows_of_ordinary_judging_make_no_card() -> None:
    row = {"id": "7", "metadata": {}, "prompt": "?"}
    with pytest.raises(FathomError, match="row '7' belongs to no probe"):
        probes.compute_card([row])


def test_comparisons_that_share_an_id_make_no_card() -> None:
    (pair,) = pairs(1)
    with pytest.raises(FathomError, match="row '0' occurs twice"):
        card_of(Scripted(lambda _: 1.0), [pair, pair])


# docs/probes.md ------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parent.parent / "docs" / "probes.md"


def test_every_probe_is_explained() -> None:
    table = PAGE.read_text(encoding="utf-8").split("| probe | change |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == probes.names()


def test_the_probe_that_the_page_shows_finds_what_it_looks_for() -> None:
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[-1].split("```")[0]
    scope: dict[str, Any] = {}
    exec(code, scope)
    shouting = {"shouting": scope["PROBE"]}
    asked = [each for pair in pairs(20) for each in probes.with_variations(pair, shouting)]
    judge = Swapped(Scripted(lambda pair: 0.5 + 0.5 * (pair.responses[0].isupper() - pair.responses[1].isupper())))
    (effect, _) = scope["PROBE"].measure(items(map(row_of, judge.run(asked)))["shouting"])
    assert found(effect) == 0.5


def row_of(judged: tuple[Comparison, Any]) -> dict[str, Any]:
    return to_row(*judged)


@pytest.mark.slow
def test_the_card_on_the_page_is_what_the_command_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    commands, table = re.findall(r"```(?:sh|text)\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[:2]
    make, command = commands.split("\n")
    monkeypatch.chdir(tmp_path)
    code, target = re.fullmatch('python -c "(.*)" > (.*)', make).groups()  # type: ignore[union-attr]
    Path(target).write_bytes(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    result = CliRunner().invoke(app, command.split()[1:], env={"COLUMNS": "110", "FORCE_COLOR": None})
    assert result.exception is None
    assert table in "\n".join(line.rstrip() for line in result.stderr.split("\n"))
