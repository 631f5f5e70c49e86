"""`fathom transcripts FILE`: reads verdicts from completions that another tool recorded, and scores them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fathom.cli._options import Out, with_settings
from fathom.cli._verb import Force, claim, file_outputs
from fathom.errors import FathomError
from fathom.settings import JudgeSettings

if TYPE_CHECKING:
    from fathom.bench import Benchmark
    from fathom.data.records import Comparison
    from fathom.judging.transcripts import Fields, Transcript, TranscriptReader
    from fathom.metrics.verdicts import Tally
    from fathom.results.rows import VerdictRow


@with_settings
def command(
    file: Annotated[str, typer.Argument(help="The recorded texts, in any file format that Fathom reads.")],
    settings: JudgeSettings,
    source: Annotated[
        str | None,
        typer.Option(help="The comparisons that were judged, matched by id. Default: the columns of FILE itself."),
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="The benchmark that was judged; shows its official score.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="(benchmark) Folder with its files, or with a subfolder of its name.")
    ] = None,
    shown: Annotated[
        Literal["source", "swapped", "both", "each"] | None,
        typer.Option(
            help="The order in which responses were shown, if rows do not state it: as in the source, swapped, both "
            "alternately, or each response separately."
        ),
    ] = None,
    map: Annotated[
        list[str], typer.Option(help="FIELD=COLUMN, or FIELD=a.b.c, for id, text, order and finish_reason.")
    ] = [],  # noqa: B006
    on_error: Annotated[
        Literal["stop", "skip"], typer.Option(help="Stop at an id that is not in the source, or skip it.")
    ] = "stop",
    out: Out = None,
    force: Force = False,
) -> None:
    """Parse verdicts from a judge's recorded texts, and compute a benchmark's official score.

        fathom transcripts outputs.jsonl --judge arena_hard --source pairs.jsonl --out verdicts.jsonl
        fathom transcripts o1-mini.jsonl --judge arena_hard --benchmark judgebench --out o1-mini-rows.jsonl

    No model is called: the judge's parser reads the recorded texts. A row has an id and a text, or a list of texts;
    batch files of providers and the outputs of JudgeBench are recognized. The rows can be scored, compared, exported
    and viewed like those of `fathom judge`. With --benchmark, texts are parsed by the judge's published rule only,
    unless --judge-option as_published=false. docs/eval.md shows the layouts.
    """
    from fathom.cli._derived import describe
    from fathom.data.sources import open_data_source
    from fathom.judges import as_judge
    from fathom.judging import make_judge_for_checkpoint
    from fathom.judging.choice import described
    from fathom.judging.transcripts import TranscriptReader, read_transcripts
    from fathom.metrics.verdicts import summary, tally
    from fathom.settings import flatten_settings

    if out:
        claim(file_outputs("--out", out), costly=False)
    _check(settings, source, benchmark, data)
    arguments, found = settings.arguments, _benchmark(benchmark)
    model = make_judge_for_checkpoint(None, **arguments)
    if found and "as_published" not in arguments and any(each.name == "as_published" for each in fields(model)):
        # An official score counts what its authors' rule finds.
        model = make_judge_for_checkpoint(None, **arguments, as_published=True)
    judge = as_judge(model, "reading transcripts")
    transcripts = list(read_transcripts(open_data_source(file).rows(), _fields(map), name=file))
    reader = TranscriptReader(
        judge,
        _comparisons(transcripts, source, found, data),
        shown,
        otherwise=found.of_transcript if found else None,
        skip=on_error == "skip",
    )
    rows = list(reader.rows(transcripts))
    _write(rows, out)
    tallies = tally(rows)
    _show(rows, tallies, found, reader)
    if out:
        config = {"file": file, "source": source, "benchmark": benchmark, "shown": shown, "map": map}
        inputs = [Path(each) for each in (file, source) if each and Path(each).exists()]
        describe(
            out,
            flatten_settings(settings) | config | {"judge": described(judge, settings.judge)},
            inputs,
            summary(tallies),
        )


def _check(settings: JudgeSettings, source: str | None, benchmark: str | None, data: Path | None) -> None:
    if settings.judge is None:
        raise FathomError("--judge is missing; expected the judge that wrote the texts (see docs/judges.md)")
    if source and benchmark:
        raise FathomError(f"--source {source} and --benchmark {benchmark} both give the comparisons; give one of them")
    if data and not benchmark:
        raise FathomError(f"--data {data} has no effect without --benchmark NAME; give both or neither")


def _benchmark(name: str | None) -> Benchmark | None:
    from fathom import bench

    return bench.find(name) if name else None


def _fields(given: Sequence[str]) -> Fields:
    from fathom.judging.transcripts import Fields

    known = [field.name for field in fields(Fields)]
    columns = {}
    for argument in given:
        name, equals, column = argument.partition("=")
        if not equals or name not in known:
            raise FathomError(f"--map {argument}: expected FIELD=COLUMN, with a field of {', '.join(known)}")
        columns[name] = column
    return Fields(**columns)


def _comparisons(
    transcripts: Sequence[Transcript], source: str | None, benchmark: Benchmark | None, data: Path | None
) -> Mapping[str, Comparison]:
    """The judged comparisons by id, from the benchmark, the source, or else the transcripts themselves."""
    from fathom.bench.hub import folder
    from fathom.data.reading import read

    if benchmark:
        told_by_rows = data is None and benchmark.of_transcript is not None
        return {} if told_by_rows else {each.id: each for each in benchmark.load(folder(benchmark, data))}
    if source:
        return {each.id: each for each in read(source)}
    own = list(read([transcript.judged for transcript in transcripts]))
    if len(own) != len(transcripts):
        raise FathomError(
            f"{len(transcripts)} transcripts contain {len(own)} comparisons, expected one in each; give the "
            "comparisons with --source"
        )
    return {transcript.id: each for transcript, each in zip(transcripts, own, strict=True)}


def _write(rows: Sequence[VerdictRow], out: Path | None) -> None:
    from fathom.data.atomic import atomic_write
    from fathom.results.rows import write_row

    with atomic_write(out) if out else nullcontext(sys.stdout.buffer) as sink:
        for row in rows:
            write_row(sink, row)


def _show(
    rows: Sequence[VerdictRow],
    tallies: Mapping[str, Tally],
    benchmark: Benchmark | None,
    reader: TranscriptReader,
) -> None:
    from rich.console import Console

    from fathom.cli._figures import VERDICTS, table
    from fathom.cli.score import official

    console = Console(stderr=True)
    console.print(table("verdicts", tallies, VERDICTS))
    if benchmark:
        score = benchmark.score(rows)
        console.print(official(benchmark.title, score))
        for name, figure in list(score.figures.items())[:1]:  # as tables of papers have it
            typer.echo(f"{benchmark.title}, {name}: {100 * figure.mean:.2f} %", err=True)
    summary = f"{len(rows)} comparisons read; {reader.missing} of the source have no transcript"
    if reader.left_out:
        summary += f"; left out: {len(reader.left_out)} ids that are not in the source, such as {reader.left_out[0]!r}"
    typer.echo(summary, err=True)
    if reader.assumed:
        typer.echo(f"no order is stated for {reader.assumed} texts; assumed the order of the source", err=True)
