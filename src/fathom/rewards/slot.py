"""ESFP-RM, our reconstruction: an explanation in words, then a masked language model whose slot holds the verdict.

    judge = SlotReward(engine=LocalEngine("smollm2"), slot="runs/slot")     # one writes, the other reads
    (await judge(comparison)).scores                                        # P(good) per response, 0 to 1

Idea: ESFP-RM, an explanation-based slot framework (arXiv 2508.18212). The paper was withdrawn, and only its abstract is
known to us: a judging reward model in two stages, an explanation and a masked language model that fills a slot. The
prompts, the words of the slot and the loss are ours. None of the paper's results is claimed here.

1. Any engine that writes text explains the response or, with `pairs`, how two responses differ.
2. A masked language model (any AutoModelForMaskedLM) reads prompt, response, explanation and a cloze sentence. The
   probabilities of `words` in its slot are the verdict: the expected value of the rating, or the probability that the
   first response is better.

The explanation is stripped of words that state a verdict, so that the slot does not merely copy one (`strip`), and the
words are calibrated by the same cloze without responses and explanation (`calibrate`). Given the explanation the score
is deterministic; several votes have several explanations, and their probabilities are averaged.

Responses are not fenced from the cloze, because a masked language model knows no fences: a response that rates itself
may be believed. The text must fit into the masked language model's context, often 512 tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fathom import prompts
from fathom.data.records import Comparison
from fathom.engines import (
    Answer,
    AnyRequest,
    Capability,
    ChatMessage,
    Completion,
    Engine,
    SlotRequest,
    SlotScores,
    answer,
)
from fathom.engines.checkpoints import resolve_checkpoint
from fathom.engines.heads import DESCRIPTION
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import Arity, Judge, Rule, Vote, without_text
from fathom.rationale import Status
from fathom.rationale.transcript.thoughts import split_reasoning
from fathom.rewards._beside import opened_beside
from fathom.rewards._cloze import Cloze as Cloze
from fathom.rewards._cloze import log_odds, probabilities
from fathom.rewards._cloze import strip_verdicts as strip_verdicts

NAME = "slot"
SUMMARY = "[slot: "
"""Begins the judge's own line after the explanation in the text of a vote."""


@dataclass(frozen=True, kw_only=True)
class SlotReward(Judge):
    """Scores each response alone or, with `pairs`, judges pairs.

    `slot`: the folder or hub name of the masked language model; `pairs`, `words` and `values` are by default those that
    it was trained with. With `explain=False` there is no first stage, and the engine itself is the masked language
    model. `leak` also reads each explanation without what it explains; the vote's text has the result.
    """

    slot: str | None = None
    pairs: bool | None = None
    words: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    explain: bool = True
    strip: bool = True
    calibrate: bool = True
    leak: bool = False

    def __post_init__(self) -> None:
        _ = self.cloze  # mistakes in settings must be found before a model is loaded
        if self.slot is not None:
            resolve_checkpoint(self.slot)
        if self.explain == (self.slot is None):
            if self.explain:
                raise FathomError(
                    "the judge 'slot' needs a masked language model beside the one that explains: give "
                    "--judge-option slot=FOLDER, or explain=false with --engine masked"
                )
            raise FathomError(
                f"slot={self.slot} has no effect with explain=false; give the model as --model, with --engine masked"
            )
        if self.rubric is not None and not self.explain:
            raise FathomError(
                "with explain=false, the judge 'slot' has no model that reads criteria; leave the rubric out"
            )

    @cached_property
    def cloze(self) -> Cloze:
        given = {"pairs": self.pairs, "words": self.words, "values": self.values}
        known = {name: value for name, value in given.items() if value not in (None, ())}
        try:
            return Cloze.model_validate(_described(self.slot) | known)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise FathomError(f"the judge 'slot': {problem}") from None

    @property
    def arity(self) -> Arity:  # type: ignore[override]
        return "pairwise" if self.cloze.pairs else "pointwise"

    @property
    def threshold(self) -> float | None:  # type: ignore[override]
        """The middle of the range of values."""
        return None if self.cloze.pairs else (min(self.cloze.values) + max(self.cloze.values)) / 2

    @property
    def rule(self) -> Rule:
        return Rule(aggregate="mean")

    @property
    def needs(self) -> frozenset[Capability]:
        return frozenset({"text"}) if self.explain else frozenset({"slot"})

    # The explanation --------------------------------------------------------------------------------------------------

    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        """The prompt that asks for the explanation."""
        self.check(comparison)
        name = "slot/explain_pair" if self.cloze.pairs else "slot/explain"
        text = prompts.render(name, instruction=comparison.prompt_text, responses=comparison.responses)
        return [{"role": "user", "content": text}]

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """An explanation holds no verdict; the slot does."""
        return Vote(Status.MISSING, error="the text is an explanation: the slot was not read")

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        raise FathomError("fathom train slot trains the masked language model; RLVR cannot train this judge")

    def explanation(self, completion: Completion) -> tuple[str, int]:
        """The explanation as the slot sees it, and how many words were stripped of it."""
        text = explanation_in(completion.text)
        return strip_verdicts(text, self.cloze.words) if self.strip else (text, 0)

    # The slot ---------------------------------------------------------------------------------------------------------

    def requests(self, comparison: Comparison, sample: int = 0) -> tuple[AnyRequest, ...]:  # type: ignore[override]
        if self.explain:
            if self.engine is not None:
                _ = self.reader  # a model that cannot be loaded must be found before an explanation is paid for
            return (self.request(comparison, sample),)
        return self.readings(comparison, "")

    @cached_property
    def reader(self) -> Engine:
        """The masked language model beside the engine that explains. Raises FathomError if it cannot be loaded."""
        return opened_beside(self.engine, str(self.slot), "masked")

    def readings(self, comparison: Comparison, explanation: str) -> tuple[SlotRequest, ...]:
        """The cloze; with `calibrate` the one without content; with `leak` the one with the explanation alone."""
        blank = (self.cloze.blank(comparison),) if self.calibrate else ()
        alone = (self.cloze.alone(comparison, explanation),) if self.leak and explanation else ()
        return (self.cloze.request(comparison, explanation), *blank, *alone)

    async def more_answers(self, answers: Sequence[Answer], comparison: Comparison) -> tuple[Answer, ...]:
        if not self.explain or not isinstance(answers[0], Completion):
            return ()
        explanation, _ = self.explanation(answers[0])
        if not explanation or answers[0].finish_reason != "stop":
            return ()
        return tuple([await answer(self.reader, request) for request in self.readings(comparison, explanation)])

    def decided(self, comparison: Comparison) -> Vote | None:
        """An empty response is invalid: there is nothing to explain."""
        return without_text(*comparison.responses)

    def read_answers(self, answers: Sequence[Answer], comparison: Comparison) -> Vote:
        order = tuple(range(len(comparison.responses)))
        completion = answers[0] if isinstance(answers[0], Completion) else None
        slots = [each for each in answers if isinstance(each, SlotScores)]
        usage = sum((each.usage for each in answers), Usage())
        text = completion.text if completion else ""
        if not slots:
            status, error = _unread(completion)
            return Vote(status, order=order, usage=usage, text=text, error=error)
        shares = probabilities(slots[0].logprobs, slots[1].logprobs if self.calibrate else None)
        lines = [text, self._summary(shares, slots, completion)]
        known: dict[str, Any] = {"order": order, "usage": usage, "text": "\n\n".join(filter(None, lines))}
        if not self.cloze.pairs:
            return Vote(Status.OK, scores=(self.cloze.score(shares),), **known)
        winner = None if shares[0] == shares[1] else int(shares[1] > shares[0])
        return Vote(Status.OK, winner=winner, scores=shares, probabilities=shares, **known)

    def _summary(self, shares: Sequence[float], slots: Sequence[SlotScores], completion: Completion | None) -> str:
        """The verdict of the slot in words, after the explanation."""
        words = self.cloze.words
        listed = ", ".join(f"{word} {share:.4f}" for word, share in zip(words, shares, strict=True))
        line = f"{SUMMARY}{listed}; log-odds {log_odds(shares):.3f}"
        if completion is not None and self.strip:
            line += f"; {self.explanation(completion)[1]} verdict words stripped"
        if len(slots) == 2 + self.calibrate:
            alone = probabilities(slots[-1].logprobs, slots[1].logprobs if self.calibrate else None)
            line += f"; the explanation alone: {words[-1]} {alone[-1]:.4f}"
        return f"{line}]"


def explanation_in(text: str) -> str:
    """The explanation in what a model wrote, or in the text of a vote with a score: without reasoning before it."""
    written, marked, _ = text.rpartition(f"\n\n{SUMMARY}")
    return (split_reasoning(written if marked else text)[1] or "").strip()


def _unread(completion: Completion | None) -> tuple[Status, str]:
    if completion is not None and completion.finish_reason in ("refusal", "content_filter"):
        return Status.REFUSED, "the model declined to explain"
    if completion is not None and completion.finish_reason == "length":
        return Status.TRUNCATED, "the explanation is cut off at the token limit"
    if completion is not None and completion.text.strip():
        return Status.MISSING, "no explanation is left to read, or the slot was not read"
    return Status.MISSING, "the explanation is empty"


def _described(slot: str | None) -> dict[str, Any]:
    """The cloze with which a masked language model was trained; empty for any other model.

    Raises FathomError for a `fathom.json` of another kind of model.
    """
    path = Path(slot or "") / DESCRIPTION
    if slot is None or not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
        if found.get("name") != NAME:
            raise FathomError(
                f"{path} describes the judge {found.get('name')!r}; expected a model of fathom train slot"
            )
    except (ValueError, AttributeError) as error:
        raise FathomError(f"{path} is not a JSON object: {error}; expected a model of fathom train slot") from error
    return {name: found[name] for name in Cloze.model_fields if name in found}


JUDGE = SlotReward
