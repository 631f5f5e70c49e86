"""The cluster files of docs/scale.md were not run, so their commands are at least those that exist."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from fathom.cli import app

ROOT = Path(__file__).parent.parent
FILES = ("ray_job.yaml", "ray_job.slurm")


@pytest.mark.parametrize("name", FILES)
def test_a_cluster_file_says_that_it_was_not_run_and_its_options_exist(name: str) -> None:
    text = (ROOT / "examples" / name).read_text(encoding="utf-8")
    assert "NOT RUN" in text
    command = text[text.index("fathom judge /") :]
    used = set(re.findall(r"(?<= )--[a-z][a-z-]+", command[: command.index("--out") + 5]))
    known = CliRunner().invoke(app, ["judge", "--help"], terminal_width=200).output
    assert len(used) > 6
    assert {option for option in used if option not in known} == set()


def test_the_files_parse_and_agree_on_the_number_of_servers() -> None:
    subprocess.run(["bash", "-n", str(ROOT / "examples" / "ray_job.slurm")], check=True)
    documents = list(yaml.safe_load_all((ROOT / "examples" / "ray_job.yaml").read_text(encoding="utf-8")))
    assert [each["kind"] for each in documents] == ["Service", "StatefulSet", "RayJob"]
    servers, job = documents[1]["spec"], documents[2]["spec"]
    last = re.search(r"seq .* 0 (\d+)\)", job["entrypoint"])
    assert last
    assert servers["replicas"] == int(last[1]) + 1 == 64
    assert documents[0]["metadata"]["name"] == servers["serviceName"]


@pytest.mark.parametrize("name", FILES)
def test_the_page_links_the_files(name: str) -> None:
    assert f"../examples/{name}" in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def utilization(rows: int, places: int = 256) -> float:
    """By the formula of the page, of a shard of this many rows."""
    harmonic = sum(1 / place for place in range(1, places + 1))
    return (rows / places) / ((rows - places) / places + harmonic)


def test_the_arithmetic_of_the_plan_follows_from_its_letters() -> None:
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    rows, calls, tokens, rate, places, servers = 10_000_000, 2, 500, 2500, 128, 64
    seconds = rows * calls * tokens / (servers * rate)
    needed = servers * places / (256 * calls * utilization(10_000))
    per_segment = min(200, 5 * rows * calls / seconds / 32)
    in_flight = 256 * calls
    expected = {
        "calls": f"{rows * calls // 10**6} million",
        "hours, with the servers busy": f"{seconds / 3600:.1f}",
        "GPU hours, cost": f"{servers * seconds / 3600:,.0f}; {servers * seconds / 3600:,.0f} g",
        "calls per second": f"{rows * calls / seconds:.0f}",
        "calls in flight": f"{servers * places:,}",
        "workers": f"{math.ceil(needed)}; 32",
        "`--shard-rows` N": "1,000 | 5,000 | 10,000 | 50,000",
        "u": " | ".join(f"{utilization(shard):.2f}" for shard in (1000, 5000, 10_000, 50_000)),
        "segments": f"{rows * calls / per_segment:,.0f}: {per_segment:.0f} completions",
    }
    for name, value in expected.items():
        assert re.search(rf"^\| {re.escape(name)} \|.*{re.escape(value)}", text, re.MULTILINE), (name, value)
    assert f"at most {in_flight + 200} of 20 million" in text
    assert f"at most {32 * (in_flight + 200):,}" in text
