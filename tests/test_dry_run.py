"""`--dry-run`: what would be asked and what it can cost, with nothing sent and nothing written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from asking import COMMANDS, files, run, write_sources
from fathom.cli import app
from fathom.cli._options import fields_of
from fathom.errors import IncompleteRunError
from fathom.ranking.schedules import SCHEDULES, most_pairs
from fathom.settings import BoundSettings, EngineSettings, flag_of
from serving import Call, Reply, chat

A = "Principle 1: Accuracy\nJudgment: Response A is right, Response B is not.\nVerdict: A\n\nFinal verdict: [[A]]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sources(tmp_path)
    return tmp_path


def options_of_verbs() -> dict[str, set[str]]:
    """The parameters of each verb, by its name on the command line."""
    group: Any = typer.main.get_command(app)
    verbs = {name: command for name, command in group.commands.items() if not hasattr(command, "commands")}
    return {name: {str(each.name) for each in command.params} for name, command in verbs.items()}


def told(output: str, what: str) -> int:
    """The number of a line of the plan; of several plans, their sum."""
    numbers = re.findall(rf"^{what} +(?:at most )?([\d,]+)", output, re.MULTILINE)
    assert numbers, output
    return sum(int(number.replace(",", "")) for number in numbers)


# Options --------------------------------------------------------------------------------------------------------------


def test_these_are_all_the_verbs_that_ask_a_model() -> None:
    asking = {name for name, options in options_of_verbs().items() if "engine" in options}
    without = {
        "serve": "its calls depend on its requests",
        "plan": "it makes none",
        "gather": "it makes none",
        "label": "its plan is tested in test_labelers.py",
    }
    assert asking == {*COMMANDS, *without}


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_that_asks_a_model_has_the_options_for_engine_bounds_and_dry_run(verb: str) -> None:
    kinds = [BoundSettings] if verb == "compare-engines" else [BoundSettings, EngineSettings]
    shared = {flag_of(kind, name) for settings in kinds for kind, name, _ in fields_of(settings)}
    assert len(shared) >= 3
    assert shared | {"dry_run", "journal"} <= options_of_verbs()[verb]


@pytest.mark.parametrize("verb", [verb for verb in COMMANDS if verb != "compare-engines"])
def test_every_verb_that_writes_rows_says_with_how_many_failures_it_fails(verb: str) -> None:
    assert "fail_on" in options_of_verbs()[verb]


# The drill ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_dry_run_sends_nothing_writes_nothing_and_shows_one_prompt(verb: str, folder: Path) -> None:
    before = files(folder)
    server, [result] = run(lambda _: chat(A), lambda url: [*COMMANDS[verb](folder, url), "--dry-run"])
    assert result.exit_code == 0, result.output + str(result.exception)
    assert server.calls == []
    assert files(folder) == before
    assert all(told(result.stdout, name) > 0 for name in ("rows", "prompts", "calls", "prompt tokens"))
    assert "no price is known for judge-7b; give it as a line of --prices FILE: judge-7b: {prompt:" in result.stdout
    assert "--- user" in result.stdout
    assert "Task 0" in result.stdout or verb == "eval"


@pytest.mark.parametrize("verb", COMMANDS)
def test_no_verb_makes_more_calls_than_its_dry_run_says(verb: str, folder: Path) -> None:
    def command(url: str) -> list[str]:
        return COMMANDS[verb](folder, url)

    server, [dry, real] = run(lambda _: chat(A), lambda url: [*command(url), "--dry-run"], command)
    assert real.exception is None or isinstance(real.exception, SystemExit | IncompleteRunError), real.output
    calls = told(dry.stdout, "calls")
    if verb in ("synth", "compare-engines"):
        assert 0 < len(server.calls) <= calls
    else:
        assert len(server.calls) == calls
        assert "at most" not in dry.stdout.split("\ncompletion tokens")[0]


def test_the_plan_counts_votes_orders_and_prompts_and_prices_them(folder: Path) -> None:
    (folder / "prices.yaml").write_text("judge-7b: {prompt: 1000000, completion: 1000}")
    more = ["--votes", "4", "--temperature", "1", "--max-tokens", "100", "--prices", f"{folder}/prices.yaml"]
    _, [result] = run(lambda _: chat(A), lambda url: [*COMMANDS["judge"](folder, url), *more, "--dry-run"])
    assert told(result.stdout, "rows") == 3
    assert told(result.stdout, "prompts") == 6
    assert told(result.stdout, "calls") == 24
    assert told(result.stdout, "completion tokens") == 2400
    # A dollar a prompt token, and 1,000 dollars per million of 2,400 completion tokens.
    [cost] = re.findall(r"^cost +at most \$([\d,.]+)", result.stdout, re.MULTILINE)
    assert float(cost.replace(",", "")) == pytest.approx(told(result.stdout, "prompt tokens") + 2.4)


def test_a_small_cost_is_rounded_up_and_bounds_that_may_be_met_are_named(folder: Path) -> None:
    (folder / "prices.yaml").write_text("judge-7b: {prompt: 0.01, completion: 0.01}")
    priced = ["--max-tokens", "100", "--prices", f"{folder}/prices.yaml", "--dry-run"]
    _, [loose, tight] = run(
        lambda _: chat(A),
        lambda url: [*COMMANDS["judge"](folder, url), *priced, "--max-cost", "1", "--max-total-tokens", "100000"],
        lambda url: [*COMMANDS["judge"](folder, url), *priced, "--max-cost", "0", "--max-total-tokens", "50"],
    )
    assert "at most $0.01 " in loose.stdout
    assert "may stop" not in loose.stdout
    assert "--max-total-tokens 50, --max-cost 0.0 may stop the run before its end" in tight.stdout


def test_the_prompt_shown_is_the_one_that_is_sent(folder: Path) -> None:
    def command(url: str) -> list[str]:
        return COMMANDS["judge"](folder, url)

    server, [dry, _] = run(lambda _: chat(A), lambda url: [*command(url), "--dry-run"], command)
    sent = [call.fields["messages"][0]["content"] for call in server.calls]
    assert sum(f"--- user\n{prompt}\n" in dry.stdout for prompt in sent) == 1


def test_what_the_journal_holds_is_said_and_not_priced(folder: Path) -> None:
    def command(url: str) -> list[str]:
        return COMMANDS["judge"](folder, url)

    first = ["--limit", "2"]
    _, results = run(
        lambda _: chat(A),
        lambda url: [*command(url), *first],
        lambda url: [*command(url), "--dry-run"],
        command,
        lambda url: [*command(url), "--dry-run"],
    )
    assert f"of which 4 are in {folder}/out/v.jsonl.journal" in results[1].stdout
    assert f"of which 6 are in {folder}/out/v.jsonl.journal" in results[3].stdout
    assert (told(results[3].stdout, "prompt tokens"), told(results[3].stdout, "completion tokens")) == (0, 0)


@pytest.mark.parametrize(
    ("verb", "options", "calls"),
    [
        pytest.param("judge", ["--votes", "adaptive", "--temperature", "1", "--max-votes", "5"], 3 * 2 * 5, id="votes"),
        pytest.param("rank", ["--schedule", "knock-out"], 2 * 6 * 2, id="all pairs where all tie"),
        pytest.param("rank", ["--schedule", "swiss"], 2 * 4 * 2, id="two rounds of two pairs"),
        pytest.param("rank", ["--schedule", "pivot"], 2 * 6 * 2, id="all pairs where the pivot is the best"),
    ],
)
def test_what_depends_on_outcomes_is_said_as_the_most_it_can_be(
    verb: str, options: list[str], calls: int, folder: Path
) -> None:
    _, [result] = run(lambda _: chat(A), lambda url: [*COMMANDS[verb](folder, url), *options, "--dry-run"])
    assert re.search(rf"^calls +at most {calls}$", result.stdout, re.MULTILINE), result.stdout


@given(st.sampled_from(sorted(SCHEDULES)), st.integers(2, 7), st.data())
def test_no_schedule_asks_more_pairs_than_is_said(name: str, n: int, data: st.DataObject) -> None:
    rounds, outcomes = SCHEDULES[name](n), {}
    pairs = next(rounds)
    while True:
        for pair in pairs:
            outcomes[pair] = data.draw(st.sampled_from([*pair, None]))
        try:
            pairs = rounds.send(outcomes)
        except StopIteration:
            break
    assert 0 < len(outcomes) <= most_pairs(name, n)


def test_a_longer_second_try_is_in_the_plan(folder: Path) -> None:
    more = ["--max-tokens", "100", "--engine-option", "longer=500", "--dry-run"]
    _, [plain, longer] = run(
        lambda _: chat(A),
        lambda url: [*COMMANDS["judge"](folder, url), "--max-tokens", "100", "--dry-run"],
        lambda url: [*COMMANDS["judge"](folder, url), *more],
    )
    assert told(longer.stdout, "prompt tokens") == 2 * told(plain.stdout, "prompt tokens")
    assert (told(plain.stdout, "completion tokens"), told(longer.stdout, "completion tokens")) == (600, 3600)


def test_a_guard_that_asks_nothing_is_planned_as_no_call(tmp_path: Path) -> None:
    rows = [{"prompt": "2 + 2?", "responses": ["The answer is 4.", "Solution:"], "reference": "4", "scores": [1, 0]}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["judge", f"{tmp_path}/rows.jsonl", "--judge", "verifier", "--model", "m"]
    _, [result] = run(lambda _: chat("YES"), lambda url: [*arguments, "--base-url", url, "--dry-run"])
    assert told(result.stdout, "calls") == 1


def test_a_local_model_is_planned_with_its_own_tokenizer_and_chat_template_and_its_journal(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    write_sources(tmp_path)
    out = f"{tmp_path}/v.jsonl"
    command = ["judge", f"{tmp_path}/pairs.jsonl", "--model", "mini", "--max-tokens", "4", "--out", out]

    def real(_: str) -> list[str]:
        return command

    _, [before, done, after] = run(
        lambda _: Reply(500), lambda _: [*command, "--dry-run"], real, lambda _: [*command, "--dry-run"]
    )
    rows = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    read = sum(row["tokens"]["prompt"] for row in rows)
    assert done.exit_code == 0
    assert f"{read:,} (counted by the model's tokenizer)" in before.stdout
    assert "<|begin|><|user|>Compare two responses" in before.stdout
    assert "6, of which 6 are in" in after.stdout
    assert "cost               none: the model runs in this process" in before.stdout
    assert re.search(r"spent by this run: [\d,]+ tokens, no cost;", done.stderr)
    assert json.loads((tmp_path / "v.jsonl.meta.json").read_text())["spent"]["this_run"]["cost"] == 0


def test_a_price_that_is_given_for_a_local_model_holds_in_the_plan_and_in_the_run(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    write_sources(tmp_path)
    (tmp_path / "prices.yaml").write_text("mini: {prompt: 100, completion: 100}\n")
    command = ["judge", f"{tmp_path}/pairs.jsonl", "--model", "mini", "--max-tokens", "4"]
    command += ["--prices", f"{tmp_path}/prices.yaml"]
    _, [plan, done] = run(lambda _: Reply(500), lambda _: [*command, "--dry-run"], lambda _: command)
    assert re.search(r"^cost +at most \$0\.\d\d", plan.stdout, re.MULTILINE)
    assert re.search(r"spent by this run: [\d,]+ tokens, \$0\.\d\d;", done.stderr)


def test_a_dry_run_refuses_what_the_run_would_refuse(folder: Path) -> None:
    def answer(_: Call) -> Reply:
        return chat(A)

    probabilities = ["--aggregate", "probability"]
    _, results = run(
        answer,
        lambda url: [*COMMANDS["judge"](folder, url), "--judge", "nobody", "--dry-run"],
        lambda url: [*COMMANDS["judge"](folder, url), "--aggregate", "sum", "--dry-run"],
        lambda url: ["judge", f"{folder}/pairs.jsonl", "--dry-run"],
        lambda url: ["judge", f"{folder}/pairs.jsonl", "--model", "./nowhere", "--dry-run"],
        lambda url: [*COMMANDS["judge"](folder, url), "--meta", f"{folder}", "--dry-run"],
        lambda _: ["judge", f"{folder}/pairs.jsonl", "--engine", "mini-teacher", *probabilities, "--dry-run"],
    )
    said = [str(result.exception) for result in results]
    assert "nobody" in said[0]
    assert "without scores" in said[1]
    assert "--model is missing" in said[2]
    assert "there is no folder" in said[3]
    assert "is not a meta reward model" in said[4]
    assert "needs an engine with logprobs" in said[5]
