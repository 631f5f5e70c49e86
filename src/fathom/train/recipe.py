"""Recipes: all settings of a training run, as a YAML file.

    model: mini
    data: sft.jsonl
    output: runs/sft
    trainer: {learning_rate: 1e-3, max_steps: 100}     # TRL's own names, passed through

`load` reads a recipe, applies `key=value` overrides and checks everything before training. All mistakes are reported at
once, each with its file and key. Settings of TRL keep their names, under `trainer`, and settings of peft under `lora`.
The other keys are Fathom's own.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from fathom.engines import StepConvention
from fathom.engines.checkpoints import resolve, resolve_checkpoint
from fathom.engines.heads import Head
from fathom.errors import FathomError, require
from fathom.judging import META
from fathom.judging.choice import JudgeChoice, judge_choice
from fathom.process.conventions import find as find_family
from fathom.rewards.implicit import BETA
from fathom.rewards.slot import Cloze
from fathom.settings import Neutral
from fathom.train.recipe_files import read_values

OWN_KEYS = {"output_dir": "output", "seed": "seed", "resume_from_checkpoint": "--resume"}
"""TRL settings that a recipe sets by a key of its own."""

SCALAR = "scalar"
"""The reward model that `fathom.json` names, so that `fathom judge` uses it."""

TRL_ONLY_SAMPLING = ("use_vllm", "top_k", "min_p", "repetition_penalty", "generation_kwargs", "chat_template_kwargs")
"""Sampling settings that only TRL supports."""


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | Path) else value


Files = Annotated[tuple[Path, ...], BeforeValidator(_listed)]


class Recipe(Strict):
    """Keys that all recipes share."""

    trl_config: ClassVar[str]
    task: ClassVar[str] = "CAUSAL_LM"
    """The task type, by peft's name."""
    writes: ClassVar[bool] = True
    """Whether the model is one that writes text, and so has an end token."""

    model: str
    """A checkpoint's folder, a name on the model hub, or `mini` for the shipped small base model."""
    data: Files
    """One file or several."""
    eval_data: Files = ()
    """Held-out files in the layout of `data`. The model is evaluated on them ten times during training, unless
    `trainer.eval_strategy` and `trainer.eval_steps` are set. history.jsonl has the metrics."""
    output: Path
    """The folder for checkpoints, the trained model and the run's records."""
    lora: dict[str, Any] | None = None
    """Settings of peft's `LoraConfig`. Without them all weights are trained."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of new weights, of the order of examples and of sampling."""
    trainer: dict[str, Any] = {}
    """Settings of TRL's config class, by TRL's names."""

    @property
    def described(self) -> dict[str, Any]:
        """The contents of `fathom.json`."""
        raise NotImplementedError

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the data that the training reads beside the fields of a comparison."""
        return ()

    @property
    def task_type(self) -> str:
        """The task type of this recipe's adapter."""
        return self.task

    @field_validator("model")
    @classmethod
    def _located(cls, model: str) -> str:
        return resolve(model)

    @field_validator("lora")
    @classmethod
    def _known_to_peft(cls, lora: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if lora is None else _checked(settings_of("peft", "LoraConfig"), lora)

    @model_validator(mode="after")
    def _has_held_out_data(self) -> Self:
        strategy = self.trainer.get("eval_strategy", "no")
        if strategy != "no" and not self.eval_data:
            raise ValueError(f"trainer.eval_strategy={strategy} needs held-out data: set eval_data=FILE")
        if both := set(self.eval_data) & set(self.data):
            raise ValueError(f"eval_data contains {min(both)}, which is also in data; expected held-out files")
        return self

    @field_validator("trainer")
    @classmethod
    def _known_to_trl(cls, trainer: dict[str, Any]) -> dict[str, Any]:
        return _checked(settings_of("trl", cls.trl_config), trainer)


class JudgeRecipe(Recipe):
    """Keys that recipes of models that judge, or score a judge's votes, share."""

    judge: SerializeAsAny[JudgeChoice] = Field(default={}, validate_default=True)

    @property
    def described(self) -> dict[str, Any]:
        return self.judge.model_dump(exclude_none=True)


class SFTRecipe(JudgeRecipe):
    """Supervised fine-tuning on prompts and completions, as `fathom synth` writes them."""

    trl_config = "SFTConfig"


class RLVRRecipe(JudgeRecipe):
    """Reinforcement learning (GRPO) on labelled comparisons, with a reward for the verdict only."""

    trl_config = "GRPOConfig"

    mapping: dict[str, str | list[str]] = {}
    """The column of each field of a comparison, if the layout is not detected."""
    rollouts: Literal["trl", "engine"] = "trl"
    """The sampler: TRL (with vLLM if `trainer.use_vllm` is set), or Fathom's own loop, which is faster for small models
    but supports only one process and plain sampling."""

    @model_validator(mode="after")
    def _plain_sampling(self) -> Self:
        refused = [name for name in TRL_ONLY_SAMPLING if self.trainer.get(name)] if self.rollouts == "engine" else []
        if refused:
            raise ValueError(f"rollouts: engine supports only temperature and top_p; leave out {', '.join(refused)}")
        return self


class MetaRecipe(JudgeRecipe):
    """A classifier of votes, trained on result files. `model` is any checkpoint; it gets a new classification layer.

    With `lora`, the saved adapter includes that layer.
    """

    trl_config = "RewardConfig"
    task = "SEQ_CLS"

    @property
    def described(self) -> dict[str, Any]:
        return {"kind": META} | self.judge.model_dump(exclude_none=True)


Loss = Literal["bradley_terry", "plackett_luce", "ties", "regression", "binary"]


class RewardRecipe(Recipe):
    """A scalar reward model, trained on labelled comparisons. `model` is any checkpoint; it gets a new head.

    With `lora`, the saved adapter includes the head. `trainer.center_rewards_coefficient` keeps rewards near 0.
    """

    trl_config = "RewardConfig"
    task = "SEQ_CLS"

    mapping: dict[str, str | list[str]] = {}
    """The column of each field of a comparison, if the layout is not detected."""
    loss: Loss = "bradley_terry"
    """`bradley_terry` and `plackett_luce` (rankings), `ties` (pairs, some of them ties), `regression` (scores) or
    `binary` (right or wrong)."""
    margin: float = Field(default=0.0, ge=0)
    """(bradley_terry) Subtracted from the reward difference, times the difference between the labels' scores (1
    for labels without scores)."""
    tie_threshold: float = Field(default=0.5, gt=0)
    """(ties) The difference of rewards at which a response is called better in half of the cases."""
    attributes: tuple[str, ...] = ()
    """(regression) Columns with a number per response; the model gets one output for each. By default it has one
    output, for the label's scores."""
    head: Literal["linear", "mlp", "bnrm", "gaussian"] = "linear"
    """`bnrm`: the sum of non-negative factors (arXiv 2602.10623). `gaussian`: a distribution of each token's reward
    (AVA, arXiv 2411.09341)."""
    factors: int = Field(default=64, ge=1)
    """(head: bnrm) The number of factors."""
    kl: float = Field(default=1e-5, ge=0)
    """(head: bnrm, gaussian) The weight of the KL divergence from the prior of the factors, or of tokens' rewards."""
    members: int = Field(default=1, ge=1)
    """The number of outputs that are trained on the same pairs with different random weights; the reward is their
    mean."""
    noise: float = Field(default=0.0, ge=0, lt=1)
    """(members: 2) The assumed share of wrong labels: each member learns from the pairs of a batch that the other one
    finds easiest, without this share (CRM, arXiv 2505.10597)."""
    objectives: tuple[str, ...] = ()
    """The values of the column `objective`; the model gets one output for each, which only its comparisons train."""
    objective: str = "objective"
    """The column that names the objective by which a comparison is labelled."""
    pooling: Literal["last", "mean"] = "last"
    """Other libraries load only a linear head on the last token."""
    length_ratio: float | None = Field(default=None, ge=1)
    """Leave out comparisons in which a better response has more than this many times the tokens of a worse one."""
    length_pool: int = Field(default=50, ge=1)
    """The number of batches whose examples are sorted by length together to save padding; 1 for a random order."""

    @property
    def described(self) -> dict[str, Any]:
        combined: dict[str, Any] = {"combine": self.combine} if self.combine else {}
        if self.head == "gaussian":
            combined = {"weights": {"mean": 1.0}}
        return {"name": SCALAR, **combined, "head": self.head_spec.model_dump(mode="json")}

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.attributes, *([self.objective] if self.objectives else []))

    @property
    def head_spec(self) -> Head:
        return Head(kind=self.head, pooling=self.pooling, outputs=self._outputs)

    @property
    def combine(self) -> Literal["sum", "mean"] | None:
        """How the reward is computed from several outputs; None if it is the only one, or for weights to decide."""
        return "sum" if self.head == "bnrm" else "mean" if self.members > 1 else None

    @property
    def _outputs(self) -> tuple[str, ...]:
        if self.head == "bnrm":
            return tuple(f"factor {number}" for number in range(1, self.factors + 1))
        if self.head == "gaussian":
            return "mean", "deviation"
        if self.members > 1:
            return tuple(f"member {number}" for number in range(1, self.members + 1))
        return self.objectives or self.attributes or ("reward",)

    @model_validator(mode="after")
    def _keys_of_this_loss(self) -> Self:
        for key, loss in (("margin", "bradley_terry"), ("tie_threshold", "ties"), ("attributes", "regression")):
            if self.loss != loss and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} applies to loss: {loss}, not to {self.loss}; leave it out")
        return self

    @model_validator(mode="after")
    def _one_meaning_of_the_outputs(self) -> Self:
        several = [
            name
            for name, chosen in (
                (f"head: {self.head}", self.head in ("bnrm", "gaussian")),
                ("members", self.members > 1),
                ("objectives", bool(self.objectives)),
            )
            if chosen
        ]
        if len(several) > 1:
            raise ValueError(f"{several[0]} and {several[1]} give the outputs different meanings; choose one")
        if several and self.loss in ("regression", "binary"):
            raise ValueError(f"{several[0]} applies to losses that compare responses, not to {self.loss}; leave it out")
        for key, heads in (("factors", ("bnrm",)), ("kl", ("bnrm", "gaussian"))):
            if self.head not in heads and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} applies to head: {' or '.join(heads)}, not to {self.head}; leave it out")
        if self.head == "gaussian" and self.pooling != "last":
            raise ValueError("head: gaussian gives each token a reward; expected pooling: last, the last token's")
        if self.noise and self.members != 2:
            raise ValueError(f"noise needs members: 2, which select pairs for each other; got members: {self.members}")
        return self


class GenARMRecipe(Recipe):
    """An autoregressive reward model, trained on labelled comparisons. `model` is any language model."""

    trl_config = "RewardConfig"

    mapping: dict[str, str | list[str]] = {}
    """The column of each field of a comparison, if the layout is not detected."""
    beta: float = Field(default=0.05, gt=0)
    """The factor of the log-probabilities in the loss."""

    @property
    def described(self) -> dict[str, Any]:
        return {"name": "genarm"}

    @model_validator(mode="after")
    def _no_centring(self) -> Self:
        return _without_centring(self)


class ImplicitRecipe(Recipe):
    """An implicit process reward model, trained on labels of whole solutions. `model` is any language model, which is
    also the reference."""

    trl_config = "RewardConfig"

    mapping: dict[str, str | list[str]] = {}
    """The column of each field of a comparison, if the layout is not detected."""
    loss: Literal["cross_entropy", "dpo"] = "cross_entropy"
    """`cross_entropy`: each solution is right or wrong; `dpo`: of each pair, one is better."""
    beta: float = Field(default=BETA, gt=0)
    """The factor of the log-ratio in the loss, and of the rewards."""

    @property
    def described(self) -> dict[str, Any]:
        return {"name": "implicit", "reference": resolve_checkpoint(self.model), "beta": self.beta}

    @model_validator(mode="after")
    def _no_centring(self) -> Self:
        return _without_centring(self)


class SlotRecipe(Recipe):
    """The masked language model of the judge `slot`. `model` is any checkpoint with a masked language model's head."""

    trl_config = "RewardConfig"
    task = "FEATURE_EXTRACTION"
    writes = False

    mapping: dict[str, str | list[str]] = {}
    """The column of each field of a comparison, if the layout is not detected."""
    pairs: bool = False
    """Whether the slot names the better of two responses; otherwise it rates one."""
    words: tuple[str, ...] = ()
    """The words of the slot, from the worst rating to the best: bad, good. With `pairs`: first, second."""
    values: tuple[float, ...] = ()
    """The score of each word; by default from 0 to 1 at equal distances."""
    gold: str | None = None
    """The column with explanations by people: one text per response, or one per pair."""
    gold_share: float = Field(default=0.5, ge=0, le=1)
    """The share of examples that read an explanation by people, if there are generated ones too."""

    @property
    def columns(self) -> tuple[str, ...]:
        return () if self.gold is None else (self.gold,)

    @property
    def cloze(self) -> Cloze:
        return Cloze(pairs=self.pairs, words=self.words, values=self.values)

    @property
    def described(self) -> dict[str, Any]:
        return {"name": "slot"} | self.cloze.model_dump(mode="json")

    @model_validator(mode="after")
    def _fits_a_cloze(self) -> Self:
        _ = self.cloze
        return self


class ProcessRecipe(Recipe):
    """A process reward model, trained on solutions with labelled steps. `model` is any language model.

    With `lora`, the saved adapter includes the head.
    """

    trl_config = "RewardConfig"
    task = "TOKEN_CLS"

    mapping: dict[str, str | list[str]] = {}
    """The column of each field of a comparison, if the layout is not detected."""
    neutral: Neutral | None = None
    """(PRM800K) Whether a step rated neutral is right, wrong or without a label."""
    family: str = "token_classes"
    """The convention for steps, separators and head (`fathom.process.conventions`). For a family with two classes, the
    head is a new linear layer; families with a value head cannot be trained."""
    after_error: Literal["mask", "keep"] = "mask"
    """Whether the labels of steps after the first wrong one are used."""
    error_at: float = Field(default=0.0, ge=0, lt=1)
    """A step is wrong if its label is at most this. With 0, soft labels are wrong only where no rollout is right."""
    class_weights: Literal["balanced"] | tuple[float, float] | None = None
    """The weights of wrong and of right steps in the loss; balanced: both classes have the same total weight."""
    head_epochs: float = Field(default=0.0, ge=0)
    """Train only the head for this many epochs first."""
    head_learning_rate: float = Field(default=1e-4, gt=0)
    """The learning rate of `head_epochs`."""
    domain: str | None = None
    """The column that names the domain of a solution."""
    domain_weights: Path | None = None
    """A JSON file with the weight of each domain in the loss, as `fathom.train.domains` makes it."""

    @property
    def convention(self) -> StepConvention:
        return find_family(self.family).convention

    @property
    def described(self) -> dict[str, Any]:
        return {"name": "process", "family": self.family}

    @property
    def task_type(self) -> str:
        return "CAUSAL_LM" if self.convention.head == "vocabulary" else self.task

    @field_validator("family")
    @classmethod
    def _trainable(cls, family: str) -> str:
        try:
            head = find_family(family).convention.head
        except FathomError as error:
            raise ValueError(str(error)) from None
        if head == "value":
            raise ValueError(f"the family {family} has a value head, which is not trained; expected another family")
        return str(Path(family).resolve()) if family.endswith((".yaml", ".yml")) else family

    @model_validator(mode="after")
    def _has_what_its_keys_need(self) -> Self:
        if self.domain_weights is not None and self.domain is None:
            raise ValueError("domain_weights needs the column that names the domain; set domain=COLUMN")
        if self.head_epochs and self.convention.head == "vocabulary":
            raise ValueError(f"head_epochs: the family {self.family} has no head of its own; leave it out")
        return self


R = TypeVar("R", bound=Recipe)


def _without_centring(recipe: R) -> R:
    if recipe.trainer.get("center_rewards_coefficient"):
        raise ValueError("trainer.center_rewards_coefficient applies to scalar reward models; leave it out")
    return recipe


@cache
def settings_of(library: str, config: str) -> type[BaseModel]:
    """A pydantic model with the fields of a library's config dataclass: to check names and types, not to train with."""
    source = getattr(require(library, "train"), config)
    hints = get_type_hints(source)
    fields: dict[str, Any] = {
        field.name: (hints[field.name] | None, None)
        for field in dataclasses.fields(source)
        if field.init and field.name not in OWN_KEYS
    }
    return create_model(config, __base__=Strict, **fields)


def _checked(settings: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    return settings.model_validate(values).model_dump(exclude_unset=True)


def load(path: str | Path, kind: type[R], overrides: Iterable[str] = ()) -> R:
    """The recipe in a file, with `key=value` overrides applied. Raises FathomError that lists every mistake."""
    try:
        return kind.model_validate(read_values(path, overrides))
    except ValidationError as error:
        raise FathomError("\n".join(f"{path}: {problem}" for problem in problems(error, kind))) from error


def problems(error: ValidationError, kind: type[Recipe]) -> list[str]:
    """One line per mistake: the key, what is wrong, and the name that was probably meant."""
    return [
        f"{'.'.join(map(str, problem['loc']))}: {_describe(problem, kind)}"
        for problem in error.errors(include_url=False)
    ]


def _describe(problem: Mapping[str, Any], kind: type[Recipe]) -> str:
    if problem["type"] != "extra_forbidden":
        given = "" if problem["type"] == "missing" else f", got {problem['input']!r}"
        return f"{problem['msg']}{given}"
    *parents, name = map(str, problem["loc"])
    if parents == ["trainer"] and name in OWN_KEYS:
        return f"set {OWN_KEYS[name]} instead"
    meant = _meant(name, parents, kind)
    return f"no such key{f'; did you mean {meant}?' if meant else ''}"


def _meant(name: str, parents: Sequence[str], kind: type[Recipe]) -> str | None:
    known = {
        "": list(kind.model_fields),
        "judge": list(judge_choice("mix").model_fields) if "judge" in kind.model_fields else [],
        "trainer": list(settings_of("trl", kind.trl_config).model_fields),
        "lora": list(settings_of("peft", "LoraConfig").model_fields),
    }
    here = ".".join(parents)
    if not here:
        elsewhere = [f"{room}.{name}" for room in ("trainer", "judge", "lora") if name in known[room]]
        if elsewhere:
            return elsewhere[0]
    close = difflib.get_close_matches(name, known.get(here, []), 1)
    return close[0] if close else None
