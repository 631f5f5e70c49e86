"""The reward of verifiable verdicts in a GRPO script of your own, with TRL's trainer.

    python examples/grpo.py [FOLDER]

`fathom train rlvr` does this and more. Take this way when the rest of the training is yours.
"""

import sys
from pathlib import Path

from datasets import Dataset
from transformers import AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

import fathom
from fathom.lab import base
from fathom.train.rewards import JudgeReward


def main(out: Path) -> None:
    judge = fathom.MixJudge(trained=True)
    comparisons = list(fathom.read(Path(__file__).parent / "pairs.jsonl"))
    # The label travels in a column beside the prompt, and is never part of it.
    rows = [{"prompt": judge.ask(one), "comparison": one.model_dump_json()} for one in comparisons]
    tokenizer = AutoTokenizer.from_pretrained(base.PATH)
    config = GRPOConfig(
        output_dir=str(out),
        max_steps=2,
        per_device_train_batch_size=16,
        num_generations=8,
        max_completion_length=96,
        temperature=1.0,
        learning_rate=2e-4,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
    )
    reward = JudgeReward(judge, max_completion_length=96, end_token_ids={tokenizer.eos_token_id})
    trainer = GRPOTrainer(
        model=str(base.PATH),
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()
    for step in trainer.state.log_history:
        if "reward" in step:
            print(f"reward {step['reward']:.2f}, right {step['accuracy']:.2f}, unreadable {step['invalid']:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/grpo"))
