"""The synthesis steps that call the teacher, one method each: the prompt, and the parsing of the answer.

Every step returns a parsed value, or raises `UnreadableError` with the text of the answer. No step guesses.
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
    """A step without a usable answer. `text` is the teacher's answer; `failed` means that the call failed."""

    def __init__(self, stage: str, reason: str, text: str = "", *, failed: bool = False) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason
        self.text = text
        self.failed = failed


@dataclass
class Steps:
    """The steps for one comparison. `usage` sums the tokens of each stage."""

    engine: Engine
    sampling: Sampling
    usage: dict[Stage, Usage] = field(default_factory=dict)

    async def sample(self, comparison: Comparison, sample: int) -> Vote:
        """One vanilla judgment, parsed by the judge."""
        judge = MixJudge(style="vanilla", engine=self.engine, sampling=self.sampling)
        (vote,) = await judge.votes(comparison, sample)
        self._spent("sample", vote.usage)
        return vote

    async def standardise(self, vote: Vote, sample: int) -> Rationale:
        """Have the teacher rewrite a text without parsed units. The verdict stays that of the text, if it has one."""
        text = await self._text("standardise", sample, evaluation=vote.text)
        rationale = parse(text).rationale
        if not rationale.units:
            raise UnreadableError("standardise", "the answer has no units", text)
        own = vote.rationale.verdict if vote.rationale else None
        return Rationale(rationale.units, verdict=own or rationale.verdict)

    async def merge(self, sources: Sequence[Source]) -> list[Merged]:
        """Have the teacher merge the sources, and name the sources of each merged unit.

        The teacher writes principle, definition and judgment. Counts, places and sub-verdicts come from the sources.
        """
        units = [render(Rationale((source.unit,))).partition(": ")[2] for source in sources]
        text = await self._text("merge", units=units)
        made = [_with_sources(unit, sources, text) for unit in parse(text).rationale.units]
        used = [source for _, group in made for source in group]
        if sorted(used) != sorted(range(len(sources))):
            raise UnreadableError("merge", f"units 1 to {len(sources)} are not used exactly once each", text)
        return [_written(unit, [sources[index] for index in group]) for unit, group in made]

    async def solve(self, comparison: Comparison) -> str:
        """The teacher's own solution. The prompt has neither response, so the solution is independent of them."""
        text = await self._text("solve", instruction=comparison.prompt_text)
        solution = _spoken(text)
        if not solution:
            raise UnreadableError("solve", "the answer has no solution outside of the reasoning", text)
        return solution

    async def choose(self, comparison: Comparison, units: Sequence[Unit]) -> list[Unit]:
        """The one to three principles that decide whether a response is right, the most critical first."""
        text = await self._text("choose", instruction=comparison.prompt_text, units=units)
        last_line = _spoken(text).rpartition("\n")[2]
        numbers = list(dict.fromkeys(int(number) for number in re.findall(r"\d+", last_line)))
        if numbers == [0]:
            raise UnreadableError("choose", "no principle can be decided by a solution", text)
        if not numbers or not all(1 <= number <= len(units) for number in numbers):
            raise UnreadableError("choose", f"the last line names no numbers from 1 to {len(units)}", text)
        return [units[number - 1] for number in numbers[:MAX_DEPTH_PRINCIPLES]]

    async def refine(self, comparison: Comparison, units: Sequence[Unit], trace: str) -> Rationale:
        """The depth rationale: the trace, and `units` judged again, against the trace."""
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
            raise UnreadableError("refine", f"expected judgments on {len(units)} principles, got {len(written)}", text)
        if not {unit.sub_verdict for unit in written} & {reading.rationale.verdict, "MIXED", None}:
            raise UnreadableError("refine", "every sub-verdict contradicts the verdict", text)
        return Rationale(_rejudged(units, written, text), trace, reading.rationale.verdict)

    async def _text(self, stage: Stage, sample: int = 0, **values: Any) -> str:
        """The teacher's complete answer to the prompt of this stage."""
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
    """`units` with their new judgments, matched by name. A single judgment needs no name."""
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
    """The text without the teacher's reasoning; empty if a reasoning block is not closed."""
    document = Document.of(text)
    return document.text.strip() if document else ""


_SOURCES = re.compile(r"\s*\(units? ([\d ,and]+)\)$", re.IGNORECASE)


def _with_sources(unit: Unit, sources: Sequence[Source], text: str) -> tuple[Unit, list[int]]:
    """Split the note of its sources, such as "(units 1, 3)", from a unit. Returns the unit and the indices."""
    note = _SOURCES.search(unit.principle)
    if note is None:
        raise UnreadableError("merge", f"principle {unit.principle!r} does not name its source units", text)
    numbers = [int(number) - 1 for number in re.findall(r"\d+", note[1])]
    return replace(unit, principle=unit.principle[: note.start()]), numbers


def _written(unit: Unit, group: Sequence[Source]) -> Merged:
    counted = merged(group)
    return replace(counted, unit=replace(unit, sub_verdict=counted.unit.sub_verdict))
