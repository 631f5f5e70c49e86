"""The table of docs/trainers.md states what the tests of the contracts run, and in which versions."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "contracts"))

from page import program  # noqa: E402
from trainers import CONNECTIONS, PACKAGES, Connection  # noqa: E402

PAGE = (ROOT / "docs" / "trainers.md").read_text(encoding="utf-8")
TESTED = [each for each in CONNECTIONS if each.test is not None]


def test_the_table_of_the_page_is_that_of_the_tests() -> None:
    rows = [f"| {each.trainer} | {each.version} | {each.by} | {each.evidence()} |" for each in CONNECTIONS]
    table = PAGE.split("| trainer | version | connection | tested by |\n|---|---|---|---|\n")[1].split("\n\n")[0]
    assert table.splitlines() == rows != []


@pytest.mark.parametrize("connection", TESTED, ids=lambda each: each.by)
def test_a_trainer_that_ran_has_its_test_with_the_stubs_and_the_version_that_are_stated(connection: Connection) -> None:
    if connection.trainer == "TRL":
        assert f"def {connection.test}(" in (HERE / "test_adapters.py").read_text(encoding="utf-8")
        assert f"\ntrl=={connection.version}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
        return
    tests = (HERE / "test_contracts.py").read_text(encoding="utf-8")
    body = tests.split(f"def {connection.test}(")[1].split("\ndef ")[0]
    name = re.findall(r'client\("(\w+)"', body)[0]
    assert PACKAGES[name][0].endswith(f"=={connection.version}")
    program = (HERE / "contracts" / f"{name}_client.py").read_text(encoding="utf-8")
    stubbed = {*re.findall(r'"([\w.]+)"', " ".join(re.findall(r"^stub\((.*)\)$", program, re.MULTILINE)))}
    stubbed |= {*re.findall(r"^sys\.modules\[\"([\w.]+)\"\]", program, re.MULTILINE)}
    assert stubbed == {*re.findall(r"`([\w.]+)`", connection.stubbed or "")}


def test_every_adapter_has_a_section_with_a_program_and_a_policy() -> None:
    adapters = {path.stem for path in (ROOT / "src" / "fathom" / "adapters").glob("*.py")}
    adapters -= {"__init__", "samples", "unscored"}
    assert adapters
    policies = PAGE.split("| trainer | default | what it does then |")[1].split("\n\n")[0]
    titles = {each.lower().replace("-", "_"): each for each in re.findall(r"^## (\S+)", PAGE, re.MULTILINE)}
    for name in adapters:
        source = (ROOT / "src" / "fathom" / "adapters" / f"{name}.py").read_text(encoding="utf-8")
        (default,) = set(re.findall(r'unscored(?:: Unscored = |", )"(\w+)"', source))
        title = titles[name.removesuffix("_steps")]
        assert re.search(rf"^\| {title}\b[^|]* \| {default} \|", policies, re.MULTILINE)
        assert f"fathom.adapters.{name}" in PAGE.split(f"\n## {title}")[1].split("\n## ")[0]


@pytest.mark.parametrize(("section", "name"), [("TRL", "reward"), ("slime", "reward"), ("OpenRLHF", "reward_func")])
def test_programs_that_need_no_trainer_define_what_the_trainer_loads(section: str, name: str) -> None:
    address = "http://localhost:8000/v1" if section == "OpenRLHF" else "http://127.0.0.1:8090"
    defined: dict[str, Any] = {}
    exec(program(section, address), defined)
    assert callable(defined[name])
