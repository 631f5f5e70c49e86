"""Formal labels: a solver proves or refutes the statements of each step, without a model or a reference answer.

    verdicts(["3 * 2 = 6", "so 6 + 1 = 8"])         # ("right", "wrong")

Source: FoVer (arXiv 2505.15960): a step is right if its assumptions and the negation of its conclusion are
unsatisfiable, which Z3 decides. There a language model translates word problems for a proof assistant. Here rules
translate equations and propositional inferences, and no other statement: `_statements` says which ones.

A step without such a statement is `untranslated` and has no label; the metadata of a row and the manifest say so. The
label 1 means that what was translated is right, not that the step is: a wrong equation for the problem may be computed
rightly. Steps after the first wrong one have no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fathom.engines import Capability
from fathom.labelers._formal import Verdict, verdicts
from fathom.labelers._labeler import Labeler, Labelled, Labels, Tools
from fathom.labelers._solutions import Solution


class FormalVerification(Labeler):
    """Labels of steps with equations or propositional inferences."""

    needs: ClassVar[frozenset[Capability]] = frozenset()
    needs_reference: ClassVar[bool] = False
    variables: bool = False
    """A contradiction between equations with variables is an error: for texts in which a letter has one meaning."""

    async def label_solution(self, solution: Solution, tools: Tools) -> Labelled:
        found = verdicts(solution.steps, variables=self.variables)
        labels = step_labels(found)
        return Labelled(solution, labels, sources={"fover": labels}, verdicts=tuple(map(str, found)))


def step_labels(found: Sequence[Verdict]) -> Labels:
    """1 for right steps and 0 for the first wrong one; None for later ones and for those without a decision."""
    wrong = found.index(Verdict.WRONG) if Verdict.WRONG in found else len(found)
    named = {Verdict.RIGHT: 1.0, Verdict.WRONG: 0.0}
    return tuple(named.get(verdict) if step <= wrong else None for step, verdict in enumerate(found))


LABELER = FormalVerification
