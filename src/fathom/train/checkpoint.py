"""What a run needs before its first step and leaves after its last: tokenizer, settings, checkpoints, records."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from fathom.errors import FathomError, require
from fathom.train.recipe import Recipe

log = logging.getLogger("fathom.train")


def load_tokenizer(recipe: Recipe) -> Any:
    """The model's tokenizer, with the end token that `trainer.eos_token` names, where it does."""
    from transformers import AutoTokenizer

    remote = recipe.trainer.get("trust_remote_code", False)
    try:
        tokenizer = AutoTokenizer.from_pretrained(recipe.model, trust_remote_code=remote)
    except (OSError, ValueError) as error:
        raise FathomError(f"cannot load the tokenizer of {recipe.model}: {error}") from error
    if recipe.trainer.get("eos_token"):
        tokenizer.eos_token = recipe.trainer["eos_token"]
    return tokenizer


def settings(recipe: Recipe, **changes: Any) -> Any:
    """TRL's config object for this recipe on this machine. Says nothing to anybody outside unless the recipe does."""
    import torch

    config = getattr(require("trl", "train"), recipe.trl_config)
    defaults: dict[str, Any] = {"report_to": "none", "disable_tqdm": not sys.stderr.isatty()}
    if not torch.cuda.is_available():
        defaults |= {"bf16": False, "dataloader_pin_memory": False}
    values = defaults | recipe.trainer | changes
    weights = {"use_safetensors": True} | (values.pop("model_init_kwargs", None) or {})
    try:
        return config(output_dir=str(recipe.output), seed=recipe.seed, model_init_kwargs=weights, **values)
    except (ValueError, TypeError, ImportError) as error:
        raise FathomError(f"trainer: {config.__name__} refuses these settings: {error}") from error


def adapter(recipe: Recipe) -> Any:
    if recipe.lora is None:
        return None
    return require("peft", "train").LoraConfig(**{"task_type": "CAUSAL_LM"} | recipe.lora)


def records(recipe: Recipe) -> Any:
    """A trainer callback: `history.jsonl` while it runs, `fathom.json` beside all weights it saves."""
    from transformers import TrainerCallback

    history = recipe.output / "history.jsonl"

    class Records(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                recipe.output.mkdir(parents=True, exist_ok=True)
                history.write_text("".join(json.dumps(entry) + "\n" for entry in state.log_history))

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                with history.open("a") as file:
                    file.write(json.dumps(state.log_history[-1]) + "\n")
                log.info("step %s of %s: %s", state.global_step, state.max_steps, state.log_history[-1])

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                describe(recipe, recipe.output / f"checkpoint-{state.global_step}")

    return Records()


def describe(recipe: Recipe, folder: Path) -> None:
    """Says beside the weights which judge they are, so that `fathom judge` asks as training did."""
    (folder / "fathom.json").write_text(recipe.judge.model_dump_json(indent=2) + "\n")


def run(trainer: Any, recipe: Recipe, *, resume: bool) -> Path:
    """Trains, saves and returns the output folder."""
    from transformers.trainer_callback import PrinterCallback
    from transformers.trainer_utils import get_last_checkpoint

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(records(recipe))
    last = get_last_checkpoint(str(recipe.output)) if resume and recipe.output.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    trainer.save_model(str(recipe.output))
    if trainer.is_world_process_zero():
        (recipe.output / "training_args.bin").unlink(missing_ok=True)
        describe(recipe, recipe.output)
    return recipe.output
