"""FLIP: infers the request from the response alone, and scores how many words it shares with the real request.

Method: "Small Reward Models via Backward Inference" (arXiv 2602.13551; github.com/yikee/FLIP). The wording of the
prompt is ours; the similarity and the reading of the reply are the published ones.

    word_f1("Name a colour.", "Name the colour of the sky.")                # 0.667
    (await FlipReward(engine=engine)(comparison)).scores                    # per response: 0.0 to 1.0

The prompt shows the response and the turns before the last user turn, but not that turn, which the model is to infer. A
system prompt is shown; the paper also infers system prompts, which is not implemented. `backward` scores the same
inference by the log-probability of the real request, without writing text.

It is blind to everything that the request does not mention: a false answer names the task as well as a true one. A
response that repeats its request gets a high score, whatever else it says (`fathom probe --probe echo`); short answers
("Yes.") contain too little to infer anything; a paraphrase or a translation of the request shares few words with it.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from fathom import prompts
from fathom.data.records import Comparison
from fathom.engines import ChatMessage
from fathom.errors import FathomError
from fathom.judges import Arity, Judge, Vote, without_text
from fathom.rationale import Status
from fathom.rationale.transcript.thoughts import split_reasoning
from fathom.rewards import without_request

KEY = "inferred instruction"
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, kw_only=True)
class FlipReward(Judge):
    """Scores each response alone, by one generated text per response."""

    arity: ClassVar[Arity] = "pointwise"

    def __post_init__(self) -> None:
        if self.rubric is not None:
            raise FathomError("flip infers a request and reads no criteria; leave the rubric out, or use another judge")

    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        """The prompt, which never shows the request."""
        self.check(comparison)
        text = prompts.render("flip", context=comparison.context, response=comparison.responses[0])
        return [{"role": "user", "content": text}]

    def decided(self, comparison: Comparison) -> Vote | None:
        """A response or a request without text is invalid: a reply to it would score words by accident."""
        return without_text(*comparison.responses) or without_request(comparison)

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The F1 of the inferred request. As published, a reply without the JSON object is itself the request.

        A reply that was cut off has the status `truncated` and no score.
        """
        _, reply = split_reasoning(text)
        if reply is None or not finished:
            return Vote(Status.TRUNCATED)
        inferred = next(_requests(reply), reply).strip()
        if not inferred:
            return Vote(Status.MISSING)
        return Vote(Status.OK, scores=(word_f1(inferred, comparison.request),))

    def vote_reward(self, vote: Vote, comparison: Comparison) -> float:
        """Raises FathomError: the paper trains policies with this reward, and no judge."""
        raise FathomError("FLIP has no reward for judging: its model is used as it is; use yes_no or libra instead")


def _requests(reply: str) -> Iterator[str]:
    """The inferred requests in the JSON objects of a reply. Line breaks inside strings are allowed."""
    decoder = json.JSONDecoder(strict=False)
    for brace in re.finditer(r"\{", reply):
        try:
            found, _ = decoder.raw_decode(reply, brace.start())
        except (ValueError, RecursionError):
            continue
        yield from _values(found)


def _values(table: dict[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if key.replace("_", " ").strip().lower() == KEY and isinstance(value, str):
            yield value


def word_f1(inferred: str, request: str) -> float:
    """The F1 of two texts as multisets of words, 0 to 1: lower case, without punctuation and articles.

    0 if no word is left of either text.

    >>> round(word_f1("Name a colour.", "Name the colour of the sky."), 3)
    0.667
    """
    ours, theirs = _words(inferred), _words(request)
    shared = (ours & theirs).total()
    # 2pr / (p + r) with p = shared / |ours| and r = shared / |theirs|.
    return 2 * shared / (ours.total() + theirs.total()) if shared else 0.0


def _words(text: str) -> Counter[str]:
    return Counter(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


JUDGE = FlipReward
