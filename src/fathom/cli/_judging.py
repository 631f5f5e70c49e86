"""What `judge`, `rank` and `pairs` do alike: open a source and a judge, write as results come, say what made them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from fathom.cli._verb import check_journal, claim, file_outputs
from fathom.errors import FathomError, Interrupted

if TYPE_CHECKING:
    from fathom.engines import Completion, Engine, Request
    from fathom.engines.cache import CachedEngine
    from fathom.engines.metering import Metered, Price
    from fathom.judges import Judge, Voter
    from fathom.outputs import Claim
    from fathom.reading import Comparisons
    from fathom.records import Comparison
    from fathom.scaling.guided import MetaRewardModel

Outcome = TypeVar("Outcome")
Counted = TypeVar("Counted")
TOP_LOGPROBS = 5
"""Of the most likely tokens, as many as any server gives. More would make journals larger, and hold next to no mass."""
VOTING = {"max_votes": 32, "vote_error": 0.03, "keep": 0.5}
"""What holds where these options are not given: they go with --votes adaptive and --meta alone."""
Write = Callable[[BinaryIO, Callable[[bool], None]], Awaitable[Outcome]]
"""Writes rows, and calls the function after each with whether it could be read."""


@dataclass(frozen=True)
class Opened:
    """`given` are the verb's arguments by name; those of `_options` are among them."""

    given: Mapping[str, Any]
    comparisons: Comparisons
    inputs: Sequence[Path]
    """The files that the comparisons come from."""
    metered: Metered
    cached: CachedEngine
    judge: Judge
    claim: Claim | None = None
    """On --out and what stands beside it."""

    @property
    def voter(self) -> Voter:
        """The judge with the votes that --votes and --swap ask for, counted as --aggregate and its like say."""
        from fathom.scaling.adaptive import Adaptive
        from fathom.scaling.guided import Guided
        from fathom.scaling.votes import Counted, Repeated, Shuffled, Swapped
        from fathom.verdict import Rule

        voter: Voter = self.judge
        if self.given["swap"] and voter.pattern == "pairwise":
            voter = Swapped(voter)
        elif self.given["swap"] and voter.pattern == "listwise":
            voter = Shuffled(voter, seed=self.given["seed"])
        rule = Rule(
            aggregate=self.given["aggregate"] or voter.rule.aggregate,
            invalid=self.given["invalid_votes"],
            ties=self.given["tie_votes"],
        )
        if self.given["votes"] == "adaptive":
            return Adaptive(Counted(voter, rule), self.given["max_votes"], self.given["vote_error"])
        voter = Repeated(voter, self.given["votes"])
        if self.given["meta"]:
            voter = Guided(voter, self.meta, self.given["keep"])
        return Counted(voter, rule)

    @cached_property
    def meta(self) -> MetaRewardModel:
        """What --meta names, on the device of the local engine."""
        from fathom.judging import meta_reward_model

        flags = {name: self.given[name] for name in ("device", "dtype", "max_batch_tokens")}
        given = {name: value for name, value in flags.items() if value}
        return meta_reward_model(self.given["meta"], self.judge, **given)


def opened(
    given: Mapping[str, Any],
    source: tuple[Comparisons, Sequence[Path]] | None = None,
    check: Callable[[Comparison], None] | None = None,
    runner: Engine | None = None,
) -> Opened:
    """The source, the engine with its journal, and the judge. Raises FathomError for what cannot be opened.

    `source` are comparisons and the files that these come from; without it they are read from the file that is given,
    with a `check` that they can be judged, which is the judge's own unless given. `runner` is the engine, where one is
    `lent`.
    """
    from fathom.engines.cache import CachedEngine

    judge = _voting(given)
    claim = claim_rows(given)
    given = {**given, **{name: value for name, value in VOTING.items() if given[name] is None}}
    # A judge of one response is asked about several one by one.
    comparisons, inputs = source or _read(given, check or (judge.check if judge.pattern == "pairwise" else None))
    metered = _metered(given, runner or _engine(given))
    if claim:
        claim.settle(engine=metered.identity)
    cached = CachedEngine(metered, journal_of(given) or ":memory:")
    return Opened(given, comparisons, inputs, metered, cached, replace(judge, engine=cached), claim)


def claim_rows(given: Mapping[str, Any], *more: Path, reads: Sequence[Path] = (), **settings: Any) -> Claim | None:
    """Claims --out, what it brings beside it and `more` files; None where rows go to standard output."""
    from fathom.outputs import beside

    out, journal = given["out"], given["journal"]
    if out is None:
        if journal:
            check_journal(journal)
        return None
    source = Path(given.get("file", "-"))
    whole = source.is_file() and given["limit"] is None
    # A row holds what was judged; as JSON it may take less than in the file, where that escapes its characters.
    space = source.stat().st_size // 3 if whole else 0
    own = None if journal else journal_of(given)
    outputs = file_outputs("--out", out, beside(out, "skipped.jsonl"), *more, journal=own, space=space)
    claimed = claim(outputs, reads=dict.fromkeys(reads, "--data"), **settings)
    if journal:
        check_journal(journal)
    return claimed


def journal_of(given: Mapping[str, Any]) -> Path | None:
    """Where finished completions are kept: --journal, or beside --out where that is a file."""
    from fathom.outputs import beside, is_replaceable

    if given["journal"] or given["out"] is None or not is_replaceable(given["out"]):
        return cast("Path | None", given["journal"])
    return beside(given["out"], "journal")


@contextmanager
def lent(given: Mapping[str, Any]) -> Iterator[Engine]:
    """One engine for several runs, which is opened here and closed here, and by none of them; bounds are for all.

    Raises FathomError for what cannot be opened: before a model is loaded, where it can be told by then.
    """
    import asyncio

    _voting(given)
    engine = _metered(given, _engine(given))
    try:
        yield _Lent(engine)
    finally:
        asyncio.run(engine.close())


@dataclass(frozen=True)
class _Lent:
    """An engine as it is, but for `close`."""

    engine: Metered

    @property
    def identity(self) -> str:
        return self.engine.identity

    async def complete(self, request: Request) -> Completion:
        return await self.engine.complete(request)

    def stop(self) -> None:
        self.engine.stop()


def _engine(given: Mapping[str, Any]) -> Engine:
    from fathom import engines
    from fathom.checkpoints import located
    from fathom.cli._engine import named, options

    flags = {name: given[name] for name in ("base_url", "device", "dtype", "max_batch_tokens")}
    name = named(given["engine"], given["base_url"])
    return engines.open(name, located(given["model"]), **options(given["engine_option"], flags))


def _metered(given: Mapping[str, Any], engine: Engine) -> Metered:
    from fathom.engines.metering import Metered

    return Metered(engine, price=_price(given), max_cost=given["max_cost"], max_tokens=given["max_total_tokens"])


def _voting(given: Mapping[str, Any]) -> Judge:
    """The judge. Raises FathomError for votes that cannot be cast so."""
    votes = given["votes"]
    if votes != 1 and given["temperature"] == 0:
        raise FathomError(f"--votes {votes} at temperature 0 casts the same vote again; add --temperature 0.8, say")
    if votes == "adaptive" and given["meta"]:
        raise FathomError("--meta chooses among votes that are all there; --votes adaptive stops as they come")
    _check_in_use(given)
    judge = judge_of(given)
    aggregate = given["aggregate"] or judge.rule.aggregate
    if given["tie_votes"] == "drop" and aggregate != "majority":
        raise FathomError(
            f"--tie-votes drop goes with --aggregate majority; {aggregate} adds up what votes tell, also equal scores"
        )
    if aggregate in ("sum", "mean") and not judge.gives_scores:
        raise FathomError(
            f"--aggregate {aggregate} counts scores; {type(judge).__name__} names a winner and gives no scores: leave "
            "--aggregate out"
        )
    return judge


def _check_in_use(given: Mapping[str, Any]) -> None:
    adaptive = "--votes adaptive", given["votes"] == "adaptive"
    needs = {"max_votes": adaptive, "vote_error": adaptive, "keep": ("--meta", given["meta"])}
    for name, (needed, there) in needs.items():
        if given[name] is not None and not there:
            flag = name.replace("_", "-")
            raise FathomError(f"--{flag} {given[name]} goes with {needed} alone, and changes nothing without it")


def _read(given: Mapping[str, Any], check: Callable[[Comparison], None] | None) -> tuple[Comparisons, list[Path]]:
    from fathom.reading import as_mapping, read

    file, mapping = given["file"], as_mapping(given["map"])
    settings = {name: given[name] for name in ("seed", "on_error", "limit")}
    return read(file, mapping=mapping, check=check, **settings), [] if file == "-" else [Path(file)]


def _price(given: Mapping[str, Any]) -> Price | None:
    """Of --prices; else of the shipped table, which is OpenAI's and holds at its address alone."""
    from fathom.engines.metering import prices

    if given["prices"]:
        return prices(given["prices"]).get(given["model"])
    there = given["engine"] == "openai" and given["base_url"] is None
    return prices().get(given["model"]) if there else None


def judge_of(given: Mapping[str, Any], engine: Engine | None = None) -> Judge:
    """What --judge, --style and --prompt say, and where they say nothing, the checkpoint of --model."""
    from fathom.checkpoints import located
    from fathom.cli._engine import options
    from fathom.judging import as_trained

    trained = None if given["prompt"] is None else given["prompt"] == "trained"
    flags = {"name": given["judge"], "style": given["style"], "trained": trained}
    judge = as_trained(
        Path(located(given["model"])),
        **options(given["judge_option"], flags),
        engine=engine,
    )
    drawn = {name: given[name] for name in ("temperature", "max_tokens", "seed") if given[name] is not None}
    judge = replace(judge, sampling=replace(judge.sampling, **drawn))
    return _with_probabilities(judge) if (given["aggregate"] or judge.rule.aggregate) == "probability" else judge


def _with_probabilities(judge: Judge) -> Judge:
    if judge.pattern == "pointwise":
        raise FathomError(
            f"--aggregate probability takes a judge that names one of several responses; {type(judge).__name__} scores "
            "each alone: mean and sum count scores"
        )
    return replace(judge, sampling=replace(judge.sampling, top_logprobs=TOP_LOGPROBS))


def run(opened: Opened, what: str, write: Write[Outcome], total: int | None = None) -> Outcome:
    """Lets `write` write to --out, or to standard output; shows progress; closes the engine.

    `total` rows are to be judged, where that is not as many as the source has.
    """
    import asyncio
    import gc

    from fathom.atomic import replacing
    from fathom.cli._progress import counting
    from fathom.engines.metering import SpentError

    gc.freeze()  # so that the collector does not walk through all that is loaded by now, again and again
    out, cached = opened.given["out"], opened.cached

    async def closing() -> Outcome:
        async with cached:
            return await write(sink, done)

    try:
        with (
            replacing(out) if out else nullcontext(sys.stdout.buffer) as sink,
            counting(what, total or _total(opened.given), partial(_spent, opened.metered)) as done,
        ):
            outcome = asyncio.run(closing())
        if opened.claim:
            opened.claim.seal()
        return outcome
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; {_how_to_go_on(cached)}") from None
    except SpentError as error:
        raise FathomError(f"stopped: {error}; {_how_to_go_on(cached)}, with a higher bound") from None
    except OSError as error:
        if not out:
            raise
        raise FathomError(f"cannot write {out}: {error}; {_how_to_go_on(cached)}") from error


def _total(given: Mapping[str, Any]) -> int | None:
    """How many rows there are to judge, where that can be told before they are read."""
    path = Path(given["file"])
    if path.suffix != ".jsonl" or not path.is_file():
        return cast("int | None", given["limit"])
    with path.open("rb") as lines:
        return min(sum(1 for _ in lines), given["limit"] or sys.maxsize)


def _how_to_go_on(cached: CachedEngine) -> str:
    if cached.path.name == ":memory:":
        return "nothing was kept: --out or --journal keeps it"
    return f"what is finished is in {cached.path}: give the same command again to go on"


def _spent(metered: Metered) -> str:
    cost = "cost unknown" if metered.cost is None else f"${metered.cost:.2f}"
    return f"{metered.usage.tokens:,} tokens, {cost}"


def _told(metered: Metered) -> str:
    if metered.shareable is None:
        return "spent by this run: nothing, all completions were in the journal"
    return (
        f"spent by this run: {_spent(metered)}; {metered.shareable:.0%} of the prompts' text can be cached as prefixes"
    )


def _spending(metered: Metered) -> dict[str, float | None]:
    """By this run alone: what it found in the journal was spent by another."""
    return {
        "prompt_tokens": metered.usage.prompt_tokens,
        "completion_tokens": metered.usage.completion_tokens,
        "cost": metered.cost,
        "shareable": metered.shareable,
    }


def show(title: str, tallies: Mapping[str, Counted], lines: Mapping[str, Callable[[Counted], str]]) -> None:
    """A table on stderr: a column a group of rows, a line a figure."""
    from rich.console import Console

    from fathom.cli._figures import table

    Console(stderr=True).print(table(title, tallies, lines))


def describe(opened: Opened, summary: Mapping[str, Any]) -> None:
    """Writes OUT.meta.json and OUT.skipped.jsonl, and says on stderr what was spent and skipped.

    Raises FathomError where no call went well: what was written is of no use then.
    """
    import typer

    from fathom.cli._skipped import report
    from fathom.outputs import beside, is_replaceable
    from fathom.provenance import provenance, write_json

    out = opened.given["out"]
    kept = out is not None and is_replaceable(out)
    if kept:
        settings = {name: value for name, value in opened.given.items() if name not in {"out", "journal", "force"}}
        made = {"engine": opened.cached.identity, "judge": repr(replace(opened.judge, engine=None))}
        if opened.given["meta"]:
            made["meta"] = opened.meta.scorer.identity
        said = {"summary": summary, "spent": _spending(opened.metered)}
        write_json(beside(out, "meta.json"), provenance(settings | made, opened.inputs) | said)
    report(opened.comparisons.skipped, beside(out, "skipped.jsonl") if kept else None)
    if opened.claim:
        opened.claim.seal()
    typer.echo(_told(opened.metered), err=True)
    if opened.metered.failure and not opened.metered.completed:
        raise FathomError(f"every call failed, the last one so: {opened.metered.failure}; the same command asks again")
