"""`fathom rejection-sample FILE`: what a judge wrote that was right, to fine-tune on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fathom.cli._verb import Force, claim, folder_outputs
from fathom.engines import ENGINES

if TYPE_CHECKING:
    from fathom.synth.rejection import Trajectory


def command(
    file: Annotated[str, typer.Argument(help="JSONL, JSON, Parquet or a datasets folder of any layout; - for stdin.")],
    out: Annotated[Path, typer.Option(help="The folder for the training set, manifest and journal.")],
    model: Annotated[str, typer.Option(help="The teacher: a checkpoint's folder or a name.")],
    engine: Annotated[
        str | None,
        typer.Option(help=f"What runs the teacher: {', '.join(ENGINES)}. Default: local, or openai with --base-url."),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="(openai) The server, as in http://localhost:8000/v1.")] = None,
    engine_option: Annotated[list[str], typer.Option(help="NAME=VALUE in YAML, any setting of the engine.")] = [],  # noqa: B006
    judge: Annotated[str, typer.Option(help="A file in fathom/judges.")] = "spct",
    judge_option: Annotated[list[str], typer.Option(help="NAME=VALUE in YAML, such as binary=true.")] = [],  # noqa: B006
    prompt: Annotated[
        Literal["instruct", "trained"],
        typer.Option(help="What the teacher is asked: instructions, or the plain prompt."),
    ] = "instruct",
    samples: Annotated[int, typer.Option(help="Trajectories a comparison, without a hint: 2 or more.")] = 3,
    hints: Annotated[bool, typer.Option(help="Sample one more, with a hint that names the best response.")] = True,
    map: Annotated[list[str], typer.Option(help="FIELD=COLUMN, where a column's name does not say it.")] = [],  # noqa: B006
    on_error: Annotated[Literal["stop", "skip"], typer.Option(help="What a row that cannot be read does.")] = "stop",
    limit: Annotated[int | None, typer.Option(min=1, help="Use this many rows at most.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Of the teacher, above 0.")] = 0.5,
    max_tokens: Annotated[int, typer.Option(min=1, help="The teacher's longest answer.")] = 4096,
    seed: Annotated[int, typer.Option(help="Of the random draws, and of the order of chosen and rejected.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Most comparisons in work.")] = 64,
    force: Force = False,
) -> None:
    """Sample a judge's trajectories and keep those that are right: data for rejective fine-tuning (SPCT).

        fathom rejection-sample pairs.jsonl --judge-option binary=true --model ./teacher --out rejection
        fathom train sft spct_27b_rft data=rejection/rft.jsonl

    Rejected are trajectories that are wrong, and all of a comparison that every sample gets right. OUT gets rft.jsonl
    (TRL prompt-completion rows), rejected.jsonl (texts and reasons), comparisons.jsonl (those that not every sample got
    right, for fathom train rlvr), votes.jsonl (all trajectories without a hint, as rows of fathom judge, for fathom
    train meta) and manifest.json (counts of every reason, tokens).
    Every comparison needs a label: which response is best, or for a single one its score, 0 or 1
    (with binary=true, as in the recipes of SPCT).

    Every finished completion is kept in OUT/journal.sqlite. To go on after an interruption, give the same command
    again.
    """
    given = dict(locals())
    from fathom import engines
    from fathom.answers import checking
    from fathom.checkpoints import located
    from fathom.cli._engine import named, options
    from fathom.cli._journalled import made
    from fathom.cli._skipped import report
    from fathom.engines import Sampling
    from fathom.judging import as_trained
    from fathom.provenance import provenance
    from fathom.reading import as_mapping, read
    from fathom.synth import rejection

    sets = (f"{name}.jsonl" for name in ("rft", "rejected", "comparisons", "votes", "skipped"))
    claimed = claim(folder_outputs("--out", out, *sets, journal="journal.sqlite"))
    # Nothing else is to be taken from what the teacher itself was trained to be.
    chosen = as_trained(out, **options(judge_option, {"name": judge, "trained": prompt == "trained" or None}))
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens, seed=seed)
    source = read(file, mapping=as_mapping(map), seed=seed, on_error=on_error, limit=limit)
    with checking(chosen) as able:
        settings = rejection.Settings(
            judge=able, samples=samples, hints=hints, sampling=sampling, concurrency=concurrency
        )
        comparisons = rejection.ready(source, settings)
        flags = options(engine_option, {"base_url": base_url})
        teacher = engines.open(named(engine, base_url), located(model), **flags)
        claimed.settle(engine=teacher.identity)
        each = partial(rejection.sampled, comparisons, settings=settings)
        trajectories = made("comparisons sampled", len(comparisons), teacher, out / "journal.sqlite", each, _readable)
    report(source.skipped, out / "skipped.jsonl")
    result = rejection.Result(settings, tuple(chain.from_iterable(trajectories)))
    inputs = [] if file == "-" else [Path(file)]
    rejection.write(result, out, provenance(given | {"engine": teacher.identity}, inputs))
    typer.echo(rejection.table(result))
    if warning := rejection.warning(result):
        typer.echo(warning, err=True)


def _readable(trajectories: Sequence[Trajectory]) -> bool:
    return all(each.vote.status == "ok" for each in trajectories)
