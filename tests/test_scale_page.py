"""The cluster files of docs/scale.md were not run, so their commands are at least those that exist."""

from __future__ import annotations

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
