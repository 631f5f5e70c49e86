"""Plug-ins: a judge, probe or benchmark from a file, a module or another package works wherever a shipped one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fathom import bench, engines, judges, probes
from fathom.cli import app
from fathom.engines.opening import open_engine
from fathom.errors import FathomError
from fathom.judging import make_judge_for_checkpoint
from fathom.lab.reproductions import REPRODUCTIONS
from fathom.plugins import PluginKind
from fathom.settings import EngineSettings
from fathom.train import recipes

LONGER = '''
"""Prefers the response that the model calls longer."""
from dataclasses import dataclass
from typing import ClassVar

import fathom


@dataclass(frozen=True, kw_only=True)
class Longer(fathom.Judge):
    arity: ClassVar[str] = "pairwise"
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
    assert make_judge_for_checkpoint(tmp_path, name=str(longer), question="Longest?").question == "Longest?"  # type: ignore[attr-defined]
    with pytest.raises(FathomError, match=r"has no setting volume; expected .*question"):
        make_judge_for_checkpoint(tmp_path, name=str(longer), volume=11)


def test_a_checkpoint_cannot_choose_which_code_runs(longer: Path, tmp_path: Path) -> None:
    (tmp_path / "fathom.json").write_text(json.dumps({"name": str(longer), "question": "Longest?"}))
    with pytest.raises(
        FathomError,
        match="code outside the installed packages, which runs only if you choose it yourself, as with --judge",
    ):
        make_judge_for_checkpoint(tmp_path)
    # Named by the user, it has the settings that the checkpoint was trained with.
    assert make_judge_for_checkpoint(tmp_path, name=str(longer)).question == "Longest?"  # type: ignore[attr-defined]


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
        (
            None,
            "mixx",
            r"there is no judge 'mixx'; did you mean mix\?; expected one of: .*or give your own as FILE\.py",
        ),
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
    assert REPRODUCTIONS.find("mix-grm").name == "mix-grm"
    with pytest.raises(FathomError, match=r"expected a fathom\.probes\.Probe"):
        probes.find(f"{path}:BENCHMARK")


def test_every_shipped_plugin_is_found_by_its_name() -> None:
    kinds = [judges.JUDGES, bench.BENCHMARKS, probes.PROBES, REPRODUCTIONS, engines.ENGINES]
    names = [(kind, name) for kind in kinds for name in kind.names()]
    assert len(names) > 40
    for kind, name in names:
        assert kind.find(name) is not None


def test_an_entry_point_that_fails_is_an_error_that_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("broken", "nothing_of_that_name:X", "fathom.judges")
    monkeypatch.setattr(PluginKind, "points", lambda self: (point,))
    with pytest.raises(
        FathomError,
        match=r"judge 'broken' of a package \(nothing_of_that_name:X\): ModuleNotFoundError: No module named",
    ):
        judges.find("broken")


# Engines --------------------------------------------------------------------------------------------------------------

SHOUTING = '''
"""Says which response it prefers, loudly."""
import fathom


class Shouting(fathom.BaseEngine):
    def __init__(self, model: str = "none", volume: int = 1) -> None:
        self.identity = f"shouting:{model}:{volume}"

    async def complete(self, request):
        return fathom.Completion("Final verdict: [[A]]" + "!" * request.sampling.seed)


class Silent:
    identity = "silent"

    async def complete(self, request):
        return fathom.Completion("")


ENGINE = Shouting
NUMBER = 3
'''


@pytest.fixture
def shouting(tmp_path: Path) -> Path:
    path = tmp_path / "shouting.py"
    path.write_text(SHOUTING)
    return path


def test_an_engine_of_a_file_is_opened_with_model_and_options(shouting: Path) -> None:
    assert engines.open(str(shouting), "m", volume=3).identity == "shouting:m:3"
    settings = EngineSettings(engine=f"{shouting}:Shouting", options={"volume": 2})
    assert open_engine(settings).identity == "shouting:none:2"
    assert engines.open("fathom.engines.scripted:ScriptedEngine", "A").identity == "scripted"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("", {"volume": "loud"}, r"--engine-option volume='loud' of the engine .*must be a valid integer"),
        ("", {"pitch": 1}, r"unexpected keyword argument 'pitch'; it takes model, volume"),
        (":Silent", {}, "object of type Silent, which has no provides, report_calls_to, stop, close; derive its class"),
        (":NUMBER", {}, "is 3, expected an engine class or a function that returns one"),
        (":Nothing", {}, "does not bind the name Nothing"),
    ],
)
def test_what_is_no_engine_or_takes_no_such_setting_is_refused(
    name: str, options: dict[str, object], message: str, shouting: Path
) -> None:
    with pytest.raises(FathomError, match=message):
        open_engine(EngineSettings(engine=f"{shouting}{name}", options=options))


def test_an_engine_of_a_file_judges_on_the_command_line(shouting: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt": "?", "response_a": "long", "response_b": "l", "label": "A"}) + "\n")
    arguments = ["judge", str(pairs), "--engine", str(shouting), "--engine-option", "volume=2", "--seed", "2"]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["votes"][0]["text"] == "Final verdict: [[A]]!!"
    planned = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert planned.exit_code == 0, planned.output


# Recipes --------------------------------------------------------------------------------------------------------------


def test_recipes_are_found_by_name_file_and_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("model: mini\n")
    (tmp_path / "their_recipes.py").write_text(f"GOOD = {str(own)!r}\nBAD = {str(tmp_path / 'none.yaml')!r}\n")
    monkeypatch.syspath_prepend(tmp_path)
    points = [EntryPoint(name.lower(), f"their_recipes:{name}", "fathom.recipes") for name in ("GOOD", "BAD")]
    monkeypatch.setattr("fathom.plugins.entry_points", lambda group: points if group == "fathom.recipes" else [])
    assert recipes.path(own) == recipes.path("good") == own
    assert recipes.path("mini_sft").name == "mini_sft.yaml"
    with pytest.raises(FathomError, match=r"the recipe 'bad' \(their_recipes:BAD\) is '.*none\.yaml', expected a file"):
        recipes.path("bad")
    with pytest.raises(
        FathomError, match=r"no recipe 'mini-stf'; did you mean mini_sft .*expected one of: bad, .*good, .*mini_"
    ):
        recipes.path("mini-stf")
    with pytest.raises(FathomError, match=r"there is no chat template 'gema'; did you mean gemma\?"):
        recipes.chat_template("gema")


# Packages -------------------------------------------------------------------------------------------------------------

VERBS = '''
"""Takes long to import, and says so."""
import sys
from typing import Annotated

import typer

print("imported", file=sys.stderr)


def audit(name: Annotated[str, typer.Argument(help="Whom.")], loud: bool = False) -> None:
    """Looks a run over."""
    if name == "nobody":
        from fathom import FathomError
        raise FathomError("nobody is there")
    typer.echo(f"audited {name}{'!' if loud else ''}")


books = typer.Typer(help="Keeps the books.")


@books.command()
def close_all() -> None:
    """Closes them."""
    typer.echo("closed")
'''
ENTRY_POINTS = """
[fathom.judges]
longer = longer:JUDGE
[fathom.engines]
shouting = shouting:Shouting
[fathom.verbs]
audit = their_verbs:audit
books = their_verbs:books
broken = nothing_of_that_name:verb
number = shouting:NUMBER
judge = their_verbs:audit
"""


def wheel(folder: Path) -> Path:
    """A third party's package `longer` with its judge, engine and verbs, as a build backend would pack it."""
    info = "longer-1.0.dist-info"
    files = {
        "longer.py": LONGER,
        "shouting.py": SHOUTING,
        "their_verbs.py": VERBS,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: longer\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": ENTRY_POINTS,
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = folder / "longer-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed."""
    folder = tmp_path_factory.mktemp("third_party")
    target = folder / "packages"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([*install, str(wheel(folder))], check=True, capture_output=True)
    return target


def fathom(packages: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command line where the package is installed; white space is one blank."""
    script = f"import sys; sys.path.append({str(packages)!r}); from fathom.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    return ran.returncode, ran.stdout, " ".join(ran.stderr.split())


def test_a_judge_and_an_engine_of_an_installed_package_are_found_by_the_command_line(
    packages: Path, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt": "?", "response_a": "long", "response_b": "l", "label": "A"}) + "\n")
    code, out, err = fathom(packages, "judge", str(pairs), "--model", "m", "--judge", "longer", "--engine", "shouting")
    assert code == 0, err
    assert [vote["text"] for vote in json.loads(out)["votes"]] == ["Final verdict: [[A]]"] * 2  # in both orders
    _, _, err = fathom(packages, "judge", str(pairs), "--model", "m", "--judge", "longest")
    assert "there is no judge 'longest'; did you mean longer?" in err
    _, _, err = fathom(packages, "judge", str(pairs), "--model", "m", "--engine", "shuoting")
    assert "there is no engine 'shuoting'; did you mean shouting?" in err


def test_verbs_of_an_installed_package_are_listed_without_being_imported(packages: Path) -> None:
    code, out, err = fathom(packages, "--help")
    assert (code, err) == (0, "")
    listed = out.partition("Other packages")[2]
    assert all(name in listed for name in ("audit", "books", "broken", "number", "Of the package longer."))
    assert " judge " not in listed  # a verb of this package keeps its name


def test_verbs_of_an_installed_package_run(packages: Path) -> None:
    assert fathom(packages, "audit", "runs", "--loud") == (0, "audited runs!\n", "imported")
    assert fathom(packages, "books", "close-all") == (0, "closed\n", "imported")
    code, out, _ = fathom(packages, "audit", "--help")
    assert code == 0
    assert "Looks a run over." in out
    assert fathom(packages, "audit", "nobody") == (1, "", "imported fathom: nobody is there")
    code, _, err = fathom(packages, "broken")
    assert code == 1
    assert "the verb 'broken' of longer (nothing_of_that_name:verb): ModuleNotFoundError" in err
    code, _, err = fathom(packages, "number")
    assert (code, "is 3, expected a function or a typer.Typer" in err) == (1, True)
    code, _, err = fathom(packages, "audti")
    assert code == 2
    assert "there is no verb 'audti'; did you mean audit?" in err
