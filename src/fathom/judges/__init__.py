"""Judges: `ask` turns a comparison into a prompt, `read` parses a completion into a vote. Both are pure functions.

Training uses the same two functions: `ask` makes the training prompts, and the reward is computed from what `read`
returns. So training and inference never differ in prompt or parser.

To add a judge, add a file here that binds a subclass of `Judge` to the name `JUDGE`, a template in `prompts/` and a
test. The command line finds the judge by the file's name.
"""

from __future__ import annotations

from fathom.errors import FathomError
from fathom.judges._degenerate import contains_answer, find_degeneracy
from fathom.judges._judge import Judge, as_judge
from fathom.judges._probabilities import word_share
from fathom.judges._reward_model import (
    DEFAULT_RULES,
    Arity,
    Ask,
    EngineRewardModel,
    RewardModel,
    complete,
    failed_vote,
    gather,
    merge_pointwise,
    without_text,
)
from fathom.judges._rewards import pairwise_advantages, required_label, solving_reward, strength_reward, verdict_reward
from fathom.judges._running import ResultOrder, bounded_gather, judge_all
from fathom.judges._sequential import SequentialRewardModel, sequential_votes
from fathom.judges._verdict import (
    Rule,
    Verdict,
    Vote,
    log_odds,
    reduce_steps,
    scored_by_steps,
    tempered,
    unique_argmax,
)
from fathom.judges._wrapper import RewardModelWrapper, Variant
from fathom.plugins import PluginKind

__all__ = [
    "DEFAULT_RULES",
    "JUDGES",
    "Arity",
    "Ask",
    "EngineRewardModel",
    "Judge",
    "ResultOrder",
    "RewardModel",
    "RewardModelWrapper",
    "Rule",
    "SequentialRewardModel",
    "Variant",
    "Verdict",
    "Vote",
    "as_judge",
    "bounded_gather",
    "complete",
    "contains_answer",
    "failed_vote",
    "find",
    "find_degeneracy",
    "gather",
    "judge_all",
    "log_odds",
    "merge_pointwise",
    "pairwise_advantages",
    "reduce_steps",
    "required_label",
    "scored_by_steps",
    "sequential_votes",
    "solving_reward",
    "strength_reward",
    "tempered",
    "unique_argmax",
    "verdict_reward",
    "without_text",
    "word_share",
]

JUDGES = PluginKind("judge", packages=(__name__, "fathom.rewards"), group="fathom.judges", attribute="JUDGE")


def find(name: str, *, installed: bool = False) -> type[EngineRewardModel]:
    """Find the class of a judge, or of a reward model that writes no text.

    It is a file in this package or in `fathom.rewards`, an entry point in `fathom.judges`, FILE.py or MODULE:NAME. With
    `installed`, only installed packages are searched. Raises FathomError for an unknown name, listing all judges.
    """
    judge = JUDGES.find(name, installed=installed)
    if not (isinstance(judge, type) and issubclass(judge, EngineRewardModel)):
        raise FathomError(f"the judge {name!r} is {judge!r}, expected a subclass of fathom.Judge")
    return judge
