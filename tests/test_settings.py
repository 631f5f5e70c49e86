"""Settings of a run: what is out of range or contradicts itself is refused, on the command line before any call."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from asking import COMMANDS, run, write_sources
from fathom.errors import FathomError
from fathom.settings import (
    EngineSettings,
    JudgeSettings,
    JudgingSettings,
    SamplingSettings,
    Settings,
    VotingSettings,
    flatten_settings,
)
from serving import chat

A = "Principle 1: Accuracy\nJudgment: Response A is right, Response B is not.\nVerdict: A\n\nFinal verdict: [[A]]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sources(tmp_path)
    return tmp_path


NUMBERS = [
    ("--temperature", "999"),
    ("--temperature", "nan"),
    ("--temperature", "-1"),
    ("--max-tokens", "0"),
    ("--max-tokens", "99999999999999999999"),
    ("--seed", "99999999999999999999"),
    ("--limit", "0"),
    ("--limit", "99999999999999999999"),
    ("--max-cost", "-1"),
    ("--max-cost", "nan"),
    ("--max-cost", "inf"),
    ("--max-total-tokens", "-1"),
    ("--max-batch-tokens", "0"),
]
VOTES = [("--votes", "0"), ("--votes", "100000000"), ("--votes", "many"), ("--votes", "1.5")]
OUT_OF_RANGE = [
    *((verb, given) for verb in COMMANDS if verb not in ("eval", "compare-engines") for given in NUMBERS),
    *((verb, given) for verb in ("judge", "rank", "pairs", "eval", "probe") for given in VOTES),
]


@pytest.mark.parametrize(
    ("verb", "given"), OUT_OF_RANGE, ids=lambda each: each if isinstance(each, str) else " ".join(each)
)
def test_a_number_out_of_range_is_refused_before_any_call_and_named(
    verb: str, given: tuple[str, str], folder: Path
) -> None:
    server, [result] = run(lambda _: chat(A), lambda url: [*COMMANDS[verb](folder, url), *given])
    assert result.exit_code == 2
    assert given[0] in result.output
    assert server.calls == []
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--judge", "yes_no", "--judge-option", "least=high"),
            "least='high' of the judge 'yes_no' must be a valid number",
        ),
        (("--judge", "yes_no", "--judge-option", "least=7"), "least=7 of the judge 'yes_no' must be less than"),
        (("--judge", "spct", "--judge-option", "binary=perhaps"), "must be a valid boolean"),
        (("--judge-option", "colour=red"), "the judge 'mix' has no setting colour"),
        (("--engine-option", "colour=red"), "colour"),
        (
            ("--engine-option", "retries=many"),
            "--engine-option retries='many' of the engine 'openai' must be a valid integer",
        ),
        (("--engine-option", "extra_body=5"), "--engine-option extra_body=5 of the engine 'openai' must be a valid"),
        (("--no-swap", "--votes", "2"), "expected a higher temperature"),
        (("--engine", "local"), "got --engine local"),
        (("--max-cost", "1"), "no price is known for judge-7b"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_any_call(
    options: tuple[str, ...], said: str, folder: Path
) -> None:
    server, [result] = run(lambda _: chat(A), lambda url: [*COMMANDS["judge"](folder, url), *options])
    assert isinstance(result.exception, FathomError)
    assert said in str(result.exception)
    assert server.calls == []


def test_a_bound_in_money_names_the_line_that_gives_the_price(folder: Path) -> None:
    (folder / "prices.yaml").write_text("other: {prompt: 1, completion: 2}")
    more = ["--max-cost", "1", "--prices", f"{folder}/prices.yaml"]
    for verb in ("judge", "synth", "rejection-sample", "compare-engines"):
        server, [result] = run(lambda _: chat(A), lambda url, verb=verb: [*COMMANDS[verb](folder, url), *more])
        assert "judge-7b: {prompt: " in str(result.exception), result.output
        assert server.calls == []


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_bound_in_tokens_stops_every_verb(verb: str, folder: Path) -> None:
    def answer(_: object) -> object:
        return chat(A)

    server, [result] = run(answer, lambda url: [*COMMANDS[verb](folder, url), "--max-total-tokens", "30"])  # type: ignore[arg-type]
    assert isinstance(result.exception, FathomError), result.output
    assert "tokens of the allowed 30" in str(result.exception)
    assert "finished completions are in" in str(result.exception)
    assert 0 < len(server.calls) <= 4


def test_a_bound_stops_a_comparison_with_thousands_of_votes_after_a_few(folder: Path) -> None:
    more = ["--votes", "10000", "--temperature", "1", "--max-total-tokens", "200", "--limit", "1"]
    server, [result] = run(lambda _: chat(A), lambda url: [*COMMANDS["judge"](folder, url), *more])
    assert "tokens of the allowed 200" in str(result.exception)
    assert 0 < len(server.calls) < 20


def test_the_options_of_an_engine_reach_it_from_every_verb(folder: Path) -> None:
    for verb in [verb for verb in COMMANDS if verb != "compare-engines"]:
        more = ["--engine-option", "extra_body={top_k: 7}", "--fail-on", "never"]
        server, _ = run(lambda _: chat(A), lambda url, verb=verb, more=more: [*COMMANDS[verb](folder, url), *more])
        assert server.calls, verb
        assert {call.fields["top_k"] for call in server.calls} == {7}, verb


def test_what_is_no_number_is_refused_for_the_options_of_one_verb_alone(folder: Path) -> None:
    server, [result] = run(lambda _: chat(A), lambda url: [*COMMANDS["pairs"](folder, url), "--min-margin", "nan"])
    assert result.exit_code == 2
    assert "--min-margin" in result.output
    assert server.calls == []


# Values ---------------------------------------------------------------------------------------------------------------


def test_settings_are_values_that_refuse_unknown_names() -> None:
    with pytest.raises(ValidationError, match="modle"):
        EngineSettings(modle="x")  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="frozen"):
        EngineSettings(model="x").model = "y"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (VotingSettings, {"max_votes": 4}, "--max-votes 4 has no effect without --votes adaptive"),
        (VotingSettings, {"keep": 0.5}, "--keep 0.5 has no effect without --meta"),
        (VotingSettings, {"votes": "adaptive", "meta": "m"}, "--meta selects from a fixed number of votes"),
        (SamplingSettings, {"temperature": 3}, "temperature\n  Input should be less than or equal to 2"),
        (EngineSettings, {"engine": "vllm", "base_url": "http://x/v1"}, "got --engine vllm"),
    ],
)
def test_contradictions_are_refused_in_python_too(kind: type[Settings], values: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        kind(**values)
    assert said in str(refused.value)


def test_no_hedge_reaches_the_engine_and_is_refused_where_nothing_is_hedged(folder: Path) -> None:
    assert EngineSettings(model="m", hedge=False).arguments == {"hedge": False}
    assert EngineSettings(model="m").arguments == {}
    server, [asked, refused] = run(
        lambda _: chat(A),
        lambda url: [*COMMANDS["judge"](folder, url), "--no-hedge"],
        lambda _: ["judge", f"{folder}/pairs.jsonl", "--model", "mini", "--no-hedge"],
    )
    assert asked.exit_code == 0
    assert len(server.calls) == 6
    assert "hedge" in str(refused.exception)


def test_a_share_and_a_number_of_votes_are_told_apart() -> None:
    kept = [VotingSettings(votes=4, meta=Path("m"), keep=keep).kept for keep in ("1", "1.0", "0.25", 3, 1.0)]
    assert [(type(each), each) for each in kept] == [(int, 1), (float, 1.0), (float, 0.25), (int, 3), (float, 1.0)]


def test_a_run_records_its_settings_by_the_names_of_its_options() -> None:
    settings = JudgingSettings(
        judge=JudgeSettings(judge="spct", options={"binary": True}),
        engine=EngineSettings(model="m", options={"timeout": 5}),
    )
    told = flatten_settings(settings)
    assert (told["judge"], told["judge_option"], told["engine_option"]) == ("spct", {"binary": True}, {"timeout": 5})
    assert {"votes", "swap", "temperature", "seed", "model", "base_url", "max_cost", "prices"} <= told.keys()


@pytest.mark.parametrize("kind", list(JudgingSettings.model_fields.values()), ids=list(JudgingSettings.model_fields))
def test_every_setting_is_documented(kind: object) -> None:
    fields = kind.annotation.model_fields  # type: ignore[attr-defined]
    assert fields
    assert all(len(field.description or "") > 10 for field in fields.values())
