"""Adapters for trainers, called as the trainers call them. `tests/test_contracts.py` runs the trainers' own code."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom import FathomError
from fathom.adapters import slime, unscored
from fathom.adapters.ms_swift import SwiftPlugin, SwiftReward, SwiftSamplingReward
from fathom.adapters.openrlhf import OpenRLHFReward
from fathom.adapters.skyrl import SkyRLReward
from fathom.adapters.slime import SlimeReward
from fathom.adapters.trl import TRLReward
from fathom.adapters.verifiers import VerifiersReward
from fathom.adapters.verl_steps import StepRewardManager, last_tokens
from sources import AsyncRecorded, Recorded, answer

USER = {"role": "user", "content": "2 + 2?"}
SYSTEM = {"role": "system", "content": "Be brief."}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


# The policy -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response", ["mumble", "partial 3"])
def test_what_could_not_be_scored_and_what_an_incomplete_group_gave_follow_the_policy(response: str) -> None:
    missing = answer(response)
    assert unscored.reward(missing, "exclude") is None
    assert unscored.reward(missing, -1.0) == unscored.number(missing, -1.0) == -1.0
    assert unscored.logged(missing)["unscored"] == 1.0
    for policy in ("refuse", "exclude"):
        with pytest.raises(FathomError, match="could not be scored"):
            unscored.number(missing, policy)


@pytest.mark.parametrize("policy", ["exclude", "refuse", -1.0])
def test_a_score_is_passed_on_whatever_the_policy(policy: unscored.Unscored) -> None:
    assert unscored.reward(answer("2.5"), policy) == unscored.number(answer("2.5"), policy) == 2.5
    assert unscored.logged(answer("2.5"))["unscored"] == 0.0


@pytest.mark.parametrize("policy", [None, True, math.nan, math.inf, "skip"])
def test_other_policies_are_refused(policy: Any) -> None:
    with pytest.raises(FathomError, match="expected exclude, refuse or a finite number"):
        unscored.checked(policy, "slime", excludes=True)


@pytest.mark.parametrize("adapter", [SwiftReward, SwiftPlugin, SwiftSamplingReward, OpenRLHFReward])
def test_an_adapter_refuses_to_exclude_what_its_trainer_would_train_on(adapter: Any) -> None:
    with pytest.raises(FathomError, match="cannot leave a response out of training"):
        adapter(Recorded(), unscored="exclude")


@pytest.mark.parametrize(
    ("adapter", "other"),
    [
        (SlimeReward, Recorded()),
        (VerifiersReward, Recorded()),
        (TRLReward, AsyncRecorded()),
        (SwiftReward, AsyncRecorded()),
        (OpenRLHFReward, AsyncRecorded()),
    ],
)
def test_an_adapter_refuses_a_client_that_its_trainer_cannot_call(adapter: Any, other: Any) -> None:
    with pytest.raises(FathomError, match=r"needs (Async)?RewardClient"):
        adapter(other)


# slime ----------------------------------------------------------------------------------------------------------------

POST_PROCESS = "fathom.adapters.slime.post_process"


@dataclass
class SlimeSample:
    """The fields of `slime.utils.types.Sample` that are read or written."""

    prompt: Any
    response: str
    label: str | None = None
    group_index: int | None = None
    reward: float | None = None
    remove_sample: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)

    def get_reward_value(self, args: Any) -> float | None:
        return self.reward


def slime_args(**changed: Any) -> SimpleNamespace:
    given = {
        "advantage_estimator": "grpo", "rewards_normalization": True, "grpo_std_normalization": True,
        "n_samples_per_prompt": 4, "custom_reward_post_process_path": POST_PROCESS,
    }  # fmt: skip
    return SimpleNamespace(**{**given, **changed})


def test_slime_gets_a_number_for_a_sample_and_numbers_for_a_group() -> None:
    source = AsyncRecorded()
    reward = SlimeReward(source, group_size=2)
    rendered = "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    one = SlimeSample(rendered, "it is 4<|im_end|>", label="4")
    assert asyncio.run(reward(slime_args(), one)) == 4.0
    group = [SlimeSample([USER], "so 3"), SlimeSample([USER], "mumble")]
    values = asyncio.run(reward(slime_args(), group, evaluation=False))
    assert isinstance(values, list)
    assert values[0] == 3.0
    assert math.isnan(values[1])
    assert [each.remove_sample for each in (one, *group)] == [False, False, True]
    assert source.recorded.group_sizes == [2, 2]
    assert source.recorded.samples == [
        {"prompt": [USER], "response": "it is 4", "reference": "4"},
        {"prompt": [USER], "response": "so 3"},
        {"prompt": [USER], "response": "mumble"},
    ]


def test_slime_excludes_only_with_its_hook() -> None:
    sample = SlimeSample("2 + 2?", "mumble")
    without = slime_args(custom_reward_post_process_path=None)
    with pytest.raises(FathomError, match="needs --custom-reward-post-process-path"):
        asyncio.run(SlimeReward(AsyncRecorded())(without, sample))
    with pytest.raises(FathomError, match="could not be scored"):
        asyncio.run(SlimeReward(AsyncRecorded(), unscored="refuse")(without, sample))
    assert asyncio.run(SlimeReward(AsyncRecorded(), unscored=-1)(without, sample)) == -1.0
    assert not sample.remove_sample


def normalized_by_slime(args: Any, rewards: list[float]) -> list[float]:
    """slime's own normalization of complete groups, as in `RolloutManager._post_process_rewards`."""
    groups = np.array(rewards).reshape(-1, args.n_samples_per_prompt)
    groups = groups - groups.mean(axis=-1, keepdims=True)
    if args.grpo_std_normalization:
        groups = groups / (groups.std(axis=-1, ddof=1, keepdims=True) + 1e-6)  # torch's std has n - 1, too
    values: list[float] = groups.flatten().tolist()
    return values


@given(st.lists(st.floats(-10, 10), min_size=12, max_size=12), st.booleans())
def test_slimes_hook_normalizes_scored_groups_as_slime_does(rewards: list[float], divide: bool) -> None:
    args = slime_args(grpo_std_normalization=divide)
    samples = [SlimeSample("p", "r", group_index=n // 4, reward=value) for n, value in enumerate(rewards)]
    raw, processed = slime.post_process(args, samples)
    assert raw == rewards
    assert processed == pytest.approx(normalized_by_slime(args, rewards), abs=1e-6)


def test_slimes_hook_computes_the_baseline_from_the_scored_responses() -> None:
    rewards = [1.0, math.nan, 3.0, 2.0, math.nan, math.nan, math.nan, 5.0]
    samples = [SlimeSample("p", "r", reward=value) for value in rewards]
    raw, processed = slime.post_process(slime_args(), samples)
    # The first group has the mean 2 and the deviation 1 (n - 1 = 2). Of the second group, one response is left.
    assert processed == pytest.approx([-1, 0, 1, 0, 0, 0, 0, 0], abs=1e-5)
    assert raw == [1, 2, 3, 2, 5, 5, 5, 5]
    plain = slime_args(advantage_estimator="ppo")
    assert slime.post_process(plain, samples)[1] == [1, 0, 3, 2, 0, 0, 0, 5]


def test_slimes_hook_refuses_a_batch_without_any_reward() -> None:
    with pytest.raises(FathomError, match="none of 4 responses could be scored"):
        slime.post_process(slime_args(), [SlimeSample("p", "r", reward=math.nan)] * 4)


# SkyRL ----------------------------------------------------------------------------------------------------------------


class BaseTextEnv:
    """As skyrl_gym's, whose constructor takes nothing."""

    def __init__(self) -> None:
        self.turns = 0


class JudgedEnv(SkyRLReward, BaseTextEnv):
    source = Recorded()


def test_skyrl_judges_one_turn_against_the_reference_of_the_row() -> None:
    env = JudgedEnv(env_config={}, extras={"reward_spec": {"ground_truth": "4"}, "max_turns": 1})
    assert env.init([USER]) == ([USER], {})
    step = env.step("it is 4")
    assert (step["observations"], step["reward"], step["done"]) == ([], 4.0, True)
    assert JudgedEnv.source.samples[-1] == {"prompt": [USER], "response": "it is 4", "reference": "4"}
    assert env.get_metrics() == {"unscored": 0.0, "votes": 2.0, "votes_read": 2.0}


def test_skyrl_judges_every_turn_in_its_conversation_until_the_last_one() -> None:
    class Conversation(JudgedEnv):
        unscored = -1.0

        def reply(self, action: str) -> list[dict[str, str]]:
            return [{"role": "user", "content": "Sure?"}]

    env = Conversation(extras={"max_turns": 2})
    env.init([USER])
    first, second = env.step("mumble"), env.step("yes 4")
    assert (first["reward"], first["done"], first["observations"]) == (-1.0, False, env.reply(""))
    assert (second["reward"], second["done"], second["observations"]) == (4.0, True, [])
    assert JudgedEnv.source.samples[-1]["prompt"] == [USER, said("mumble"), {"role": "user", "content": "Sure?"}]
    assert env.get_metrics()["unscored"] == 1.0


def test_skyrl_refuses_what_could_not_be_scored_by_default() -> None:
    env = JudgedEnv()
    env.init([USER])
    with pytest.raises(FathomError, match="could not be scored"):
        env.step("mumble")


# ms-swift -------------------------------------------------------------------------------------------------------------


def test_ms_swift_rewards_conversations_with_columns() -> None:
    source = Recorded()
    reward = SwiftReward(source, reference="solution", group_size=2)
    conversations = [[SYSTEM, USER, said("it is 4")], [USER, said("so 3")]]
    columns = {"solution": ["4", None], "trainer_state": None, "request_id": ["a", "b"]}
    assert reward(["it is 4", "so 3"], messages=conversations, **columns) == [4.0, 3.0]
    assert source.samples == [
        {"prompt": [SYSTEM, USER], "response": "it is 4", "reference": "4"},
        {"prompt": [USER], "response": "so 3"},
    ]
    assert source.group_sizes == [2]
    with pytest.raises(FathomError, match="no column 'solution'"):
        reward(["so 3"], messages=conversations[1:])
    with pytest.raises(FathomError, match="could not be scored"):
        SwiftReward(source)(["mumble"], messages=[[USER, said("mumble")]])
    with pytest.raises(FathomError, match="expected a prompt and an answer"):
        SwiftReward(source)(["4"], messages=[[said("4")]])


def test_ms_swift_samples_and_plugs_in_with_the_same_policy() -> None:
    source = Recorded()
    requests = [SimpleNamespace(messages=[USER, said("so 3")]), {"messages": [USER, said("mumble")]}]
    sampling = SwiftSamplingReward(source, unscored=-1)
    assert sampling(requests, request_config=None, ground_truths=["4", "4"]) == [3.0, -1.0]
    assert sampling(requests[:1], request_config=None) == [3.0]
    rows = [{"messages": [USER, said("so 3")], "solution": "4"}, {"messages": [USER, said("mumble")]}]
    plugin = SwiftPlugin(source, reference="solution", unscored=-1)
    assert plugin(inputs=rows, trainer_state=None, solution=["4", None]) == [3.0, -1.0]
    assert [each.get("reference") for each in source.samples] == ["4", "4", None, "4", None]


# verifiers ------------------------------------------------------------------------------------------------------------


def task(prompt: Any, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"prompt": prompt, "system_prompt": None, **more})


class Turn(SimpleNamespace):
    """A message of verifiers', as far as it is used."""

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return vars(self)


def test_verifiers_gets_the_reward_of_the_last_reply() -> None:
    source = AsyncRecorded()
    reward = VerifiersReward(source, reference="answer", group_size=3)
    trace = SimpleNamespace(last_reply="it is 4")
    tasks = [
        task("2 + 2?", answer=4),
        task("2 + 2?", answer="4", system_prompt="Be brief."),
        task([Turn(**USER)], answer=None),
    ]
    assert [asyncio.run(reward(each, trace)) for each in tasks] == [4.0, 4.0, 4.0]
    assert source.recorded.samples == [
        {"prompt": "2 + 2?", "response": "it is 4", "reference": "4"},
        {"prompt": [SYSTEM, USER], "response": "it is 4", "reference": "4"},
        {"prompt": [USER], "response": "it is 4"},
    ]
    assert source.recorded.group_sizes == [3, 3, 3]
    with pytest.raises(FathomError, match="no field 'answer'"):
        asyncio.run(reward(task("2 + 2?"), trace))
    with pytest.raises(FathomError, match="has no prompt"):
        asyncio.run(reward(task(None, answer="4"), trace))


def test_verifiers_gets_an_error_for_what_could_not_be_scored_unless_a_number_was_chosen() -> None:
    trace = SimpleNamespace(last_reply="mumble")
    with pytest.raises(FathomError, match="could not be scored"):
        asyncio.run(VerifiersReward(AsyncRecorded())(task("2 + 2?"), trace))
    assert asyncio.run(VerifiersReward(AsyncRecorded(), unscored=0)(task("2 + 2?"), trace)) == 0.0


# OpenRLHF -------------------------------------------------------------------------------------------------------------


def test_openrlhf_gets_rewards_and_logs_of_queries() -> None:
    source = Recorded()
    reward = OpenRLHFReward(source, unscored=-1, group_size=8)
    prompt = "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    got = reward([f"{prompt}so 3<|im_end|>", "2 + 2? mumble"], [prompt, "2 + 2?"], ["4", 4])
    assert got == {
        "rewards": [3.0, -1.0],
        "scores": [3.0, -1.0],
        "extra_logs": {"unscored": [0.0, 1.0], "votes": [2.0, 2.0], "votes_read": [2.0, 0.0]},
    }
    assert source.samples == [
        {"prompt": [USER], "response": "so 3", "reference": "4"},
        {"prompt": "2 + 2?", "response": " mumble"},
    ]
    with pytest.raises(FathomError, match="could not be scored"):
        OpenRLHFReward(source)(["2 + 2? mumble"], ["2 + 2?"], [None])
    with pytest.raises(ValueError, match="shorter"):
        reward(["2 + 2? 4", "2 + 2? 5"], ["2 + 2?", "2 + 2?"], ["4"])
    with pytest.raises(FathomError, match="a query has no response"):
        reward(["4"], ["2 + 2?"], [None])


# verl -----------------------------------------------------------------------------------------------------------------


@given(st.lists(st.text("ab \n", min_size=1, max_size=4), min_size=1, max_size=20), st.data())
def test_a_step_ends_at_the_token_with_its_last_character(tokens: list[str], data: st.DataObject) -> None:
    text = "".join(tokens)
    ends = sorted(data.draw(st.sets(st.integers(1, len(text)), min_size=1)))
    found = last_tokens(range(len(tokens)), ends, lambda ids: "".join(tokens[each] for each in ids))
    assert len(found) == len(ends)
    for place, end in zip(found, ends, strict=True):
        assert len("".join(tokens[:place])) < end <= len("".join(tokens[: place + 1]))


def test_a_step_that_ends_with_a_character_of_several_tokens_ends_in_it() -> None:
    text = "2 \U0001f642\n\n4"
    ids = list(text.encode())  # tokens are bytes, of which an incomplete character has some
    [first, last] = last_tokens(ids, [3, len(text)], lambda part: bytes(part).decode(errors="replace"))
    assert first in range(2, 6)
    assert last == len(ids) - 1


@pytest.mark.parametrize(
    ("model", "path", "message"),
    [
        (
            {"enable": False, "enable_resource_pool": False},
            "pkg://fathom.adapters.verl",
            "only with reward.reward_model",
        ),
        ({"enable": True, "enable_resource_pool": True}, "pkg://fathom.adapters.verl", "enable_resource_pool=False"),
        ({"enable": True, "enable_resource_pool": False}, None, "and not this manager"),
    ],
)
def test_verls_manager_of_steps_refuses_where_verl_would_not_ask_it(model: Any, path: Any, message: str) -> None:
    config = {"reward": {"reward_model": model, "custom_reward_function": {"path": path}}}
    with pytest.raises(FathomError, match=message):
        StepRewardManager(config, tokenizer=None)
