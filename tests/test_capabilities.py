"""What a judge needs of its engine is checked before anything is asked."""

from __future__ import annotations

import pytest

from fathom import EngineSettings, FathomError, JudgeSettings, JudgingSettings, ScriptedEngine, Session


def test_a_judge_of_log_probabilities_is_refused_an_engine_without_them() -> None:
    engine = ScriptedEngine("Yes", provides=["text"])
    settings = JudgingSettings(engine=EngineSettings(model="mini"), judge=JudgeSettings(judge="yes_no"))
    with pytest.raises(
        FathomError, match=r"the judge YesNoJudge needs an engine with logprobs; scripted provides text"
    ):
        Session(settings, engine=engine)
    assert engine.requests == []
