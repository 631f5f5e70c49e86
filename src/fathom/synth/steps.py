"""The steps of synthesis that ask the teacher, one function each: what is asked, and how the answer is read.

Every step returns what it read, or raises `UnreadableError` with the answer's text. None guesses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fathom import prompts
from fathom.data.records import Comparison
from fathom.engines import Completion, Engine, EngineError, Request, Sampling
from fathom.engines.usage import Usage
from fathom.judges import Vote
from fathom.judges.mix import MixJudge
from fathom.rationale import MAX_DEPTH_PRINCIPLES, Rationale, Status, Unit, parse, render
from fathom.rationale.transcript.document import Document
from fathom.synth.merging import Merged, Source, merged, normalise

Stage = Literal["sample", "standardise", "merge", "solve", "choose", "refine"]


class UnreadableError(Exception):
    """A step gave nothing that can be used. `text` is what the teacher wrote; `failed` says that its call failed."""

    def __init__(self, stage: str, reason: str, text: str = "", *, failed: bool = False) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason
        self.text = text
        self.failed = failed


@dataclass
class Steps:
    """The steps for one comparison, asked of `engine`; `usage` adds up the tokens of each stage."""

    engine: Engine
    sampling: Sampling
    usage: dict[Stage, Usage] = field(default_factory=dict)

    async def sample(self, comparison: Comparison, sample: int) -> Vote:
        """One vanilla judgement, as the judge reads it."""
        judge = MixJudge(style="vanilla", engine=self.engine, sampling=self.sampling)
        (vote,) = await judge.votes(comparison, sample)
        self._spent("sample", vote.usage)
        return vote

    async def standardise(self, vote: Vote, sample: int) -> Rationale:
        """The rationale of a text in which no units could be read. The verdict is the text's own where it has one."""
        text = await self._text("standardise", sample, evaluation=vote.text)
        rationale = parse(text).rationale
        if not rationale.units:
            raise UnreadableError("standardise", "the answer holds no units", text)
        own = vote.rationale.verdict if vote.rationale else None
        return Rationale(rationale.units, verdict=own or rationale.verdict)

    async def merge(self, sources: Sequence[Source]) -> list[Merged]:
        """The sources merged by the teacher, who says which ones it made each unit of.

        The teacher writes principle, definition and judgment. Counts, places and sub-verdicts are those of the sources.
        """
        units = [render(Rationale((source.unit,))).partition(": ")[2] for source in sources]
        text = await self._text("merge", units=units)
        made = [_with_sources(unit, sources, text) for unit in parse(text).rationale.units]
        used = [source for _, group in made for source in group]
        if sorted(used) != sorted(range(len(sources))):
            raise UnreadableError("merge", f"of units 1 to {len(sources)} not every one is used exactly once", text)
        return [_written(unit, [sources[index] for index in group]) for unit, group in made]

    async def solve(self, comparison: Comparison) -> str:
        """The teacher's own solution; it sees neither response, so that it cannot lean on one."""
        text = await self._text("solve", instruction=comparison.prompt_text)
        solution = _spoken(text)
        if not solution:
            raise UnreadableError("solve", "there is no solution outside of the teacher's thoughts", text)
        return solution

    async def choose(self, comparison: Comparison, units: Sequence[Unit]) -> list[Unit]:
        """The principles that decide whether a response is right, the most critical first: one to three."""
        text = await self._text("choose", instruction=comparison.prompt_text, units=units)
        last_line = _spoken(text).rpartition("\n")[2]
        numbers = list(dict.fromkeys(int(number) for number in re.findall(r"\d+", last_line)))
        if numbers == [0]:
            raise UnreadableError("choose", "a solution settles none of the principles", text)
        if not numbers or not all(1 <= number <= len(units) for number in numbers):
            raise UnreadableError("choose", f"the last line names no numbers from 1 to {len(units)}", text)
        return [units[number - 1] for number in numbers[:MAX_DEPTH_PRINCIPLES]]

    async def refine(self, comparison: Comparison, units: Sequence[Unit], trace: str) -> Rationale:
        """The depth rationale: the trace, and `units` judged anew against it."""
        text = await self._text(
            "refine",
            instruction=comparison.prompt_text,
            responses=comparison.responses,
            reference=comparison.reference,
            solution=trace,
            units=units,
        )
        reading = parse(text)
        written = reading.rationale.units
        if reading.status is not Status.OK:
            raise UnreadableError("refine", f"the verdict is {reading.status}", text)
        if reading.rationale.verdict == "tie":
            raise UnreadableError("refine", "the verdict is a tie", text)
        if len(written) != len(units) or not all(unit.judgment for unit in written):
            raise UnreadableError(
                "refine", f"asked to judge {len(units)} principles, {len(written)} judgments came back", text
            )
        if not {unit.sub_verdict for unit in written} & {reading.rationale.verdict, "MIXED", None}:
            raise UnreadableError("refine", "every sub-verdict takes the other side than the verdict", text)
        return Rationale(_rejudged(units, written, text), trace, reading.rationale.verdict)

    async def _text(self, stage: Stage, sample: int = 0, **values: Any) -> str:
        """The teacher's whole answer to the prompt of that stage."""
        request = Request(
            ({"role": "user", "content": prompts.render(f"synth/{stage}", **values)},), self.sampling, sample
        )
        try:
            completion: Completion = await self.engine.complete(request)
        except EngineError as error:
            raise UnreadableError(stage, f"the engine failed: {error}", failed=True) from error
        self._spent(stage, completion.usage)
        if completion.finish_reason != "stop":
            raise UnreadableError(stage, f"the answer was cut off ({completion.finish_reason})", completion.text)
        return completion.text

    def _spent(self, stage: Stage, usage: Usage) -> None:
        self.usage[stage] = self.usage.get(stage, Usage()) + usage


def _rejudged(units: Sequence[Unit], written: Sequence[Unit], text: str) -> tuple[Unit, ...]:
    """`units` with the judgments written about them. One judgment needs no name to say what it is about."""
    by_name = {normalise(unit.principle): unit for unit in written}
    if len(units) == 1:
        by_name = {normalise(units[0].principle): written[0]}
    unjudged = [unit.principle for unit in units if normalise(unit.principle) not in by_name]
    if unjudged:
        raise UnreadableError("refine", f"no judgment about {', '.join(unjudged)}", text)
    judgments = [by_name[normalise(unit.principle)] for unit in units]
    return tuple(
        replace(unit, judgment=new.judgment, sub_verdict=new.sub_verdict)
        for unit, new in zip(units, judgments, strict=True)
    )


def _spoken(text: str) -> str:
    """The text without what the teacher only thought; empty where a thought never ends."""
    document = Document.of(text)
    return document.text.strip() if document else ""


_SOURCES = re.compile(r"\s*\(units? ([\d ,and]+)\)$", re.IGNORECASE)


def _with_sources(unit: Unit, sources: Sequence[Source], text: str) -> tuple[Unit, list[int]]:
    """The unit without the note of its sources, and their indices."""
    note = _SOURCES.search(unit.principle)
    if note is None:
        raise UnreadableError("merge", f"principle {unit.principle!r} names no units that it was made of", text)
    numbers = [int(number) - 1 for number in re.findall(r"\d+", note[1])]
    return replace(unit, principle=unit.principle[: note.start()]), numbers


def _written(unit: Unit, group: Sequence[Source]) -> Merged:
    counted = merged(group)
    return replace(counted, unit=replace(unit, sub_verdict=counted.unit.sub_verdict))
