"""`fathom plan` and `fathom gather`: requests to a file, results from files, and the rows of `fathom judge`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from asking import run, write_sources
from fathom.cli import app
from fathom.errors import FathomError, IncompleteRunError
from serving import Call, Reply, Seeded

JUDGE = ["--model", "judge-7b", "--judge", "mix", "--prompt", "instruct", "--votes", "2", "--temperature", "1"]
SEEDED = Seeded(latency=0.0)
ROWS = 4


def body(line: dict[str, Any]) -> bytes:
    """A request's body as a server gets it: the answer of `Seeded` depends on every byte."""
    return json.dumps(line["body"]).encode()


def succeeded(line: dict[str, Any]) -> dict[str, Any]:
    """A line of OpenAI's output file."""
    reply = SEEDED(Call(0.0, 0, line["url"], {}, body(line)))
    response = {"status_code": 200, "request_id": "r", "body": json.loads(reply.body)}
    return {"id": "batch_req_1", "custom_id": line["custom_id"], "response": response, "error": None}


def refused(line: dict[str, Any]) -> dict[str, Any]:
    """A line of OpenAI's error file: the server refused the request."""
    response = {"status_code": 400, "request_id": "r", "body": {"error": {"message": "too long", "code": None}}}
    return {"id": "batch_req_2", "custom_id": line["custom_id"], "response": response, "error": None}


def expired(line: dict[str, Any]) -> dict[str, Any]:
    """A line of OpenAI's error file: the batch ended before this request began."""
    error = {"code": "batch_expired", "message": "This request could not be executed before the batch expired."}
    return {"id": "batch_req_3", "custom_id": line["custom_id"], "response": None, "error": error}


def failed_in_vllm(line: dict[str, Any]) -> dict[str, Any]:
    """A failed line of `vllm run-batch`: an error of text beside a response without a body."""
    response = {"status_code": 400, "request_id": "vllm-batch-1", "body": None}
    return {"id": "vllm-1", "custom_id": line["custom_id"], "response": response, "error": "the prompt is too long"}


def cut(line: dict[str, Any]) -> dict[str, Any]:
    """A success whose body has no text."""
    response = {"status_code": 200, "request_id": "r", "body": {"choices": []}}
    return {"id": "batch_req_4", "custom_id": line["custom_id"], "response": response, "error": None}


FAILURES = (refused, expired, failed_in_vllm, cut)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def planned(folder: Path, *more: object, url: str = "http://localhost:8000/v1", out: str = "batch") -> list[Any]:
    """The lines of the files that `fathom plan` writes."""
    result = invoke("plan", folder / "pairs.jsonl", *JUDGE, "--base-url", url, "--out", folder / out, *more)
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    return read_requests(folder / out)


def read_requests(folder: Path) -> list[Any]:
    return [json.loads(line) for path in request_files(folder) for line in path.read_text().splitlines()]


def request_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("requests-*.jsonl"))


def write(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def gathered(folder: Path, *results: Path, url: str = "http://localhost:8000/v1", out: str = "v.jsonl") -> Result:
    given = [each for path in results for each in ("--results", path)]
    return invoke("gather", folder / "pairs.jsonl", *given, *JUDGE, "--base-url", url, "--out", folder / out)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A folder with a source and with v.jsonl, the rows of all results; and the requests."""
    folder = tmp_path_factory.mktemp("batch")
    write_sources(folder, rows=ROWS)
    lines = planned(folder)
    result = gathered(folder, write(folder / "results.jsonl", [succeeded(line) for line in lines]))
    assert result.exit_code == 0, result.output
    return folder, lines


def test_a_batch_gives_the_rows_of_fathom_judge_byte_for_byte(tmp_path: Path) -> None:
    """The same server answers the lines of the files, as a provider would, and the calls of `fathom judge`."""
    write_sources(tmp_path, rows=ROWS)

    def answer(call: Call) -> Reply:
        return SEEDED(Call(0.0, 0, call.path, {}, json.dumps(call.fields).encode()))

    def command(verb: str, *more: str) -> Callable[[str], list[str]]:
        return lambda url: [verb, f"{tmp_path}/pairs.jsonl", *JUDGE, "--base-url", url, *more]

    def gather(url: str) -> list[str]:
        write(tmp_path / "results.jsonl", [succeeded(line) for line in read_requests(tmp_path / "batch")])
        more = ["--results", f"{tmp_path}/results.jsonl", "--out", f"{tmp_path}/v.jsonl"]
        return command("gather", *more)(url)

    plan = command("plan", "--out", f"{tmp_path}/batch")
    judge = command("judge", "--out", f"{tmp_path}/judged.jsonl")
    again = command("judge", "--out", f"{tmp_path}/again.jsonl", "--journal", f"{tmp_path}/v.jsonl.journal")
    server, results = run(answer, plan, gather, judge, again)
    assert [each.exit_code for each in results] == [0] * 4, [each.output for each in results]
    lines = read_requests(tmp_path / "batch")
    assert len(lines) == 4 * ROWS, "two votes in both orders"
    assert len(server.calls) == len(lines), "only `fathom judge` without the journal makes calls"
    assert sorted(map(body, lines)) == sorted(json.dumps(call.fields).encode() for call in server.calls)
    gathered_rows = (tmp_path / "v.jsonl").read_bytes()
    assert gathered_rows == (tmp_path / "judged.jsonl").read_bytes() == (tmp_path / "again.jsonl").read_bytes()


def test_a_second_round_plans_what_failed_or_is_missing_and_completes_the_rows(
    batch: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    folder, _ = batch
    write_sources(tmp_path, rows=ROWS)
    lines = planned(tmp_path)
    random.Random(0).shuffle(lines)
    *good, first, second, third, _missing = lines
    output = write(tmp_path / "output.jsonl", [succeeded(line) for line in good])
    errors = write(tmp_path / "errors.jsonl", [refused(first), expired(second), failed_in_vllm(third)])
    result = gathered(tmp_path, errors, output)
    assert isinstance(result.exception, IncompleteRunError), result.output
    votes = [vote for row in rows(tmp_path / "v.jsonl") for vote in row["votes"]]
    failed = [vote for vote in votes if vote["status"] == "failed"]
    assert len(failed) == 4
    assert all(vote["winner"] is None for vote in failed)
    said = " ".join(vote["error"] for vote in failed)
    assert all(each in said for each in ("too long", "the batch expired", "the results have no answer")), said

    rest = planned(tmp_path, "--journal", tmp_path / "v.jsonl.journal", out="second")
    assert sorted(line["custom_id"] for line in rest) == sorted(line["custom_id"] for line in lines[-4:])
    assert gathered(tmp_path, write(tmp_path / "more.jsonl", [succeeded(line) for line in rest])).exit_code == 0
    assert (tmp_path / "v.jsonl").read_bytes() == (folder / "v.jsonl").read_bytes()
    again = invoke("plan", tmp_path / "pairs.jsonl", *JUDGE, "--base-url", "http://localhost:8000/v1",
                   "--journal", tmp_path / "v.jsonl.journal", "--out", tmp_path / "second")  # fmt: skip
    assert "the journal answers every call" in again.output
    assert request_files(tmp_path / "second") == [], "a file of the earlier round would be sent again"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_order_repetition_or_loss_of_results_gives_a_wrong_vote(
    batch: tuple[Path, list[Any]], tmp_path: Path, data: st.DataObject
) -> None:
    """Every vote is the one of the whole batch, or failed; a request with any success is never failed."""
    folder, lines = batch
    kinds: list[Callable[[dict[str, Any]], dict[str, Any]]] = [succeeded, *FAILURES]
    drawn = data.draw(st.lists(st.tuples(st.sampled_from(lines), st.sampled_from(kinds)), max_size=40))
    others = [succeeded(line | {"custom_id": custom_id}) for line in lines[:1] for custom_id in ("", "0" * 64)]
    results = data.draw(st.permutations([kind(line) for line, kind in drawn] + others))
    middle = data.draw(st.integers(0, len(results)))
    for name in ("v.jsonl", "v.jsonl.journal", "v.jsonl.meta.json"):
        (tmp_path / name).unlink(missing_ok=True)
    write_sources(tmp_path, rows=ROWS)
    paths = [write(tmp_path / "a.jsonl", results[:middle]), write(tmp_path / "b.jsonl", results[middle:])]
    gathered(tmp_path, *paths)
    answered = {line["custom_id"] for line, kind in drawn if kind is succeeded}
    whole, found = rows(folder / "v.jsonl"), rows(tmp_path / "v.jsonl") if (tmp_path / "v.jsonl").exists() else []
    assert len(found) == len(whole) == ROWS
    pairs = [votes for a, b in zip(whole, found, strict=True) for votes in zip(a["votes"], b["votes"], strict=True)]
    assert all(vote == right or (vote["status"] == "failed" and vote["winner"] is None) for right, vote in pairs)
    assert sum(vote["status"] != "failed" for _, vote in pairs) == len(answered)


def test_files_stay_within_the_limits_of_the_provider(tmp_path: Path) -> None:
    write_sources(tmp_path, rows=ROWS)
    lines = planned(tmp_path, "--requests-per-file", 3)
    sizes = [len(path.read_text().splitlines()) for path in request_files(tmp_path / "batch")]
    assert sorted(sizes) == [1, 3, 3, 3, 3, 3]
    assert len({line["custom_id"] for line in lines}) == len(lines) == 4 * ROWS
    assert {line["url"] for line in lines} == {"/v1/chat/completions"}
    assert all(len(line["custom_id"]) == 64 for line in lines), "the length of SHA-256, which providers accept"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--votes", "adaptive"], "adaptive"),
        (["--engine-option", "longer=4096"], "longer"),
        (["--engine-option", "headers={X-Team: judges}"], "headers"),
        (["--base-url", "http://a/v1,http://b/v1"], "one address"),
        (["--judge", "forward"], "likelihood"),
    ],
)
def test_what_a_batch_cannot_express_is_refused_before_a_file_is_written(
    more: list[str], said: str, tmp_path: Path
) -> None:
    write_sources(tmp_path)
    at = ["--base-url", "http://localhost:8000/v1", "--out", tmp_path / "batch"]
    judge = JUDGE[:2] if "--judge" in more else JUDGE
    result = invoke("plan", tmp_path / "pairs.jsonl", *judge, *at, *more)
    assert isinstance(result.exception, FathomError), result.output
    assert said in str(result.exception)
    assert request_files(tmp_path / "batch") == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"custom_id": "1", "response": {"status_code": 200', "line 2 is not a result: it is not JSON"),
        ('{"id": "1", "response": null}', "line 2 is not a result: custom_id"),
        ('{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}}', "a file of requests?"),
    ],
)
def test_a_line_that_is_not_a_result_is_named(line: str, said: str, tmp_path: Path) -> None:
    write_sources(tmp_path)
    (tmp_path / "results.jsonl").write_text("\n" + line + "\n")
    result = gathered(tmp_path, tmp_path / "results.jsonl")
    assert isinstance(result.exception, FathomError), result.output
    assert said in str(result.exception)
    assert not (tmp_path / "v.jsonl").exists()
