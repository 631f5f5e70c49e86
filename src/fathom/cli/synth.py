"""`fathom synth FILE`: training rationales, made of a teacher's judgements."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fathom.cli._verb import Force, claim, folder_outputs
from fathom.engines import ENGINES
from fathom.errors import FathomError


def command(
    file: Annotated[str, typer.Argument(help="JSONL, JSON, Parquet or a datasets folder of any layout; - for stdin.")],
    out: Annotated[Path, typer.Option(help="The folder for training sets, manifest and journal.")],
    engine: Annotated[str, typer.Option(help=f"What runs the teacher: {', '.join(ENGINES)}.")] = "local",
    model: Annotated[str | None, typer.Option(help="The teacher: a checkpoint's folder or a name.")] = None,
    arm: Annotated[
        list[str],
        typer.Option(
            help="mix, breadth, depth or vanilla; several may be given, and share the teacher's samples. Or verifier."
        ),
    ] = ["mix"],  # noqa: B006
    samples: Annotated[int, typer.Option(min=1, help="Vanilla rationales a comparison.")] = 2,
    keep: Annotated[int, typer.Option(min=1, help="Most principles of a breadth rationale.")] = 10,
    standardise: Annotated[
        Literal["auto", "llm"], typer.Option(help="auto asks the teacher only where no principles can be read.")
    ] = "auto",
    merge: Annotated[
        Literal["similarity", "llm"], typer.Option(help="What joins principles that mean the same.")
    ] = "similarity",
    filter: Annotated[
        Literal["none", "consistent"], typer.Option(help="consistent drops rationales whose verdict is not the label.")
    ] = "none",
    domain: Annotated[
        Literal["preference", "correctness"] | None, typer.Option(help="Of comparisons that name none.")
    ] = None,
    map: Annotated[list[str], typer.Option(help="FIELD=COLUMN, where a column's name does not say it.")] = [],  # noqa: B006
    on_error: Annotated[Literal["stop", "skip"], typer.Option(help="What a row that cannot be read does.")] = "stop",
    limit: Annotated[int | None, typer.Option(min=1, help="Use this many rows at most.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Of the teacher, in every step.")] = 0.8,
    max_tokens: Annotated[int, typer.Option(min=1, help="The teacher's longest answer.")] = 4096,
    seed: Annotated[int, typer.Option(help="Of the random draws, and of the order of chosen and rejected.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Most requests in flight.")] = 64,
    truncated: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.9, help="(verifier) Share of first sentences of right solutions, as wrong ones. Default: 0."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Make training rationales: breadth for preference, depth for correctness.

        fathom synth pairs.jsonl --model ./teacher --out synthesised

    A teacher judges each comparison a few times. Breadth merges what it wrote; depth judges anew against the teacher's
    own solution. OUT gets ARM.jsonl (TRL prompt-completion rows), rejected.jsonl (texts and reasons) and manifest.json
    (counts, tokens, the teacher's accuracy after every stage); with --on-error skip also skipped.jsonl.

    Every finished completion is kept in OUT/journal.sqlite. To go on after an interruption, give the same command
    again.

    The arm verifier asks no teacher: it makes YES and NO of responses with a reference answer and scores of 1 and 0. It
    stands alone.

        fathom synth solutions.jsonl --arm verifier --truncated 0.11 --out verifier
    """
    given = dict(locals()) | {"truncated": truncated or 0.0}
    if set(arm) == {"verifier"}:
        return _verifier(given)
    if "verifier" in arm:
        raise FathomError(
            "the arm verifier stands alone, as it asks no teacher; make it and the other arms in two calls, each with "
            "an --out of its own"
        )
    if truncated is not None:
        raise FathomError(f"--truncated {truncated} goes with --arm verifier alone, and changes nothing without it")
    from fathom import engines, synth
    from fathom.checkpoints import located
    from fathom.cli._journalled import made
    from fathom.cli._skipped import report
    from fathom.engines import Sampling
    from fathom.provenance import provenance
    from fathom.reading import as_mapping, read

    settings = synth.Settings(
        arms=tuple(dict.fromkeys(arm)),  # type: ignore[arg-type]
        samples=samples,
        keep=keep,
        standardise=standardise,
        merge=merge,
        filter=filter,
        domain=domain,
        sampling=Sampling(temperature=temperature, max_tokens=max_tokens, seed=seed),
        concurrency=concurrency,
    )
    sets = (f"{name}.jsonl" for name in (*settings.arms, "rejected", "skipped"))
    claimed = claim(folder_outputs("--out", out, *sets, journal="journal.sqlite"))
    source = read(file, mapping=as_mapping(map), seed=seed, on_error=on_error, limit=limit)
    comparisons = synth.ready(source, settings)
    teacher = engines.open(engine, model and located(model))
    claimed.settle(engine=teacher.identity)
    each = partial(synth.each, comparisons, settings=settings)
    rows = made(
        "comparisons synthesised", len(comparisons), teacher, out / "journal.sqlite", each, readable=lambda _: True
    )
    result = synth.Result(settings, tuple(rows))
    report(source.skipped, out / "skipped.jsonl")
    inputs = [] if file == "-" else [Path(file)]
    synth.write(result, out, provenance(given | {"engine": teacher.identity}, inputs))
    typer.echo(synth.table(result))


def _verifier(given: dict[str, Any]) -> None:
    from fathom.cli._skipped import report
    from fathom.provenance import provenance, write_json
    from fathom.reading import as_mapping, read, write_jsonl
    from fathom.synth import verifying

    file, out, seed = given["file"], given["out"], given["seed"]
    claim(folder_outputs("--out", out, "verifier.jsonl", "skipped.jsonl"))
    mapping, on_error = as_mapping(given["map"]), given["on_error"]
    source = read(file, mapping=mapping, seed=seed, on_error=on_error, limit=given["limit"])
    rows = verifying.examples(source, truncated=given["truncated"], seed=seed)
    report(source.skipped, out / "skipped.jsonl")
    write_jsonl(out / "verifier.jsonl", rows)
    counts = verifying.counts(rows)
    write_json(out / "manifest.json", provenance(given, [] if file == "-" else [Path(file)]) | {"completions": counts})
    typer.echo(f"YES {counts['YES']}, NO {counts['NO']}, of which truncated {counts['truncated']}")
