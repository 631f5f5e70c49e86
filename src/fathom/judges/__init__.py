"""A judge is two pure functions: `ask` makes a prompt of a comparison, `read` makes a vote of a completion.

Training uses the same two (`ask` makes the training prompt, `read` the reward), so a model is trained on exactly the
text that it is later asked, and rewarded by exactly the reader that later reads it.

A new judge is one file here with a subclass of `Judge` named `JUDGE`, a template in `prompts/` and a test; the file's
name is how the command line finds it.
"""

from __future__ import annotations

from fathom.errors import FathomError
from fathom.judges._degenerate import contains_answer, degenerate
from fathom.judges._judge import (
    DEFAULT_RULES,
    Ask,
    Judge,
    Pattern,
    RewardModel,
    complete,
    failed_vote,
    gather,
    merge_pointwise,
)
from fathom.judges._rewards import difference_advantages, solving_reward, strength_reward, verdict_reward
from fathom.judges._running import ResultOrder, bounded_gather, judge_all
from fathom.judges._verdict import Rule, Verdict, Vote, highest, reduce_steps
from fathom.plugins import Kind

__all__ = [
    "DEFAULT_RULES",
    "JUDGES",
    "Ask",
    "Judge",
    "Pattern",
    "ResultOrder",
    "RewardModel",
    "Rule",
    "Verdict",
    "Vote",
    "bounded_gather",
    "complete",
    "contains_answer",
    "degenerate",
    "difference_advantages",
    "failed_vote",
    "find",
    "gather",
    "highest",
    "judge_all",
    "merge_pointwise",
    "reduce_steps",
    "solving_reward",
    "strength_reward",
    "verdict_reward",
]

JUDGES = Kind("judge", package=__name__, group="fathom.judges", attribute="JUDGE")


def find(name: str, *, installed: bool = False) -> type[Judge]:
    """The class of a judge: a file in this package, an entry point in `fathom.judges`, FILE.py or MODULE:NAME.

    With `installed`, code outside the installed packages is refused. Raises FathomError for a name that stands for no
    judge, with the names of all judges.
    """
    judge = JUDGES.find(name, installed=installed)
    if not (isinstance(judge, type) and issubclass(judge, Judge)):
        raise FathomError(f"the judge {name!r} is {judge!r}, expected a subclass of fathom.Judge")
    return judge
