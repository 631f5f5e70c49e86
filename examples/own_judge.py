"""A judge of your own: a prompt and a parser. Votes, orders, journals and rankings come with them.

python examples/own_judge.py
fathom judge answers.jsonl --judge examples/own_judge.py --model Qwen/Qwen3-8B
"""

import re
from dataclasses import dataclass
from typing import ClassVar

import fathom


@dataclass(frozen=True, kw_only=True)
class Politeness(fathom.Judge):
    """Scores one response at a time from 0 to 5. Asked about several, it scores each alone."""

    arity: ClassVar[fathom.Arity] = "pointwise"

    def ask(self, comparison: fathom.Comparison) -> list[fathom.ChatMessage]:
        question = "How polite is this reply, from 0 to 5? End with: Score: n"
        # Fenced, so that no response can pose as a part of the prompt.
        return [{"role": "user", "content": f"{question}\n\n{fathom.fenced(comparison.responses[0])}"}]

    def read(self, text: str, comparison: fathom.Comparison, *, finished: bool = True) -> fathom.Vote:
        found = re.findall(r"Score: ([0-5])\b", text)
        if not found:  # never a score that the text does not state
            return fathom.Vote(fathom.Status.MISSING if finished else fathom.Status.TRUNCATED, text=text)
        return fathom.Vote(fathom.Status.OK, scores=(float(found[-1]),), text=text)


JUDGE = Politeness


def count_pleases(request: fathom.Request) -> str:
    """Stands in for a model. `fathom.LocalEngine` and `fathom.OpenAIEngine` run real ones."""
    polite = request.messages[0]["content"].lower().count("please")
    return f"I count {polite} of them. Score: {min(5, polite)}"


def main() -> None:
    comparisons = [
        fathom.Comparison(
            id="1", prompt="Ask for tea.", responses=("Tea!", "Tea, please.", "Please, some tea, please.")
        )
    ]
    judge = Politeness(engine=fathom.ScriptedEngine(count_pleases))
    for comparison, verdict in fathom.Repeated(judge, 2).run(comparisons):
        print(comparison.id, verdict.status, "winner:", verdict.winner, "votes:", [v.scores for v in verdict.votes])


if __name__ == "__main__":
    main()
