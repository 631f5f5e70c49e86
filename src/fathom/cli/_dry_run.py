"""`--dry-run`: shows a verb's calls, tokens and maximum cost. Nothing is sent and no file is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from fathom.data.reading import Comparisons
    from fathom.data.records import Comparison
    from fathom.engines import AnyRequest
    from fathom.engines.planning import Plan, Preview
    from fathom.judges import RewardModel
    from fathom.judging.planning import Work
    from fathom.labelers import Labeler, Tools
    from fathom.settings import BoundSettings, EngineSettings, JudgingSettings
    from fathom.synth import Settings
    from fathom.synth.rejection import Settings as RejectionSettings


def judged(
    settings: JudgingSettings, comparisons: Iterable[Comparison], out: Path | None, *, pairs_alone: bool = False
) -> None:
    """The plan of `fathom judge`, and, with `pairs_alone`, of `fathom probe`."""
    from fathom.judging.planning import verdict

    _judging(settings, comparisons, out, lambda _: verdict, pairs_alone=pairs_alone)


def ranked(settings: JudgingSettings, comparisons: Comparisons, out: Path | None, schedule: str) -> None:
    """The plan of `fathom rank` and `fathom pairs`."""
    from fathom.judging.planning import ranking

    _judging(settings, comparisons, out, lambda preview: ranking(schedule, preview.counter))


def evaluated(settings: JudgingSettings, comparisons: Comparisons, out: Path, name: str) -> None:
    """The plan of one benchmark of `fathom eval`."""
    from fathom.judging import planning

    typer.echo(f"{name}:")
    _judging(settings, comparisons, out, lambda _: planning.evaluation)


def _judging(
    settings: JudgingSettings,
    comparisons: Iterable[Comparison],
    out: Path | None,
    work: Callable[[Preview], Work],
    **options: bool,
) -> None:
    from fathom.cli._judging import journal_of
    from fathom.engines.planning import preview
    from fathom.judging.planning import plan

    journal = journal_of(settings.engine.journal, out)
    previewed = preview(settings.engine, journal)
    rows = plan(settings, comparisons, previewed.counter, work(previewed), **options)
    show(rows, previewed, settings.engine, settings.bounds, journal)


def compared(
    engines: Sequence[EngineSettings],
    bounds: BoundSettings,
    model: RewardModel,
    comparisons: Iterable[Comparison],
    journal: Path | None,
) -> None:
    """The plan of `fathom compare-engines`: all calls for each engine, and a second call for each text that differs."""
    from fathom.engines.planning import preview
    from fathom.judging.planning import count_calls, verdict

    listed = list(comparisons)
    for number, settings in enumerate(engines, 1):
        previewed = preview(settings, journal)
        rows = count_calls(model, listed, previewed.counter, verdict)
        typer.echo(f"engine {number} ({settings.name}), asked again for log-probabilities where texts differ:")
        previewed.counter.plan.double()
        show(rows, previewed, settings, bounds, journal)


def synthesised(
    engine: EngineSettings,
    bounds: BoundSettings,
    comparisons: Sequence[Comparison],
    settings: Settings,
    journal: Path | None,
) -> None:
    """The plan of `fathom synth`: the maximum number of calls of each step."""
    from fathom.engines.planning import preview
    from fathom.synth.planning import plan

    previewed = preview(engine, journal)
    stages = plan(comparisons, settings, previewed.counter)
    certain = ("sample",)
    by_step = (f"{stage} {'' if stage in certain else 'at most '}{calls:,}" for stage, calls in stages.items())
    show(len(comparisons), previewed, engine, bounds, journal, {"calls by step": ", ".join(by_step)})


def sampled(
    engine: EngineSettings,
    bounds: BoundSettings,
    comparisons: Sequence[Comparison],
    settings: RejectionSettings,
    journal: Path | None,
) -> None:
    """The plan of `fathom rejection-sample`."""
    from fathom.engines.planning import preview
    from fathom.synth.rejection import requests

    previewed = preview(engine, journal)
    for comparison in comparisons:
        for request in requests(comparison, settings):
            previewed.counter.count(request)
    show(len(comparisons), previewed, engine, bounds, journal)


def labelled(
    engine: EngineSettings,
    bounds: BoundSettings,
    problems: Sequence[Comparison],
    labeler: Labeler,
    tools: Tools,
    journal: Path | None,
) -> None:
    """The plan of `fathom label`: the calls if no step were found wrong early."""
    from fathom.engines.planning import preview
    from fathom.labelers import requests

    previewed = preview(engine, journal)
    for request in requests(problems, labeler, tools):
        previewed.counter.count(request)
    previewed.counter.plan.at_most = True
    show(len(problems), previewed, engine, bounds, journal)


def show(
    rows: int,
    previewed: Preview,
    engine: EngineSettings,
    bounds: BoundSettings,
    journal: Path | None,
    more: Mapping[str, str] | None = None,
    *,
    end: str = "dry run: nothing was sent, and no file was written",
) -> None:
    """Print the plan on standard output, with the lines of `more`, one prompt and the line `end`."""
    plan = previewed.counter.plan
    for name, value in (_lines(rows, previewed, engine, bounds, journal) | dict(more or {})).items():
        typer.echo(f"{name:<19}{value}")
    if plan.first is not None:
        typer.echo(_prompt(plan.first, previewed.tokenizer))
    typer.echo(end)


def _lines(
    rows: int, previewed: Preview, engine: EngineSettings, bounds: BoundSettings, journal: Path | None
) -> dict[str, str]:
    plan = previewed.counter.plan
    most = "at most " if plan.at_most else ""
    stored = f", of which {plan.stored:,} are in {journal}" if plan.stored else ""
    if previewed.counter.known_identity is None and journal and journal.is_file():
        stored = f" (how many of them are in {journal} is known only after loading the model)"
    return {
        "rows": f"{rows:,}",
        "prompts": f"{len(plan.prompts):,} distinct",
        "calls": f"{most}{plan.calls:,}{stored}",
        "prompt tokens": f"{most}{plan.prompt_tokens:,} ({previewed.measured})",
        "completion tokens": f"at most {plan.completion_tokens:,}",
        "cost": _cost(plan, engine, bounds),
        **_bounded(plan, engine, bounds),
    }


def _cost(plan: Plan, engine: EngineSettings, bounds: BoundSettings) -> str:
    from fathom.engines.opening import FREE, price, price_line

    if price(engine, bounds) is FREE:
        return "none: the model runs in this process" if engine.name != "replay" else "none: replayed from a journal"
    known, most = price(engine, bounds), _most_cost(plan, engine, bounds)
    if known is None or most is None:
        return (
            f"no price is known for {engine.model}; give it as a line of --prices FILE: {price_line(engine.model)} "
            "(US dollars per million tokens)"
        )
    rounded = ceil(most * 100) / 100  # rounded up, because it is an upper bound
    per_million = f"per million tokens: ${known.prompt:g} of prompts, ${known.completion:g} of completions"
    return f"at most ${rounded:,.2f} ({per_million})"


def _most_cost(plan: Plan, engine: EngineSettings, bounds: BoundSettings) -> float | None:
    from fathom.engines.opening import price
    from fathom.engines.usage import Usage

    known = price(engine, bounds)
    return None if known is None else known.of(Usage(plan.prompt_tokens, plan.completion_tokens))


def _bounded(plan: Plan, engine: EngineSettings, bounds: BoundSettings) -> dict[str, str]:
    """The bounds that the maximum spending exceeds."""
    most = {"--max-total-tokens": plan.tokens, "--max-cost": _most_cost(plan, engine, bounds)}
    given = {"--max-total-tokens": bounds.max_total_tokens, "--max-cost": bounds.max_cost}
    exceeded = [
        f"{name} {bound:,}"
        for name, bound in given.items()
        if bound is not None and (spent := most[name]) is not None and spent > bound
    ]
    return {"bounds": f"{', '.join(exceeded)} may stop the run before its end"} if exceeded else {}


def _prompt(request: AnyRequest, tokenizer: Any) -> str:
    """A prompt as the model receives it: rendered by its chat template if known, else turn by turn."""
    from fathom.engines import Request

    how, continued = "", "the text to score"
    if isinstance(request, Request):
        sampling = request.sampling
        how = f" (temperature {sampling.temperature:g}, max_tokens {sampling.max_tokens:,})"
        continued = "assistant, to be continued"
    head = f"\nexample prompt{how}:"
    if tokenizer is not None and tokenizer.chat_template is not None:
        from fathom.engines.chat import without_control

        messages = without_control(tokenizer, request.messages)
        text = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
        return f"{head}\n{text}{request.given}\n"
    turns = [f"--- {message['role']}\n{message['content']}" for message in request.messages]
    begun = [f"--- {continued}\n{request.given}"] if request.given else []
    return "\n".join([head, *turns, *begun, ""])
