"""Plug-ins: a judge, probe or benchmark from a file, a module or another package works wherever a shipped one does."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fathom import bench, judges, probes
from fathom.errors import FathomError
from fathom.judging import as_trained
from fathom.lab.reproductions import REPRODUCTIONS
from fathom.plugins import Kind

LONGER = '''
"""Prefers the response that the model calls longer."""
from dataclasses import dataclass
from typing import ClassVar

import fathom


@dataclass(frozen=True, kw_only=True)
class Longer(fathom.Judge):
    pattern: ClassVar[str] = "pairwise"
    question: str = "Which is longer, A or B?"

    def ask(self, comparison):
        return [{"role": "user", "content": self.question}]

    def read(self, text, comparison, *, finished=True):
        if text not in ("A", "B"):
            return fathom.Vote(fathom.Status.MISSING, text=text)
        return fathom.Vote(fathom.Status.OK, winner="AB".index(text), text=text)


JUDGE = Longer
'''


@pytest.fixture
def longer(tmp_path: Path) -> Path:
    path = tmp_path / "longer.py"
    path.write_text(LONGER)
    return path


def test_a_file_is_a_judge_under_the_name_that_it_binds(longer: Path) -> None:
    judge = judges.find(str(longer))
    assert judge.__name__ == "Longer"
    assert judges.find(f"{longer}:Longer") is judge  # imported once


def test_settings_of_a_judge_in_a_file_are_checked_as_those_of_a_shipped_one(longer: Path, tmp_path: Path) -> None:
    assert as_trained(tmp_path, name=str(longer), question="Longest?").question == "Longest?"  # type: ignore[attr-defined]
    with pytest.raises(FathomError, match=r"has no volume; it has .*question"):
        as_trained(tmp_path, name=str(longer), volume=11)


def test_a_checkpoint_cannot_choose_which_code_runs(longer: Path, tmp_path: Path) -> None:
    (tmp_path / "fathom.json").write_text(json.dumps({"name": str(longer), "question": "Longest?"}))
    with pytest.raises(FathomError, match="code outside the installed packages; name it yourself"):
        as_trained(tmp_path)
    # Named by the user, it has the settings that the checkpoint was trained with.
    assert as_trained(tmp_path, name=str(longer)).question == "Longest?"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "nowhere.py", r"nowhere\.py: no such file"),
        ("import nothing_of_that_name", "bad.py", "cannot be imported: ModuleNotFoundError: No module named"),
        ("def (", "bad.py", r"cannot be imported: SyntaxError: .*bad\.py"),
        ("1 / 0", "bad.py", "cannot be imported: ZeroDivisionError"),
        ("JUDGE = 3", "bad.py", r"bad\.py' is 3, expected a subclass of fathom\.Judge"),
        ("x = 3", "bad.py", "does not bind the name JUDGE; bind it, or give .*:NAME"),
        ("x = 3", "bad.py:y", "does not bind the name y"),
        (None, "nothing_of_that_name:X", "cannot be imported: ModuleNotFoundError"),
        (None, "mixx", r"there is no judge 'mixx'; did you mean mix\?; there are: .*or give your own as FILE\.py"),
    ],
)
def test_what_is_no_judge_is_refused(content: str | None, name: str, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "bad.py").write_text(content)
    with pytest.raises(FathomError, match=message):
        judges.find(str(tmp_path / name) if name.partition(":")[0].endswith(".py") else name)


def test_a_file_that_was_mended_can_be_imported_again(tmp_path: Path) -> None:
    path = tmp_path / "judge.py"
    path.write_text("1 / 0")
    with pytest.raises(FathomError, match="ZeroDivisionError"):
        judges.find(str(path))
    path.write_text(LONGER)
    assert judges.find(str(path)).__name__ == "Longer"


def test_benchmarks_probes_and_reproductions_are_found_in_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("from fathom.bench.rm_bench import BENCHMARK\nfrom fathom.probes.length import PROBE\n")
    assert bench.find(str(path)) is bench.find("rm-bench") is bench.find("rm_bench")
    assert probes.find(str(path)) is probes.find("length") is probes.find("fathom.probes.length:PROBE")
    assert REPRODUCTIONS.find("mix-grm").__name__ == "fathom.lab.reproductions.mix_grm"
    with pytest.raises(FathomError, match=r"expected a fathom\.probes\.Probe"):
        probes.find(f"{path}:BENCHMARK")


def test_every_shipped_plugin_is_found_by_its_name() -> None:
    kinds = [judges.JUDGES, bench.BENCHMARKS, probes.PROBES, REPRODUCTIONS]
    names = [(kind, name) for kind in kinds for name in kind.names()]
    assert len(names) > 40
    for kind, name in names:
        assert kind.find(name) is not None


def test_an_entry_point_that_fails_is_an_error_that_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("broken", "nothing_of_that_name:X", "fathom.judges")
    monkeypatch.setattr(Kind, "_points", lambda self: (point,))
    with pytest.raises(FathomError, match=r"judge 'broken' of a package \(nothing_of_that_name:X\): No module named"):
        judges.find("broken")


def wheel(folder: Path) -> Path:
    """A third party's package `longer` with its judge, as a build backend would pack it."""
    info = "longer-1.0.dist-info"
    files = {
        "longer.py": LONGER,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: longer\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[fathom.judges]\nlonger = longer:JUDGE\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = folder / "longer-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, content)
    return path


def test_a_judge_of_an_installed_package_is_found_by_the_command_line(tmp_path: Path) -> None:
    target = tmp_path / "packages"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([*install, str(wheel(tmp_path))], check=True, capture_output=True)
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt": "?", "response_a": "long", "response_b": "l", "label": "A"}) + "\n")
    script = f"import sys; sys.path.append({str(target)!r}); from fathom.cli import main; main()"
    arguments = ["judge", str(pairs), "--model", "mini", "--judge", "longer", "--max-tokens", "1"]
    ran = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert len(json.loads(ran.stdout)["votes"]) == 2  # in both orders, as every judge of pairs
    arguments = ["judge", str(pairs), "--model", "mini", "--judge", "longest"]
    ran = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert "there is no judge 'longest'; did you mean longer?" in " ".join(ran.stderr.split())
