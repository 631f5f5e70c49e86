"""The options that `judge`, `rank` and `pairs` share: what is read, and what judges it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

File = Annotated[str, typer.Argument(help="JSONL, JSON, Parquet or a datasets folder of any layout; - for stdin.")]
Model = Annotated[
    str, typer.Option(help="A checkpoint's folder, a name on the hub or the server, mini, or a journal to replay.")
]
EngineName = Annotated[
    str, typer.Option("--engine", help="What runs the model: local, openai for a server, or replay for a journal.")
]
BaseUrl = Annotated[str | None, typer.Option(help="(openai) The server, as in http://localhost:8000/v1.")]
EngineOption = Annotated[
    list[str], typer.Option(help="NAME=VALUE in YAML, any setting of the engine: concurrency=256, timeout=60, ...")
]
JudgeName = Annotated[
    str | None, typer.Option("--judge", help="A file in fathom/judges. Default: the checkpoint's, or mix.")
]
Style = Annotated[
    Literal["vanilla", "breadth", "depth", "mix", "hybrid"] | None,
    typer.Option(help="The structure of the rationale. Default: the checkpoint's, or mix."),
]
Prompt = Annotated[
    Literal["trained", "instruct"] | None,
    typer.Option(help="The plain prompt of training, or full instructions. Default: what the checkpoint needs."),
]
Temperature = Annotated[float, typer.Option(min=0, help="0 is greedy.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="The longest rationale.")]
Seed = Annotated[int, typer.Option(help="Of the random draws, and of the order of chosen and rejected.")]
Map = Annotated[list[str], typer.Option(help="FIELD=COLUMN, where a column's name does not say it.")]
OnError = Annotated[Literal["stop", "skip"], typer.Option(help="What a row that cannot be read does.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Read this many rows at most.")]
Journal = Annotated[Path | None, typer.Option(help="Finished completions. Default: OUT.journal.")]
Device = Annotated[str | None, typer.Option(help="(local) auto, cpu, cuda, cuda:1, ...")]
Dtype = Annotated[str | None, typer.Option(help="(local) auto, float32, bfloat16, ...")]
MaxBatchTokens = Annotated[int | None, typer.Option(min=1, help="(local) Lower it if memory runs out.")]
