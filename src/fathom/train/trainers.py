"""Shared by all training stages around TRL's trainers: settings, tokenizer, model, checkpoints, records.

Besides the weights, the output folder gets:

- `fathom.json`: the judge's settings, so that `fathom judge` uses the prompts of training (also in checkpoints);
- `recipe.yaml`: the resolved recipe, which `fathom train` accepts again;
- `provenance.json`: versions, platform and the hashes of all inputs;
- `history.jsonl`: the metrics, one line per logged step.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fathom.data.sources import local_files
from fathom.engines import loading
from fathom.engines.checkpoints import adapter_base
from fathom.errors import FathomError, RunInterruptedError, require
from fathom.judging import DESCRIPTION
from fathom.results.provenance import provenance, write_json
from fathom.train import recipes
from fathom.train.early import last_checkpoint
from fathom.train.recipe import Recipe

log = logging.getLogger("fathom.train")


def settings(recipe: Recipe, **changes: Any) -> Any:
    """TRL's config object for this recipe on this machine. Reports to no tracker unless the recipe sets one."""
    import torch

    config = getattr(require("trl", "train"), recipe.trl_config)
    defaults: dict[str, Any] = {"report_to": "none", "disable_tqdm": not sys.stderr.isatty()}
    if not torch.cuda.is_available():
        defaults |= {"bf16": False, "dataloader_pin_memory": False}
    if recipe.eval_data:
        defaults |= {"eval_strategy": "steps", "eval_steps": 0.1}
    values = defaults | recipe.trainer | changes
    # `load_tokenizer` sets the template. TRL would set it only later, when the prompts are tokens already.
    if template := values.pop("chat_template_path", None):
        recipes.chat_template(template)
    weights = {"use_safetensors": True} | (values.pop("model_init_kwargs", None) or {})
    try:
        built = config(output_dir=str(recipe.output), seed=recipe.seed, model_init_kwargs=weights, **values)
    except (ValueError, TypeError, ImportError) as error:
        raise FathomError(f"trainer: {recipe.trl_config} rejects these settings: {error}") from error
    _check_trackers(built.report_to)
    return built


def _check_trackers(names: Sequence[str]) -> None:
    """Raise FathomError for an unknown tracker, which the trainer would refuse only after loading the model."""
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK as TRACKERS

    for name in names:
        if name not in TRACKERS:
            raise FathomError(
                f"trainer.report_to: unknown tracker {name!r}; expected all, none, or one or more of "
                f"{', '.join(sorted(TRACKERS))}"
            )


def load_tokenizer(recipe: Recipe) -> Any:
    """The model's tokenizer, with the chat template of `trainer.chat_template_path` and the end token of
    `trainer.eos_token`, if these are set.

    Raises FathomError if it cannot be loaded or has no end token, and for an invalid template.
    """
    chosen = recipe.trainer.get("model_init_kwargs") or {}
    remote = recipe.trainer.get("trust_remote_code", False)
    tokenizer = loading.load_tokenizer(recipe.model, trust_remote_code=remote, revision=chosen.get("revision"))
    if recipe.trainer.get("chat_template_path"):
        tokenizer.chat_template = _template(tokenizer, recipes.chat_template(recipe.trainer["chat_template_path"]))
    if recipe.trainer.get("eos_token"):
        tokenizer.eos_token = recipe.trainer["eos_token"]
    if recipe.writes and (tokenizer.eos_token_id is None or tokenizer.eos_token_id == tokenizer.unk_token_id):
        raise FathomError(
            f"the tokenizer of {recipe.model} has no end token {tokenizer.eos_token!r}; set trainer.eos_token to a "
            "token of its vocabulary"
        )
    return tokenizer


def _template(tokenizer: Any, file: Path) -> str:
    from jinja2 import TemplateError

    try:
        text = file.read_text(encoding="utf-8")
        tokenizer.apply_chat_template([{"role": "user", "content": "?"}], chat_template=text, tokenize=False)
    except (OSError, UnicodeDecodeError, TemplateError) as error:
        raise FathomError(f"trainer.chat_template_path: {file} is not a valid chat template: {error}") from error
    return text


def model(recipe: Recipe, config: Any) -> Any:
    """The model for TRL: a name or folder, or an adapter to train further, loaded with its base model.

    TRL measures the KL divergence of RLVR from the adapter's initial state.
    """
    if base_to_adapt(recipe) is None:
        return recipe.model
    options = config.model_init_kwargs
    config.model_init_kwargs = None
    return require("peft", "train").AutoPeftModelForCausalLM.from_pretrained(
        recipe.model, is_trainable=True, **{"dtype": "float32"} | options
    )


def language_model(recipe: Recipe, config: Any) -> Any:
    """The language model with its weights, and with an adapter if the recipe has one. Clears `model_init_kwargs`.

    Raises FathomError for a checkpoint that cannot be loaded.
    """
    found = model(recipe, config)
    if not isinstance(found, str):
        return found
    options = {"dtype": "float32", "trust_remote_code": config.trust_remote_code} | (config.model_init_kwargs or {})
    config.model_init_kwargs = None  # the trainer gets a loaded model
    try:
        loaded = loading.load_weights(found, loading.CAUSAL, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise FathomError(f"cannot load {found} as a causal language model: {error}") from error
    return loaded if recipe.lora is None else require("peft", "train").get_peft_model(loaded, adapter(recipe))


def disable_dropout(model: Any) -> None:
    """Reward models are trained without dropout; token classifiers of `transformers` have it before their head."""
    from torch.nn import Dropout

    for module in model.modules():
        if isinstance(module, Dropout):
            module.p = 0.0


def base_to_adapt(recipe: Recipe) -> str | None:
    """The base of the adapter to train further; None if the recipe's model is a full model.

    Raises FathomError if the recipe has `lora` too, which would add an adapter to an adapter.
    """
    base = adapter_base(Path(recipe.model))
    if base is not None and recipe.lora is not None:
        raise FathomError(f"{recipe.model} is an adapter already, and its own weights are trained; leave `lora` out")
    return base


def adapted(classifier: Any, recipe: Recipe) -> Any:
    """The classifier with an adapter that includes its head: a new one for `lora`, or the adapter `recipe.model` to
    train further. Without either, the classifier itself.
    """
    if base_to_adapt(recipe) is not None:
        return _with_judges_adapter(classifier, recipe.model, recipe.task_type)
    return classifier if recipe.lora is None else require("peft", "train").get_peft_model(classifier, adapter(recipe))


def _with_judges_adapter(classifier: Any, folder: str, task: str) -> Any:
    """A trained adapter, usually a judge's, around a classifier whose head is new."""
    peft = require("peft", "train")
    settings = peft.PeftConfig.from_pretrained(folder)
    settings.task_type, settings.inference_mode = task, False
    model = peft.get_peft_model(classifier, settings)
    weights = peft.load_peft_weights(folder, device="cpu")
    peft.set_peft_model_state_dict(model, peft.get_peft_model_state_dict(model) | weights)
    return model


def adapter(recipe: Recipe) -> Any:
    """peft's config of the recipe's `lora`, or None."""
    if recipe.lora is None:
        return None
    chosen: dict[str, Any] = {"task_type": recipe.task_type}
    if recipe.task_type == "TOKEN_CLS" and recipe.lora.get("target_modules") == "all-linear":
        chosen["exclude_modules"] = ["score"]  # peft trains the head in full, and excludes it for SEQ_CLS only
    return require("peft", "train").LoraConfig(**chosen | recipe.lora)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide progress bars unless stderr is a terminal, and warnings that only TRL could resolve."""
    import datasets
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled(), not datasets.are_progress_bars_disabled()
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
        datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            for about in (".*gradient_checkpointing`? is deprecated", ".*'rollout_func', which is an experimental"):
                warnings.filterwarnings("ignore", about)
            yield
    finally:
        if bars[0]:
            transformers_logging.enable_progress_bar()
        if bars[1]:
            datasets.enable_progress_bars()


class Begun(NamedTuple):
    """What training begins with."""

    config: Any
    """TRL's config object."""
    tokenizer: Any
    """With a padding token."""
    last: str | None
    """The checkpoint to continue from."""


@contextmanager
def begun(recipe: Recipe, *, resume: bool, **changes: Any) -> Iterator[Begun]:
    """The config, with `changes`, and the tokenizer of a recipe whose data this package prepares itself."""
    require("trl", "train")
    last = start(recipe, resume=resume)
    with quiet():
        config, tokenizer = settings(recipe, **changes), load_tokenizer(recipe)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        for remark in limit_length(recipe, config, tokenizer):
            log.warning(remark)
        yield Begun(config, tokenizer, last)


def limit_length(recipe: Recipe, config: Any, tokenizer: Any) -> list[str]:
    """Lower `config.max_length` to the model's context, and return a warning if the recipe has a larger one.

    A model with learned positions has none beyond its context, and others were not trained on those.
    """
    from transformers import AutoConfig

    remote, options = config.trust_remote_code, config.model_init_kwargs or {}
    name = base_to_adapt(recipe) or recipe.model
    try:
        model = AutoConfig.from_pretrained(name, trust_remote_code=remote, revision=options.get("revision"))
    except (OSError, ValueError):
        return []  # loading the model reports why
    context = loading.context_length(model, tokenizer)
    if config.max_length is None or config.max_length > context:
        config.max_length = context
    given = recipe.trainer.get("max_length") or 0
    return [f"trainer.max_length={given} exceeds the model's context; {context} applies instead"] * (given > context)


def dataset(rows: Sequence[Mapping[str, Any]]) -> Any:
    """The rows as a data set of `datasets`; None for no rows, such as those of a recipe without held-out data."""
    from datasets import Dataset

    return Dataset.from_list(list(rows)) if rows else None


def start(recipe: Recipe, *, resume: bool) -> str | None:
    """The checkpoint to continue from: with `resume`, the last one in the output folder; None starts a new run.

    Call it before anything large is loaded. Raises FathomError if there are checkpoints and `resume` is off, and if
    training would replace other files in the folder.
    """
    last = last_checkpoint(recipe.output)
    if last is not None and not resume:
        raise FathomError(
            f"{recipe.output} contains checkpoints; resume that run (--resume), or choose another output="
        )
    _refuse_to_replace(recipe, resume=resume)
    return last


def _refuse_to_replace(recipe: Recipe, *, resume: bool) -> None:
    """Raise FathomError if the output folder has files that this run did not write.

    A run recognizes its own folder by recipe.yaml and provenance.json. It may continue there with `resume`, or start
    again with the same recipe and the same data. Any other files belong to someone else and are never replaced.
    """
    output = recipe.output
    files = sorted(path.name for path in output.iterdir() if path.name[0] != ".") if output.is_dir() else []
    if not files:
        return
    elsewhere = "choose another output=, or remove it"
    started = _started(output)
    if started is None:
        raise FathomError(f"{output} contains {', '.join(files[:3])}, not written by a training run; {elsewhere}")
    if resume:
        return
    if started["config"] != recipe.model_dump(mode="json"):
        raise FathomError(f"{output} contains a model of another recipe (see its recipe.yaml); {elsewhere}")
    hashes = provenance({}, local_files(recipe.data))["inputs"]
    changed = [path for path, hash in hashes.items() if started["inputs"].get(path) != hash]
    if changed:
        raise FathomError(
            f"{output} contains a model trained on other data: {changed[0]} has changed since; {elsewhere}"
        )


def _started(output: Path) -> dict[str, Any] | None:
    """The provenance of the run that started in the folder; None if there was none, or its recipe.yaml was edited."""
    try:
        started = json.loads((output / "provenance.json").read_bytes())
        recipe = yaml.safe_load((output / "recipe.yaml").read_bytes())
    except (OSError, ValueError, yaml.YAMLError):
        return None
    known = isinstance(started, dict) and {"config", "inputs"} <= started.keys() and started["config"] == recipe
    return started if known else None


def run(trainer: Any, recipe: Recipe, last: str | None) -> Path:
    """Train from checkpoint `last`, save, and return the output folder. Raises RunInterruptedError for Ctrl-C."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_records(recipe))
    try:
        trainer.train(resume_from_checkpoint=last)
    except KeyboardInterrupt:
        kept = last_checkpoint(recipe.output)
        kept_text = f"{kept} was saved; continue with --resume" if kept else "no checkpoint was saved yet"
        raise RunInterruptedError(f"training stopped at step {trainer.state.global_step}: {kept_text}") from None
    trainer.save_model(str(recipe.output))
    if trainer.is_world_process_zero():
        (recipe.output / "training_args.bin").unlink(missing_ok=True)  # a pickle; recipe.yaml has the same settings
        write_judge_file(recipe, recipe.output)
    return recipe.output


def write_judge_file(recipe: Recipe, folder: Path) -> None:
    write_json(folder / DESCRIPTION, recipe.described)


def _records(recipe: Recipe) -> Any:
    """A trainer callback that writes the run's records; only the first process of several writes."""
    from transformers import TrainerCallback

    history = recipe.output / "history.jsonl"

    class Records(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                write_start(recipe)
                history.write_text("".join(json.dumps(entry) + "\n" for entry in state.log_history), encoding="utf-8")

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                with history.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(state.log_history[-1]) + "\n")
                if line := _line(state.log_history[-1]):
                    log.info("step %d of %d: %s", state.global_step, state.max_steps, line)

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                write_judge_file(recipe, recipe.output / f"checkpoint-{state.global_step}")

    return Records()


def write_start(recipe: Recipe) -> None:
    resolved = recipe.model_dump(mode="json")
    recipe.output.mkdir(parents=True, exist_ok=True)
    (recipe.output / "recipe.yaml").write_text(yaml.safe_dump(resolved, sort_keys=False), encoding="utf-8")
    data = local_files([*recipe.data, *recipe.eval_data])
    read = [*data, *weight_files(recipe.model), *weight_files(adapter_base(Path(recipe.model)))]
    write_json(recipe.output / "provenance.json", provenance(resolved, read))


def weight_files(model: str | None) -> list[Path]:
    """The files of a model in a local folder."""
    if model is None or not Path(model).is_dir():
        return []
    return [
        file
        for pattern in ("*.safetensors", "*config.json", "tokenizer.json")
        for file in sorted(Path(model).glob(pattern))
    ]


SHOWN = (
    *("eval_loss", "eval_reward", "eval_f1", "eval_accuracy", "eval_invalid"),
    *("loss", "reward", "accuracy", "invalid", "structure/match", "kl", "completions/mean_length", "learning_rate"),
)


def _line(entry: dict[str, Any]) -> str:
    return ", ".join(f"{name} {float(entry[name]):.4g}" for name in SHOWN if entry.get(name) is not None)
