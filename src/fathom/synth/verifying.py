"""Training data for a verifier, with truncated negatives: `fathom synth FILE --arm verifier`.

    rows = verifying.examples(comparisons, truncated=0.11, seed=0)         # prompt, completion YES or NO

Method: "One token to fool LLM-as-a-judge" (arXiv 2507.08794). A verifier that was trained on complete solutions only
may accept an opener such as "Thought process:". So the first sentences of right solutions are added as negatives: one
example in nine in the paper. Keys that `fathom probe` tests are excluded, so that the probe measures generalisation.

Comparisons need a reference answer, and a label that scores each response 1 (right) or 0 (wrong). First
sentences that contain the reference literally are excluded; one that states the answer in other words is not detected.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.judges import contains_answer
from fathom.judges.verifier import VerifierJudge
from fathom.probes.keys import keys
from fathom.results.provenance import write_json
from fathom.synth.merging import normalise, sentences

TRUNCATED = 0.11
"""Share of truncated negatives in the paper's data: 20,000 of 180,000."""


_ABBREVIATED = re.compile(
    r"\b(?:[a-z]|dr|mrs?|ms|prof|st|jr|sr|no|nr|eqs?|figs?|vs|cf|ca|approx|resp|thm|def|sec|ch|vol|pp?)\.$",
    re.IGNORECASE,
)


class Answer(NamedTuple):
    """A comparison with a single response, and whether that is right."""

    comparison: Comparison
    right: bool
    truncated: bool = False


def examples(comparisons: Iterable[Comparison], *, truncated: float = 0.0, seed: int = 0) -> list[dict[str, Any]]:
    """One SFT row per response, plus truncated negatives, which are the share `truncated` of all rows.

    With n answers and a share s, round(n s / (1 - s)) negatives are added. Raises FathomError if there are no
    comparisons, if one lacks the reference or the label, or if there are too few right solutions of several sentences.
    """
    if not 0 <= truncated < 1:
        raise FathomError(f"got the share {truncated} of truncated negatives, expected at least 0 and below 1")
    answers = [answer for comparison in comparisons for answer in _alone(comparison)]
    if not answers:
        raise FathomError("got no comparisons, expected at least one")
    rng = random.Random(f"truncated/{seed}")
    rows = answers + _drawn(answers, round(len(answers) * truncated / (1 - truncated)), rng)
    rng.shuffle(rows)
    judge = VerifierJudge(trained=True)
    return [_row(judge, answer) for answer in rows]


def _alone(comparison: Comparison) -> Iterator[Answer]:
    scores = comparison.label.scores if comparison.label else None
    if scores is None or not set(scores) <= {0.0, 1.0}:
        raise FathomError(
            f"comparison {comparison.id!r} has no label with a score of 1 (right) or 0 (wrong) for each response; "
            "expected such scores"
        )
    for place, score in enumerate(scores):
        yield Answer(comparison.subset((place,)), right=score == 1)


def _drawn(answers: Sequence[Answer], count: int, rng: random.Random) -> list[Answer]:
    negatives = [negative for answer in answers if (negative := truncate(answer)) is not None]
    if count > len(negatives):
        raise FathomError(
            f"the share needs {count} truncated negatives, but only {len(negatives)} right solutions have a first "
            "sentence that does not state the answer; lower --truncated"
        )
    return rng.sample(negatives, count)


def truncate(answer: Answer) -> Answer | None:
    """The first sentence of a right solution, as a negative; None if it may be right itself, or is a master key."""
    comparison = answer.comparison
    first, *others = [sentence.strip() for sentence in sentences(comparison.responses[0])] or [""]
    if not answer.right or not others or contains_answer(first, comparison.reference or ""):
        return None
    if normalise(first) in _keys() or not _is_sentence(first):
        return None
    shorter = comparison.model_copy(update={"id": f"{comparison.id}/truncated", "responses": (first,)})
    return Answer(shorter, right=False, truncated=True)


def _is_sentence(text: str) -> bool:
    """Whether a split text is a sentence, and not a list number, a code fence or cut at an abbreviation."""
    return any(map(str.isalpha, text)) and "```" not in text and not _ABBREVIATED.search(text)


@cache
def _keys() -> set[str]:
    return {normalise(key) for texts in keys().values() for key in texts}


def _row(judge: VerifierJudge, answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.comparison.id,
        "truncated": answer.truncated,
        "prompt": judge.prompt(answer.comparison),
        "completion": [{"role": "assistant", "content": "YES" if answer.right else "NO"}],
    }


def counts(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Number of rows with YES, with NO, and of truncated negatives."""
    answers = [(row["completion"][0]["content"], row["truncated"]) for row in rows]
    by_answer = {word: sum(answer == word for answer, _ in answers) for word in ("YES", "NO")}
    return {**by_answer, "truncated": sum(truncated for _, truncated in answers)}


def summary(counts: Mapping[str, int]) -> str:
    """The counts as text."""
    return f"YES {counts['YES']}, NO {counts['NO']}, of which truncated {counts['truncated']}"


def write(rows: Sequence[Mapping[str, Any]], out: Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Write verifier.jsonl and manifest.json into the folder `out`."""
    write_jsonl(out / "verifier.jsonl", rows)
    write_json(out / "manifest.json", {**(provenance or {}), "completions": counts(rows)})
