"""The judgments that the server makes before it takes requests. They load the model, and test a verifier.

    misjudged = await self_test(judge)                # None, or why the verifier should not be trusted

A verifier is a judge of single responses with a threshold. It must call the right result of a sum right, and a wrong
one wrong: the most common faults, such as another chat template or exchanged labels, fail this test. Passing it says
nothing about harder questions. Other judges are only called once.
"""

from __future__ import annotations

from fathom.data.records import Comparison
from fathom.errors import FathomError
from fathom.judges import RewardModel, Verdict
from fathom.rationale import Status

WARM_UP = Comparison(prompt="Say hello.", responses=("Hello.", "Hello there."))
QUESTION = "Compute 17 + 25."
RIGHT, WRONG = (
    Comparison(prompt=QUESTION, responses=(f"17 + 25 = {result}\n\nThe answer is {result}.",), reference="42")
    for result in (42, 43)
)


def is_verifier(judge: RewardModel) -> bool:
    """Whether the self-test checks the verdicts of this judge."""
    return judge.arity == "pointwise" and judge.threshold is not None


async def self_test(judge: RewardModel) -> str | None:
    """What the judge misjudged, if anything. Raises FathomError if a call fails."""
    if not is_verifier(judge):
        _check(await judge(WARM_UP.subset((0,)) if judge.arity == "pointwise" else WARM_UP))
        return None
    for comparison, expected in ((RIGHT, True), (WRONG, False)):
        verdict = await judge(comparison)
        _check(verdict)
        if _is_right(verdict) is not expected:
            found = f"got the score {verdict.scores[0]:g}" if verdict.scores else f"its verdict is {verdict.status}"
            side = "at or above" if expected else "below"
            return f"the judge misjudges '{comparison.responses[0].splitlines()[0]}': {found}, expected one {side} " + (
                f"the threshold {judge.threshold:g}"
            )
    return None


def _check(verdict: Verdict) -> None:
    failed = next((vote for vote in verdict.votes if vote.status is Status.FAILED), None)
    if failed is not None:
        raise FathomError(failed.error or "the call failed")


def _is_right(verdict: Verdict) -> bool | None:
    if verdict.status is not Status.OK or not verdict.scores or verdict.threshold is None:
        return None
    return verdict.scores[0] >= verdict.threshold
