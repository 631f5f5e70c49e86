"""How long work shows itself: where it stands, how fast it goes, what it spent, and how long it takes."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from fathom.cli import _progress
from fathom.judging import RowOutcome
from fathom.scale.plan import Settled


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_a_plain_line_comes_now_and_then(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with _progress.counting("judged", 40, lambda: "99 tokens, cost unknown") as done:
        for parsed in (True, True, False, True):
            clock[0] += 10
            done(RowOutcome(parsed))
    [line] = capsys.readouterr().err.strip().splitlines()
    # 3 items in 30 seconds: the other 37 take 370 seconds.
    assert re.sub(r"^\[[^]]*\] ", "", " ".join(line.split())) == (
        "judged: 3 of 40, 0:06:10 left, 0.1/s, 33.3% unparsed, 99 tokens, cost unknown"
    )


def test_rows_of_an_earlier_run_are_done_but_say_nothing_about_the_rate(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with _progress.following("judged", 40, lambda settled: f"{settled.tokens} tokens") as told:
        told(Settled(rows=20, unparsed=1, failed=0, tokens=200))
        clock[0] += 30
        told(Settled(rows=20, unparsed=1, failed=0, tokens=200))
        clock[0] += 30
        told(Settled(rows=25, unparsed=5, failed=2, tokens=250))
    waiting, judging = (re.sub(r"^\[[^]]*\] ", "", line) for line in capsys.readouterr().err.strip().splitlines())
    assert waiting == "judged: 20 of 40, 0.0/s, 5.0% unparsed, 200 tokens", "shown although no row was judged"
    # 5 rows in 60 seconds: the other 15 take 180 seconds.
    assert judging == "judged: 25 of 40, 0:03:00 left, 0.1/s, 20.0% unparsed, 2 failed, 250 tokens"


def test_in_a_terminal_a_line_is_kept_up_to_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_progress, "Console", lambda **given: Console(**given, force_terminal=True, width=150))
    with _progress.counting("judged", 4, lambda: "99 tokens, $0.12") as done:
        for parsed in (True, True, False, True):
            done(RowOutcome(parsed))
    said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert re.search(r"judged \S+ 4/4 \d+\.\d/s, 25.0% unparsed, 99 tokens, \$0.12 0:00:00 ", said)
