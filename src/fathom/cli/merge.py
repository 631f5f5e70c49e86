"""`fathom merge MODEL...`: merges the weights of models that were fine-tuned from one base model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fathom.cli._verb import Force, claim, whole_folder


def command(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Two or more checkpoints; the first, such as a reward model, keeps its head."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Write the merged checkpoint to this folder.")],
    weight: Annotated[
        list[float] | None,
        typer.Option(
            help="The share of each model after the first, 0 to 1; the first has the rest. Default: equal shares."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Merge checkpoints of one base model: every weight of the result is a weighted mean of theirs.

        fathom merge runs/reward maths-7b --weight 0.4 --out runs/merged
        fathom judge maths.jsonl --model runs/merged --out verdicts.jsonl

    With a reward model and a language model, this is DogeRM (arXiv 2407.01470), which brings knowledge of a domain into
    the reward model. The weight 0 gives the first model, and 1 the second's layers with the first's head. Models of
    different bases are refused. Choose the weight on held-out comparisons.
    """
    from fathom.results.provenance import provenance, write_json
    from fathom.train import merging
    from fathom.train.trainers import weight_files

    weights = weight or [1 / len(models)] * (len(models) - 1)
    merging.check_weights(len(models), weights)
    claim(whole_folder("--out", out), reads={Path(model): "MODEL" for model in models if Path(model).exists()})
    merging.merge(models, weights, out)
    files = [file for model in models for file in weight_files(model)]
    write_json(out / "manifest.json", provenance({"models": models, "weights": weights}, files))
    typer.echo(out)
