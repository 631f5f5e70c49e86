"""No verb loses a file: not what it reads, not what others made, not results of other settings.

The verbs, the options that name a file and the files that each verb writes are found, not listed: the options in the
verbs' signatures, the files by running each verb once. A new verb fails here until it has a command below.
"""

from __future__ import annotations

import inspect
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest
import typer
from typer.testing import CliRunner, Result

from asking import COMMANDS as ASKING
from asking import files, run, write_sources
from fathom import bench
from fathom.cli import app
from fathom.cli._verb import WRITTEN
from fathom.errors import FathomError, RunInterruptedError
from fathom.results.outputs import Outputs, claimed
from judged import row, swapped, written
from serving import chat
from test_bench import write_example

A = "Principle 1: Accuracy\nJudgment: Response A is right, Response B is not.\nVerdict: A\n\nFinal verdict: [[A]]"
NOWHERE = "http://127.0.0.1:9/v1"
"""No server: whoever asks it has not refused before."""
RECORDS = (".meta.json", "manifest.json", ".journal", ".sqlite", "-wal", "-shm", "card.json", "card.md", "card.html")
"""Ends of the names of files that hold a time, or come in another order, and so differ after the same command."""

Command = Callable[[Path, str], list[str]]


def at(url: str) -> list[str]:
    return ["--model", "judge-7b", "--base-url", url]


DERIVING: dict[str, Command] = {
    "score": lambda folder, _: ["score", f"{folder}/a.jsonl", "--json", f"{folder}/out/s.json"],
    "compare": lambda folder, _: [
        *("compare", f"{folder}/a.jsonl", f"{folder}/b.jsonl"),
        *("--out", f"{folder}/out/c.jsonl", "--json", f"{folder}/out/c.json"),
    ],
    "view": lambda folder, _: ["view", f"{folder}/a.jsonl", "--out", f"{folder}/out/v.html"],
    "report": lambda folder, _: ["report", f"{folder}/a.jsonl", f"{folder}/b.jsonl", "--out", f"{folder}/out/r.html"],
    "best": lambda folder, _: ["best", f"{folder}/a.jsonl", "--out", f"{folder}/out/best.jsonl"],
    "export": lambda folder, _: ["export", f"{folder}/a.jsonl", "--out", f"{folder}/out/e.jsonl"],
    "transcripts": lambda folder, _: [
        *("transcripts", f"{folder}/told.jsonl", "--source", f"{folder}/pairs.jsonl", "--judge", "rewardbench"),
        *("--on-error", "skip", "--out", f"{folder}/out/t.jsonl"),
    ],
    "panel": lambda folder, _: ["panel", f"{folder}/a.jsonl", f"{folder}/b.jsonl", "--out", f"{folder}/out/p.jsonl"],
    "steps": lambda folder, _: ["steps", f"{folder}/pairs.jsonl", "--out", f"{folder}/out/steps.jsonl"],
}
"""Verbs that make something of results, for nothing."""
COMMANDS: dict[str, Command] = {
    **{verb: lambda folder, url, make=make: _skipping(make(folder, url)) for verb, make in ASKING.items()},
    **DERIVING,
    "label": lambda folder, _: [
        *("label", f"{folder}/solutions.jsonl", "--method", "fover", "--on-error", "skip"),
        *("--fail-on", "never", "--out", f"{folder}/out/labels"),
    ],
    "plan": lambda folder, url: ["plan", f"{folder}/pairs.jsonl", *at(url), "--out", f"{folder}/out/batch"],
    "gather": lambda folder, url: [
        *("gather", f"{folder}/pairs.jsonl", "--results", f"{folder}/results.jsonl", *at(url)),
        *("--fail-on", "never", "--out", f"{folder}/out/g.jsonl"),
    ],
    "synth verifier": lambda folder, _: [
        *("synth", f"{folder}/solutions.jsonl", "--arm", "verifier", "--out", f"{folder}/out/verifier"),
        *("--on-error", "skip"),
    ],
}
TRAINING = {
    f"train {kind}" for kind in ("sft", "rlvr", "meta", "reward", "process", "genarm", "implicit", "slot", "activation")
}
TRAINING |= {"merge"}
"""Verbs that write weights; the tests of each cover them."""
SERVING = {"serve"}
"""Verbs that run until they are stopped, and write a journal only; tests/test_serve*.py cover them."""
LONG = {"demo", "reproduce"}
READING = {"runs"}
"""Verbs that write nothing."""


def _skipping(command: list[str]) -> list[str]:
    """With a row that is skipped, so that what a verb writes of such rows is drilled, too."""
    if command[0] == "eval":
        return command
    verb, source, *more = command
    bad = Path(source).with_name(f"bad-{Path(source).name}")
    exit_code = [] if verb == "compare-engines" else ["--fail-on", "never"]
    return [verb, f"{bad}", "--on-error", "skip", *exit_code, *more]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepared(tmp_path)


def prepared(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    write_sources(folder)
    for name in ("pairs", "lists"):
        (folder / f"bad-{name}.jsonl").write_text((folder / f"{name}.jsonl").read_text() + "not JSON\n")
    solutions = [
        {"id": f"s{n}", "prompt": "2 + 2?", "responses": ["It is 4. So 4."], "reference": "4", "scores": [n]}
        for n in (0, 1)
    ]
    (folder / "solutions.jsonl").write_text("".join(json.dumps(each) + "\n" for each in solutions) + "not JSON\n")
    (folder / "results.jsonl").write_text('{"custom_id": "1", "error": "expired"}\n')
    (folder / "told.jsonl").write_text('{"id": "p0", "text": "[[A]]"}\n')
    for name in ("a", "b"):
        written(folder / f"{name}.jsonl", [row(swapped([0, 1]), id=f"p{n}", prompt=f"Task {n}") for n in range(3)])
    return folder


# What there is --------------------------------------------------------------------------------------------------------


def verbs(of: typer.Typer = app, before: str = "") -> Iterator[tuple[str, Callable[..., None]]]:
    for each in of.registered_commands:
        assert each.callback is not None
        yield f"{before}{each.name or each.callback.__name__.replace('_', '-')}", each.callback
    for group in of.registered_groups:
        assert group.typer_instance is not None
        yield from verbs(group.typer_instance, f"{before}{group.name} ")


VERBS = dict(verbs())


def kinds(hint: Any) -> set[Any]:
    """The plain types in a hint."""
    if get_origin(hint) is Annotated:
        return kinds(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType, list):
        return set().union(*map(kinds, get_args(hint)))
    return {hint}


def parameters(verb: str, kind: type) -> set[str]:
    """The options and arguments of a verb that take paths, or texts."""
    command = VERBS[verb]
    hints = get_type_hints(command)
    return {name for name in inspect.signature(command).parameters if kind in kinds(hints[name]) - {NoneType}}


def given(name: str, path: Path) -> list[list[str]]:
    """The ways in which an option can name a file that is read."""
    texts: dict[str, list[list[str]]] = {
        "model": [["--model", f"{path}"]],
        "judge": [["--judge", f"{path}"], ["--judge", f"{path}:Polite"]],
        "judge_option": [["--judge", "rewardbench", "--judge-option", f"template={path}"]],
        "engine_option": [["--engine-option", f"api_key_file={path}"]],
        "probe": [["--probe", f"{path}"]],
    }
    return texts.get(name, [[f"--{name.replace('_', '-')}", f"{path}"]])


POSITIONAL = {"file": 1, "run": 1, "path": 1, "names": 1}
"""Arguments, and where they stand in the commands."""
NAMES_A_FILE = {
    *POSITIONAL,
    "model",
    "judge",
    "judge_option",
    "engine_option",
    "engine",
    "probe",
    "recipe",
    "overrides",
    "source",
    "benchmark",
    "models",
    "checker",
}
NAMES_NONE = {
    *("style", "prompt", "rubric", "votes", "vote_error", "keep", "max_votes", "map", "base_url", "device", "dtype"),
    *("method", "method_option", "instruction", "layers", "curve", "annotator"),
    *("authors", "own", "arm", "fail_on", "name", "seeds", "aggregate", "host", "ray_address"),
}
CODE = {"judge", "probe", "names", "benchmark", "checker"}
"""Options that can name a file of Python."""
READ_FIRST = {**dict.fromkeys(CODE, ("there is no ", "cannot be imported")), "config": ("unknown key",)}
"""What is said of results in the place of files that are read before anything is claimed."""


def test_every_verb_is_drilled() -> None:
    drilled = {verb for verb in COMMANDS if verb in VERBS} | TRAINING | SERVING | LONG | READING
    assert drilled == set(VERBS), "a new verb needs a command in this file"
    assert all(parameters(verb, Path) & WRITTEN == set() for verb in READING)


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_with_a_text_says_whether_it_can_name_a_file(verb: str) -> None:
    unknown = parameters(verb, str) - parameters(verb, Path) - NAMES_A_FILE - NAMES_NONE
    assert unknown == set(), "add it to NAMES_A_FILE or NAMES_NONE in this file"


# The drill ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """For every command the files that it writes, by their paths below the folder, with their content."""
    found = {}
    for verb, command in COMMANDS.items():
        folder = prepared(tmp_path_factory.mktemp(verb.replace(" ", "-")))
        before = files(folder)
        _, [result] = run(lambda _: chat(A), lambda url, c=command, f=folder: c(f, url))  # type: ignore[misc]
        assert result.exit_code in (0, 1, 3), result.output
        assert (folder / "out").is_dir(), f"{verb}: {result.output} {result.exception}"
        found[verb] = {name: content for name, content in files(folder).items() if content and name not in before}
        assert found[verb], f"{verb} wrote nothing: {result.output}"
        assert [name for name in found[verb] if name.rpartition("/")[2].startswith(".")] == [], "no lock, no half file"
    return found


def test_a_skipped_row_is_among_what_is_written(results: dict[str, dict[str, bytes]]) -> None:
    assert "out/v.jsonl.skipped.jsonl" in results["judge"]
    assert "out/synth/skipped.jsonl" in results["synth"]


def refused(result: Result, *said: str) -> None:
    assert isinstance(result.exception, FathomError), f"{result.output} {result.exception!r}"
    message = str(result.exception)
    assert any(each in message for each in said), message


def spelled(path: Path, number: int) -> Path:
    """Another name of the same file: as it is, relative, through a link to its folder, a symbolic and a hard link."""
    other = path.parent.parent / f"name-{number}{path.suffix}"
    match number % 5:
        case 0:
            return path
        case 1:
            return Path(os.path.relpath(path))
        case 2:
            other.symlink_to(path)
        case 3:
            other.hardlink_to(path)
        case _:
            other.symlink_to(path.parent)
            return other / path.name
    return other


@pytest.mark.parametrize("verb", COMMANDS)
def test_no_verb_writes_a_file_that_it_reads(
    verb: str, results: dict[str, dict[str, bytes]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    base = COMMANDS[verb](folder, NOWHERE)
    command = base[0]
    read = (parameters(command, Path) - WRITTEN | parameters(command, str) & NAMES_A_FILE) - {"data"}
    read -= {"engine"} if command != "compare-engines" else set()
    assert read
    tried = 0
    for name in sorted(read):
        for target in results[verb]:
            tried += 1
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b'{"id": "1"}\n')
            spelling = spelled(path, tried)
            for more in given(name, spelling):
                arguments = [*base, *more, "--force"]
                if name in POSITIONAL:
                    arguments = [*base, "--force"]
                    arguments[POSITIONAL[name]] = f"{spelling}"
                if name == "engine":  # takes a text with settings in it, of which one can name a file
                    arguments = [*base[:-1], f"{base[-1]} api_key_file={spelling}", "--force"]
                before = files(folder)
                result = CliRunner().invoke(app, arguments)
                # Code and settings are read before: no such file is named as outputs are.
                refused(result, "is the same file as", *READ_FIRST.get(name, ()))
                assert files(folder) == before
            shutil.rmtree(folder / "out")
            for link in folder.glob("name-*"):
                link.unlink()
    assert tried == len(read) * len(results[verb])


def test_a_benchmark_is_not_overwritten_by_its_results(folder: Path) -> None:
    data = write_example(bench.find("reference_answers"), folder / "data") / "solutions.jsonl"
    (folder / "out").mkdir()
    data.rename(folder / "out" / "reference_answers.jsonl")
    data.symlink_to(folder / "out" / "reference_answers.jsonl")
    before = files(folder)
    options = ["--model", "m", "--base-url", NOWHERE, "--data", f"{folder}/data", "--out", f"{folder}/out", "--force"]
    refused(CliRunner().invoke(app, ["eval", "reference_answers", *options]), "which is read as --data")
    assert files(folder) == before


@pytest.mark.parametrize("verb", ASKING)
def test_nothing_is_written_into_a_model_that_is_read(verb: str, folder: Path) -> None:
    arguments = ASKING[verb](folder, NOWHERE)
    out = Path(arguments[arguments.index("--out") + 1])
    model = out if out.suffix == "" else out.parent
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    before = files(folder)
    refused(CliRunner().invoke(app, [*arguments, "--model", f"{model}", "--force"]), "which is read as --model")
    assert files(folder) == before


@pytest.mark.parametrize("verb", COMMANDS)
def test_no_file_of_others_is_replaced_unless_forced(
    verb: str, results: dict[str, dict[str, bytes]], folder: Path
) -> None:
    arguments = COMMANDS[verb](folder, NOWHERE)
    for target in results[verb]:
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine\n")
        before = files(folder)
        refused(CliRunner().invoke(app, arguments), "shows that Fathom wrote it", "as a journal")
        assert files(folder) == before, target
        path.unlink()


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_result_that_was_edited_is_kept_unless_forced(verb: str, folder: Path) -> None:
    def command(url: str) -> list[str]:
        return COMMANDS[verb](folder, url)

    def edited(url: str) -> list[str]:
        results = [path for path in sorted((folder / "out").rglob("*")) if path.is_file()]
        chosen = next(path for path in results if not path.name.endswith(RECORDS))
        with chosen.open("a") as file:
            file.write("a note of mine\n")
        content.append((chosen, chosen.read_bytes()))
        return command(url)

    content: list[tuple[Path, bytes]] = []
    _, [_, kept] = run(lambda _: chat(A), command, edited)
    refused(kept, "has changed since Fathom wrote it", "hash in its last line shows that Fathom wrote it")
    [(path, before)] = content
    assert path.read_bytes() == before
    _, [forced] = run(lambda _: chat(A), lambda url: [*command(url), "--force"])
    assert not isinstance(forced.exception, FathomError), forced.exception
    assert b"a note of mine" not in path.read_bytes()


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_same_command_again_asks_nothing_and_gives_the_same_bytes(verb: str, folder: Path) -> None:
    contents: list[dict[str, bytes]] = []

    def command(url: str) -> list[str]:
        contents.append(files(folder))
        return COMMANDS[verb](folder, url)

    once, _ = run(lambda _: chat(A), lambda url: COMMANDS[verb](prepared(folder / "other"), url))
    twice, [first, again] = run(lambda _: chat(A), command, command)
    assert (again.exit_code, str(again.exception)) == (first.exit_code, str(first.exception))
    assert len(twice.calls) == len(once.calls)
    before, after = contents[1], files(folder)
    results = [name for name in before if name not in contents[0] and not name.endswith(RECORDS)]
    assert results
    assert {name: after.get(name) for name in results} == {name: before[name] for name in results}


@pytest.mark.parametrize("verb", ASKING)
def test_results_of_other_settings_are_kept_unless_forced(verb: str, folder: Path) -> None:
    contents: list[dict[str, bytes]] = []

    def command(url: str, *more: str) -> list[str]:
        contents.append(files(folder))
        return [*COMMANDS[verb](folder, url), *more]

    _, [_, other, forced] = run(
        lambda _: chat(A),
        command,
        lambda url: command(url, "--seed", "7"),
        lambda url: command(url, "--seed", "7", "--force"),
    )
    refused(other, "contains results of other settings: --seed was 0 and is 7; give another --out, or --force")
    assert contents[2] == contents[1]
    assert not isinstance(forced.exception, FathomError), forced.exception


# Who else writes, and where nothing can be written --------------------------------------------------------------------


def target(arguments: Sequence[str]) -> Path:
    """What --out names, or else --json."""
    return Path(arguments[arguments.index("--out" if "--out" in arguments else "--json") + 1])


@pytest.mark.parametrize("verb", COMMANDS)
def test_what_another_process_writes_is_refused(verb: str, folder: Path) -> None:
    arguments = COMMANDS[verb](folder, NOWHERE)
    out = target(arguments)
    out = out / {"eval": "judgebench.jsonl", "probe": "rows.jsonl"}.get(verb, "")
    others = Outputs("--out", out, (), out.parent / "record", is_folder=out.suffix == "")
    with claimed(others, verb="another", settings={}, reads={}):
        before = files(folder)
        refused(CliRunner().invoke(app, [*arguments, "--force"]), f"is being written by process {os.getpid()} on ")
        assert files(folder) == before


@pytest.mark.parametrize("verb", COMMANDS)
def test_an_output_of_the_wrong_kind_is_refused(verb: str, folder: Path) -> None:
    arguments = COMMANDS[verb](folder, NOWHERE)
    out = target(arguments)
    if out.suffix:
        (out / "mine").mkdir(parents=True)
    else:
        out.parent.mkdir()
        out.write_text("mine")
    before = files(folder)
    refused(CliRunner().invoke(app, [*arguments, "--force"]), "expected a folder", "expected a file", "is not a folder")
    assert files(folder) == before


@pytest.mark.parametrize("verb", COMMANDS)
def test_an_output_that_cannot_be_written_is_refused_and_leaves_no_trace(verb: str, folder: Path) -> None:
    arguments = COMMANDS[verb](folder, NOWHERE)
    option = "--out" if "--out" in arguments else "--json"
    before = files(folder)
    for impossible in (f"{folder}/a.jsonl/new/x.jsonl", f"{folder}/{'x' * 300}.jsonl", "/proc/new/x.jsonl"):
        arguments[arguments.index(option) + 1] = impossible
        refused(CliRunner().invoke(app, [*arguments, "--force"]), "cannot be written", "is not a folder")
        assert files(folder) == before


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """`command`, in which FATHOM stands for the program, run by a shell in the folder."""
    whole = command.replace("FATHOM", f"{shlex.quote(sys.executable)} -m fathom")
    return subprocess.run(whole, shell=True, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(f"FATHOM judge - --model m --base-url {NOWHERE} --out pairs.jsonl < pairs.jsonl", id="stdin"),
        pytest.param(
            f"FATHOM judge /dev/stdin --model m --base-url {NOWHERE} --out pairs.jsonl < pairs.jsonl", id="dev"
        ),
        pytest.param(f"FATHOM judge pairs.jsonl --model m --base-url {NOWHERE} >> pairs.jsonl", id="stdout"),
        pytest.param("FATHOM score a.jsonl >> a.jsonl", id="figures"),
        pytest.param("FATHOM score a.jsonl 2>> a.jsonl", id="messages"),
    ],
)
def test_a_redirection_into_what_is_read_is_refused(command: str, folder: Path) -> None:
    before = files(folder)
    done = shell(folder, command)
    assert done.returncode == 1, done.stderr
    assert "which is read as" in done.stderr or "messages" in command or command.endswith("2>> a.jsonl")
    after = files(folder)
    if "2>>" in command:  # the message itself goes there, as the shell was told
        assert after.pop("a.jsonl").startswith(before.pop("a.jsonl"))
    assert after == before


def test_what_is_no_file_is_written_to_and_has_nothing_beside_it(folder: Path) -> None:
    before = files(folder)
    devices = ("/dev/null", "/dev/full")  # of which one has no end, where it is read
    _, [null, full] = run(
        lambda _: chat(A),
        *(lambda url, device=device: [*ASKING["judge"](folder, url)[:-1], device] for device in devices),
    )
    assert null.exit_code == 0, null.output
    refused(full, "cannot write /dev/full: [Errno 28] No space left on device")
    assert files(folder) == before
    beside = [f"{device}.{suffix}" for device in devices for suffix in ("meta.json", "journal", "skipped.jsonl")]
    assert [path for path in beside if Path(path).exists()] == []


# Folders of models and experiments ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trl() -> None:
    pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')


SFT_ROW = {"prompt": [{"role": "user", "content": "2 + 2?"}], "completion": [{"role": "assistant", "content": "4"}]}


def train(folder: Path, *more: str) -> Result:
    """A training run that is only looked at: what would be replaced is refused all the same."""
    (folder / "sft.jsonl").write_text(json.dumps(SFT_ROW) + "\n")
    arguments = ["train", "sft", "mini_sft", f"data={folder}/sft.jsonl", f"output={folder}/model", *more]
    return CliRunner().invoke(app, [*arguments, "--dry-run"])


@pytest.mark.usefixtures("trl")
def test_a_model_is_not_trained_into_a_folder_of_others(folder: Path) -> None:
    assert train(folder).exit_code == 0
    (folder / "model").mkdir()
    assert train(folder).exit_code == 0, "an empty folder holds nothing"
    (folder / "model" / "recipe.yaml").write_text("# mine\nmodel: mini\n")
    before = files(folder)
    refused(train(folder), "contains recipe.yaml, not written by a training run")
    refused(train(folder, "--resume"), "contains recipe.yaml, not written by a training run")
    assert files(folder) == before


@pytest.mark.usefixtures("trl")
def test_a_model_is_replaced_by_the_same_recipe_on_the_same_data_alone(folder: Path) -> None:
    from fathom.train import recipes, trainers
    from fathom.train.recipe import SFTRecipe, load

    train(folder)
    given = [f"data={folder}/sft.jsonl", f"output={folder}/model"]
    trainers.write_start(load(recipes.path("mini_sft"), SFTRecipe, given))
    assert train(folder).exit_code == 0
    refused(train(folder, "seed=1"), "contains a model of another recipe")
    assert train(folder, "seed=1", "--resume").exit_code == 0
    with (folder / "sft.jsonl").open("a") as file:
        file.write(json.dumps(SFT_ROW) + "\n")
    with pytest.raises(FathomError, match="contains a model trained on other data"):
        trainers.start(load(recipes.path("mini_sft"), SFTRecipe, given), resume=False)


@pytest.mark.usefixtures("trl")
def test_a_model_is_not_trained_onto_itself(folder: Path) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    refused(train(folder, f"model={folder}/model"), "which is read as model=")


@pytest.mark.parametrize("verb", sorted(LONG))
def test_an_experiment_is_not_written_into_a_folder_of_others(verb: str, folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "notes.md").write_text("mine")
    before = files(folder)
    arguments = [verb, *(["mix-grm"] if verb == "reproduce" else []), "--out", f"{folder}/out"]
    refused(CliRunner().invoke(app, arguments), "contains notes.md, and no manifest.json shows that Fathom wrote it")
    assert files(folder) == before


def test_an_interrupted_experiment_goes_on_and_its_edited_page_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reproduce(experiment: object, out: Path, seeds: Sequence[int]) -> Iterator[str]:
        (out / "page.md").write_text("made")
        yield "one"
        raise KeyboardInterrupt

    monkeypatch.setattr("fathom.lab.experiments.running.reproduce", reproduce)
    arguments = ["reproduce", "mix-grm", "--out", f"{folder}/out"]
    for _ in range(2):
        assert isinstance(CliRunner().invoke(app, arguments).exception, RunInterruptedError)
    refused(CliRunner().invoke(app, ["demo", "--out", f"{folder}/out"]), "contains results of fathom reproduce")
    (folder / "out" / "page.md").write_text("mine")
    refused(CliRunner().invoke(app, arguments), "page.md has changed since Fathom wrote it")
    assert (folder / "out" / "page.md").read_text() == "mine"


def test_a_file_of_settings_is_not_overwritten_by_results(folder: Path) -> None:
    config = folder / "run.yaml"
    config.write_text("engine: {model: mini}\n")
    options = ["judge", f"{folder}/pairs.jsonl", "--config", f"{config}", "--out", f"{config}", "--force"]
    (folder / "pairs.jsonl").write_text('{"prompt": "a", "responses": ["b", "c"]}\n')
    refused(CliRunner().invoke(app, options), "which is read as --config")
    assert config.read_text() == "engine: {model: mini}\n"
