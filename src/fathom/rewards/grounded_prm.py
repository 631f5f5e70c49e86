"""GroundedPRM: a judge of steps that computes with a tool before it says whether a step is right.

    fathom judge solutions.jsonl --judge grounded_prm --model M --base-url URL --out verdicts.jsonl

Method: "GroundedPRM" (arXiv 2510.14942), known from its abstract, and its code (github.com/JerryPlain/GroundedPRMCode).
There, a model writes a query for Wolfram Alpha, and then judges a step by its logic and by the result; without a usable
result it judges by the logic alone. Here the tools are a calculator and, if asked for, Python programs in a sandbox:

    --judge-option 'tools=[calculator, python]'

The loop of calls, its bounds and its transcript are in `fathom.rewards._tool_judge`. The wording of the prompt is ours.
The authors use the labels for tree search and training, which are not part of this judge.

It is blind to what no tool can compute: whether the step computes the right thing is the model's own opinion.
"""

from __future__ import annotations

from dataclasses import dataclass

from fathom.rewards._tool_judge import ToolJudge


@dataclass(frozen=True, kw_only=True)
class GroundedPRM(ToolJudge):
    """Judges the steps of each solution alone, with a calculator."""

    @property
    def template_name(self) -> str:
        return "tools/grounded_prm"


JUDGE = GroundedPRM
