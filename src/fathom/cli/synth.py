"""`fathom synth FILE`: makes training rationales from a teacher's judgments."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fathom.cli._failures import FailOn
from fathom.cli._options import DryRun, File, with_settings
from fathom.cli._verb import Force, check_journal, claim, folder_outputs
from fathom.errors import FathomError
from fathom.settings import BoundSettings, EngineSettings, SamplingSettings, SourceSettings

if TYPE_CHECKING:
    from fathom.judging import RowOutcome
    from fathom.synth import Synthesis


@with_settings
def command(
    file: File,
    engine: EngineSettings,
    bounds: BoundSettings,
    source: SourceSettings,
    out: Annotated[Path, typer.Option(help="Write training sets, manifest and journal to this folder.")],
    sampling: SamplingSettings = SamplingSettings(temperature=0.8, max_tokens=4096),  # noqa: B008
    arm: Annotated[
        list[str],
        typer.Option(
            help="mix, breadth, depth or vanilla; repeat to share the teacher's samples among several. Or verifier."
        ),
    ] = ["mix"],  # noqa: B006
    samples: Annotated[int, typer.Option(min=1, max=1000, help="Vanilla rationales per comparison.")] = 2,
    keep: Annotated[int, typer.Option(min=1, max=1000, help="Maximum principles of a breadth rationale.")] = 10,
    standardise: Annotated[
        Literal["auto", "llm"], typer.Option(help="auto calls the teacher only if no principles can be parsed.")
    ] = "auto",
    merge: Annotated[
        Literal["similarity", "llm"], typer.Option(help="How to merge principles with the same meaning.")
    ] = "similarity",
    filter: Annotated[
        Literal["none", "consistent"], typer.Option(help="consistent drops rationales whose verdict is not the label.")
    ] = "none",
    domain: Annotated[
        Literal["preference", "correctness", "auto"] | None,
        typer.Option(
            help="Domain of rows that name none; auto is correctness if there is a reference answer, else preference."
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=100_000, help="Maximum requests in flight.")] = 64,
    truncated: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.9, help="(verifier) Share of solutions cut to their first sentence, as wrong ones. Default: 0."
        ),
    ] = None,
    fail_on: FailOn = "any",
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Make training rationales: breadth for preference, depth for correctness.

        fathom synth pairs.jsonl --model ./teacher --domain preference --out synthesised
        fathom synth pairs.jsonl --model judge-7b --base-url http://localhost:8000/v1 --arm breadth --out synthesised

    A teacher judges each comparison several times. Breadth merges its rationales; depth judges again against the
    teacher's own solution. The arm mix uses breadth for comparisons of the domain preference and depth for correctness.
    --domain sets the domain of all rows, --map domain=COLUMN reads it from a column, and --map
    domain.correctness=math,code translates its values. OUT gets ARM.jsonl (TRL prompt-completion rows), rejected.jsonl
    (texts and reasons) and manifest.json (counts, tokens, the teacher's accuracy after every stage); with --on-error
    skip also skipped.jsonl.

    Every finished completion is stored in OUT/journal.sqlite. To resume an interrupted run, repeat the command. The
    exit code is also 3 if nothing was kept for an arm.

    The arm verifier calls no teacher: from responses with a reference answer and scores of 1 and 0, it makes the
    completions YES and NO. It cannot be combined with other arms.

        fathom synth solutions.jsonl --arm verifier --truncated 0.11 --out verifier
    """
    own = {
        "file": file,
        "arm": arm,
        "samples": samples,
        "keep": keep,
        "standardise": standardise,
        "merge": merge,
        "filter": filter,
        "domain": domain,
        "concurrency": concurrency,
        "truncated": truncated or 0.0,
    }
    if set(arm) == {"verifier"}:
        return _verifier(own, source, sampling.seed, out, dry_run)
    if "verifier" in arm:
        raise FathomError(
            "the arm verifier stands alone, as it asks no teacher; make it and the other arms in two calls, each with "
            "an --out of its own"
        )
    if truncated is not None:
        raise FathomError(f"--truncated {truncated} goes with --arm verifier alone, and changes nothing without it")
    from fathom import synth
    from fathom.cli import _dry_run
    from fathom.cli._failures import check_failures, check_kept
    from fathom.cli._journalled import made
    from fathom.cli._running import spending, spent_in_words
    from fathom.cli._skipped import report
    from fathom.data.reading import parse_mapping, read
    from fathom.engines import Sampling
    from fathom.engines.opening import meter, open_engine
    from fathom.results.provenance import provenance
    from fathom.settings import flat

    settings = synth.Settings(
        arms=tuple(dict.fromkeys(arm)),  # type: ignore[arg-type]
        samples=samples,
        keep=keep,
        standardise=standardise,
        merge=merge,
        filter=filter,
        domain=domain,
        sampling=Sampling(**sampling.model_dump(exclude_none=True)),
        concurrency=concurrency,
    )
    sets = (f"{name}.jsonl" for name in (*settings.arms, "rejected", "skipped"))
    claimed = claim(folder_outputs("--out", out, *sets, journal=None if engine.journal else "journal.sqlite"))
    if engine.journal:
        check_journal(engine.journal)
    rows = read(
        file, mapping=parse_mapping(source.map), seed=sampling.seed, on_error=source.on_error, limit=source.limit
    )
    comparisons = synth.validated(rows, settings)
    journal = engine.journal or out / "journal.sqlite"
    if "mix" in settings.arms:
        counts_of = Counter(comparison.domain for comparison in comparisons)
        typer.echo(", ".join(f"domain {name}: {count:,}" for name, count in sorted(counts_of.items())), err=True)
    if dry_run:
        return _dry_run.synthesised(engine, bounds, comparisons, settings, journal)
    teacher = meter(open_engine(engine), engine, bounds)
    claimed.settle(engine=teacher.identity)
    each = partial(synth.synthesise_each, comparisons, settings=settings)
    pieces, counts = made("comparisons synthesised", len(comparisons), teacher, journal, each, _outcome)
    report(rows.skipped, out / "skipped.jsonl")
    result = synth.Result(settings, tuple(pieces))
    config = flat(engine) | flat(bounds) | flat(sampling) | source.model_dump() | own | {"engine": teacher.identity}
    config.pop("journal")
    told = provenance(config, rows.files) | {"spent": spending(teacher, journal)}
    synth.write(result, out, told)
    typer.echo(synth.table(result))
    typer.echo(spent_in_words(teacher, journal), err=True)
    check_failures(counts, fail_on, teacher.failure, completed=teacher.completed)
    check_kept(synth.warning(result), fail_on)


def _outcome(made: Synthesis) -> RowOutcome:
    from fathom.judging import RowOutcome

    return RowOutcome(bool(made.rationales), made.failed)


def _verifier(own: dict[str, Any], source: SourceSettings, seed: int, out: Path, dry_run: bool) -> None:
    from fathom.cli._skipped import report
    from fathom.data.reading import parse_mapping, read, write_jsonl
    from fathom.results.provenance import provenance, write_json
    from fathom.synth import verifying

    claim(folder_outputs("--out", out, "verifier.jsonl", "skipped.jsonl"))
    rows = read(own["file"], mapping=parse_mapping(source.map), seed=seed, on_error=source.on_error, limit=source.limit)
    examples = verifying.examples(rows, truncated=own["truncated"], seed=seed)
    counts = verifying.counts(examples)
    told = f"YES {counts['YES']}, NO {counts['NO']}, of which truncated {counts['truncated']}"
    if dry_run:
        typer.echo(f"{told}\ndry run: this arm asks no model; no file was written")
        return
    report(rows.skipped, out / "skipped.jsonl")
    write_jsonl(out / "verifier.jsonl", examples)
    config = source.model_dump() | own | {"seed": seed}
    write_json(out / "manifest.json", provenance(config, rows.files) | {"completions": counts})
    typer.echo(told)
