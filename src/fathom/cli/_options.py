"""The options that verbs share which judge: what is read, what judges it, and how its votes are counted.

    @options.judging
    def command(file: options.File, schedule: ... = "swiss", **given: Any) -> None: ...

`given` holds the values of all parameters of `_shared` by name. They are told once here, and not in every verb.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from fathom.cli._verb import Force

File = Annotated[str, typer.Argument(help="JSONL, JSON, Parquet or a datasets folder of any layout; - for stdin.")]
Out = Annotated[Path | None, typer.Option(help="Where the rows go; without it, to standard output.")]

JUDGE, VOTES, ENGINE, BOUNDS, SOURCE = "Judge", "Votes", "Engine", "Bounds", "Source"


def _option(panel: str, help: str, **settings: Any) -> Any:
    return typer.Option(help=help, rich_help_panel=panel, **settings)


def _votes(given: str | int) -> int | Literal["adaptive"]:
    text = str(given)  # the default comes as it is
    if text == "adaptive":
        return "adaptive"
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"{text!r}: allowed is a number from 1, or adaptive")
    return int(text)


def _chance(given: str) -> float:
    try:
        number = float(given)
    except ValueError:
        number = -1
    if not 0 <= number < 1:
        raise typer.BadParameter(f"{given!r}: allowed is a chance, at least 0 and below 1")
    return number


def _keep(given: str) -> int | float:
    try:
        number = int(given) if given.isdecimal() else float(given)
    except ValueError:
        number = 0
    if (number < 1 and not 0 < number < 1) or (isinstance(number, float) and number > 1):
        raise typer.BadParameter(f"{given!r}: allowed is a share above 0.0 and up to 1.0, or a number from 1")
    return number


def _shared(
    *,
    model: Annotated[
        str,
        _option(JUDGE, "A checkpoint's folder, a name on the hub or the server, mini, or a journal to replay."),
    ],
    judge: Annotated[str | None, _option(JUDGE, "A file in fathom/judges. Default: the checkpoint's, or mix.")] = None,
    style: Annotated[
        Literal["vanilla", "breadth", "depth", "mix", "hybrid"] | None,
        _option(JUDGE, "The structure of the rationale. Default: the checkpoint's, or mix."),
    ] = None,
    prompt: Annotated[
        Literal["trained", "instruct"] | None,
        _option(JUDGE, "The plain prompt of training, or full instructions. Default: what the checkpoint needs."),
    ] = None,
    judge_option: Annotated[
        list[str], _option(JUDGE, "NAME=VALUE in YAML, any other setting of the judge, such as binary=true.")
    ] = [],  # noqa: B006
    temperature: Annotated[float, _option(JUDGE, "0 is greedy.", min=0)] = 0.0,
    max_tokens: Annotated[
        int | None, _option(JUDGE, "The longest rationale. Default: the judge's, 1 for yes_no and else 2048.", min=1)
    ] = None,
    seed: Annotated[int, _option(JUDGE, "Of the random draws, and of the order of chosen and rejected.")] = 0,
    votes: Annotated[
        Any,
        _option(
            VOTES,
            "Votes on each comparison or pair, in each order; adaptive asks until the outcome is settled.",
            parser=_votes,
            metavar="NUMBER|adaptive",
        ),
    ] = 1,
    max_votes: Annotated[
        int | None, _option(VOTES, "(adaptive) The most votes, in each order. Default: 32.", min=1)
    ] = None,
    vote_error: Annotated[
        Any,
        _option(
            VOTES,
            "(adaptive) The chance accepted of another verdict than all votes would give, below 1. Default: 0.03.",
            parser=_chance,
            metavar="CHANCE",
        ),
    ] = None,
    meta: Annotated[
        Path | None,
        _option(VOTES, "A meta reward model (fathom train meta), which chooses the votes that count."),
    ] = None,
    keep: Annotated[
        Any,
        _option(
            VOTES,
            "(meta) How many votes count: a share, or a number. Default: 0.5.",
            parser=_keep,
            metavar="SHARE|NUMBER",
        ),
    ] = None,
    swap: Annotated[
        bool, _option(VOTES, "Vote in both orders of a pair; show a list in another order for every vote.")
    ] = True,
    aggregate: Annotated[
        Literal["majority", "sum", "mean", "probability"] | None,
        _option(VOTES, "What is counted: votes, scores, or the probability of the verdict. Default: the judge's."),
    ] = None,
    invalid_votes: Annotated[
        Literal["drop", "require"],
        _option(VOTES, "Votes that cannot be read: drop counts the others, require gives no verdict then."),
    ] = "drop",
    tie_votes: Annotated[
        Literal["count", "drop"],
        _option(VOTES, "(majority) Votes for a tie: count lets a tie win, drop takes them as abstentions."),
    ] = "count",
    engine: Annotated[
        str | None,
        _option(
            ENGINE,
            "What runs the model: local, openai for a server, or replay for a journal. Default: local, or openai with "
            "--base-url.",
        ),
    ] = None,
    base_url: Annotated[str | None, _option(ENGINE, "(openai) The server, as in http://localhost:8000/v1.")] = None,
    engine_option: Annotated[
        list[str],
        _option(ENGINE, "NAME=VALUE in YAML, any setting of the engine: concurrency=256, timeout=60, ..."),
    ] = [],  # noqa: B006
    device: Annotated[str | None, _option(ENGINE, "(local) auto, cpu, cuda, cuda:1, ...")] = None,
    dtype: Annotated[str | None, _option(ENGINE, "(local) auto, float32, bfloat16, ...")] = None,
    max_batch_tokens: Annotated[int | None, _option(ENGINE, "(local) Lower it if memory runs out.", min=1)] = None,
    journal: Annotated[Path | None, _option(ENGINE, "Finished completions. Default: OUT.journal.")] = None,
    max_cost: Annotated[
        float | None, _option(BOUNDS, "US dollars to spend at most; what is done is kept.", min=0)
    ] = None,
    max_total_tokens: Annotated[int | None, _option(BOUNDS, "Tokens to read and write at most, in all.", min=0)] = None,
    prices: Annotated[
        Path | None, _option(BOUNDS, "YAML, MODEL: {prompt: 2.50, completion: 10.00} in US dollars per million tokens.")
    ] = None,
    map: Annotated[list[str], _option(SOURCE, "FIELD=COLUMN, where a column's name does not say it.")] = [],  # noqa: B006
    on_error: Annotated[Literal["stop", "skip"], _option(SOURCE, "What a row that cannot be read does.")] = "stop",
    limit: Annotated[int | None, _option(SOURCE, "Read this many rows at most.", min=1)] = None,
    force: Force = False,
) -> None: ...


def judging(command: Callable[..., None]) -> Callable[..., None]:
    """Gives `command` the options of `_shared` beside its own; it takes their values as `**given`.

    An option that the command has itself goes before the shared one of that name.
    """
    own = [each for each in inspect.signature(command).parameters.values() if each.kind is not each.VAR_KEYWORD]
    hints = get_type_hints(_shared, include_extras=True) | get_type_hints(command, include_extras=True)
    names = {each.name for each in own}
    shared = [each for each in inspect.signature(_shared).parameters.values() if each.name not in names]
    # As values and not as text: the names in them are known here, and not where Typer reads them.
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(kind=each.KEYWORD_ONLY, annotation=hints[each.name]) for each in (*own, *shared)]
    )
    command.__annotations__ = {name: hint for name, hint in hints.items() if name != "given"}
    return command
