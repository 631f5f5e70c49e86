"""`fathom plan FILE`: the requests of a run, for a provider's batch interface."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fathom.cli._options import File, with_settings
from fathom.cli._verb import Force, claim, whole_folder
from fathom.settings import JudgingSettings, SourceSettings


@with_settings
def command(
    file: File,
    settings: JudgingSettings,
    source: SourceSettings,
    out: Annotated[Path, typer.Option(help="Write requests-1.jsonl and further files to this folder.")],
    requests_per_file: Annotated[int, typer.Option(min=1, help="Maximum requests in a file.")] = 50_000,
    megabytes_per_file: Annotated[int, typer.Option(min=1, help="Maximum megabytes of a file.")] = 200,
    force: Force = False,
) -> None:
    """Write the calls that fathom judge would make as files for OpenAI's Batch API or vLLM's run-batch; call no model.

        fathom plan pairs.jsonl --engine openai --model gpt-4.1-mini --out batch
        vllm run-batch -i batch/requests-1.jsonl -o results.jsonl --model Qwen/Qwen3-32B

    fathom gather reads the results, with the same options. Calls that --journal answers are left out, so after a batch
    with failed requests, the same command with the journal of fathom gather plans the rest.
    """
    from fathom.cli._dry_run import show
    from fathom.cli._judging import read
    from fathom.engines.batch_files import batch_engine
    from fathom.engines.planning import preview
    from fathom.judging.batches import RequestFiles, plan_batch
    from fathom.results.provenance import provenance, write_json
    from fathom.settings import flatten_settings

    engine = batch_engine(settings.engine)
    claim(whole_folder("--out", out, "requests-1.jsonl"), costly=False)
    comparisons, inputs = read(file, settings, source)
    journal = settings.engine.journal
    previewed = preview(settings.engine, journal)
    with RequestFiles(out, requests_per_file, megabytes_per_file * 10**6) as files:
        rows = plan_batch(settings, comparisons, previewed.counter, engine, files)
    for left in {*out.glob("requests-*.jsonl")} - {*files.paths}:  # of an earlier, larger batch
        left.unlink()
    config = flatten_settings(settings) | source.model_dump() | {"file": file}
    write_json(out / "manifest.json", provenance(config, inputs))
    written = f"wrote {', '.join(map(str, files.paths))}" if files.paths else "the journal answers every call"
    show(rows, previewed, settings.engine, settings.bounds, journal, end=f"{written}; nothing was sent")
