"""A policy trained by TRL's GRPO with the rewards of a judge, on a CPU and offline.

    python examples/trl_rewards.py [FOLDER] [URL]

Without an address, the judge runs in this process: the small model that ships with Fathom. It compares the responses of
a group, and those whose comparisons it cannot read are left out of the training. The untrained policy writes nothing
worth reading, so the numbers show only that everything fits together.
"""

import sys
from pathlib import Path

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

import fathom
from fathom.adapters.trl import TRLReward
from fathom.lab import base

GENERATIONS = 4


def source(*url: str) -> fathom.RewardClient | fathom.LocalRewardClient:
    settings = fathom.JudgingSettings(
        engine=fathom.EngineSettings(model="mini"), judge=fathom.JudgeSettings(style="depth")
    )
    return fathom.RewardClient(*url) if url else fathom.LocalRewardClient(settings)


def main(out: Path, *url: str) -> None:
    config = GRPOConfig(
        output_dir=str(out),
        max_steps=2,
        per_device_train_batch_size=GENERATIONS,
        num_generations=GENERATIONS,
        max_completion_length=16,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
    )
    with source(*url) as client:
        trainer = GRPOTrainer(
            model=str(base.PATH),
            reward_funcs=TRLReward(client, name="judge", group_size=GENERATIONS),
            args=config,
            train_dataset=Dataset.from_list([{"prompt": "evaluate 41 + 30 - 28"}, {"prompt": "evaluate 7 + 5 - 2"}]),
        )
        trainer.train()
    for step in trainer.state.log_history:
        if "reward" in step:
            mean = step["reward"]  # None if no completion of the step has a reward
            print("reward", "none," if mean is None else f"{mean:.2f},", f"not scored {step['judge/unscored']:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/trl"), *sys.argv[2:])
