"""The Mix judge: many principles (breadth) for preference tasks, its own solution first (depth) for correctness tasks.

Method: "Beyond Length Scaling: Synergizing Breadth and Depth for Generative Reward Models" (arXiv 2603.01571).

    judge = MixJudge(engine=engine)                    # any LLM, with full instructions in the prompt
    judge = MixJudge(engine=engine, trained=True)      # a model trained by `fathom train`, which picks the structure
    verdict = await judge(comparison)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fathom import prompts
from fathom.data.records import Comparison
from fathom.engines import ChatMessage
from fathom.judges import Judge
from fathom.judges._verdict import Vote
from fathom.rationale import parse

Style = Literal["vanilla", "breadth", "depth", "mix", "hybrid"]


@dataclass(frozen=True, kw_only=True)
class MixJudge(Judge):
    """Judges pairs. `style` is the structure of the rationale; with `mix` the model chooses between breadth and depth.

    The prompt explains the style and the format. `trained` selects the short prompt of the training data instead, which
    only names the style, and does not mention `mix`.
    """

    gives_scores: ClassVar[bool] = False
    style: Style = "mix"
    trained: bool = False

    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        self.check(comparison)
        text = prompts.render(
            "mix/trained" if self.trained else f"mix/{self.style}",
            instruction=comparison.prompt_text,
            responses=comparison.responses,
            reference=comparison.reference,
            style=self.style,
        )
        return [{"role": "user", "content": text}]

    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        reading = parse(text, finished=finished)
        winner = {"A": 0, "B": 1}.get(reading.rationale.verdict or "")
        return Vote(reading.status, winner=winner, rationale=reading.rationale)


JUDGE = MixJudge
