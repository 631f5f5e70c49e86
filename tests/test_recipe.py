"""Recipes say everything about a run, are checked before it, and tell all their mistakes at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("trl", reason='needs pip install "fathom-rm[train]"')

from fathom.errors import FathomError
from fathom.train import recipes, rlvr
from fathom.train.recipe import (
    GenARMRecipe,
    ImplicitRecipe,
    MetaRecipe,
    ProcessRecipe,
    Recipe,
    RewardRecipe,
    RLVRRecipe,
    SFTRecipe,
    SlotRecipe,
    load,
)

SHIPPED = sorted(Path(recipes.__file__).parent.glob("*.yaml"))
KINDS: dict[str, type[Recipe]] = {
    "sft": SFTRecipe,
    "rft": SFTRecipe,
    "rlvr": RLVRRecipe,
    "meta": MetaRecipe,
    "reward": RewardRecipe,
    "genarm": GenARMRecipe,
    "implicit": ImplicitRecipe,
    "process": ProcessRecipe,
    "slot": SlotRecipe,
}


def written(path: Path, **keys: object) -> Path:
    path.write_text(yaml.safe_dump({"model": "m", "data": "d.jsonl", "output": "o", **keys}))
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_valid(path: Path) -> None:
    assert load(path, KINDS[path.stem.rpartition("_")[2]]).trainer


def test_the_8b_recipes_hold_the_papers_hyperparameters() -> None:
    sft = load(recipes.path("mix_grm_8b_sft"), SFTRecipe)
    assert sft.model == "Qwen/Qwen3-8B-Base"
    paper = {"learning_rate": 2e-5, "warmup_steps": 0.05, "num_train_epochs": 2, "weight_decay": 0, "max_length": 12288}
    assert paper.items() <= sft.trainer.items()
    assert sft.trainer["per_device_train_batch_size"] * sft.trainer["gradient_accumulation_steps"] * 8 == 128

    rlvr = load(recipes.path("mix_grm_8b_rlvr"), RLVRRecipe)
    paper = {"learning_rate": 1e-6, "num_generations": 8, "temperature": 0.8, "max_steps": 100, "beta": 0.001}
    objective = {"loss_type": "grpo", "scale_rewards": "group", "use_vllm": True}
    assert (paper | objective).items() <= rlvr.trainer.items()
    assert rlvr.trainer["per_device_train_batch_size"] * rlvr.trainer["gradient_accumulation_steps"] * 8 == 128 * 8


def test_rlvr_of_mix_grm_shows_no_reference_answer_unless_its_column_is_named(tmp_path: Path) -> None:
    pair = {"prompt": "2 + 2", "chosen": "4", "rejected": "5", "reference": "4711"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair), encoding="utf-8")
    for options, shown in (([], None), (["mapping.reference=reference"], "4711")):
        recipe = load(recipes.path("mix_grm_8b_rlvr"), RLVRRecipe, [f"data={tmp_path / 'pairs.jsonl'}", *options])
        assert [comparison.reference for comparison in rlvr.read(recipe)] == [shown]


def test_the_recipes_of_spct_hold_the_papers_hyperparameters() -> None:
    def batch(recipe: Recipe) -> int:
        return recipe.trainer["per_device_train_batch_size"] * recipe.trainer["gradient_accumulation_steps"] * 64

    rft = load(recipes.path("spct_27b_rft"), SFTRecipe)
    assert {"learning_rate": 5e-6, "max_steps": 900}.items() <= rft.trainer.items()
    rlvr = load(recipes.path("spct_27b_rlvr"), RLVRRecipe)
    paper = {"learning_rate": 4e-7, "max_steps": 900, "num_generations": 4, "beta": 0.08, "loss_type": "grpo"}
    assert paper.items() <= rlvr.trainer.items()
    meta = load(recipes.path("spct_27b_meta"), MetaRecipe)
    assert meta.trainer["learning_rate"] == 1e-5
    assert [batch(recipe) for recipe in (rft, rlvr, meta)] == [1024, 512, 512]
    assert rft.judge == rlvr.judge == meta.judge
    assert rft.judge.model_dump(exclude_none=True) == {"name": "spct", "trained": True, "binary": True}


def test_recipes_of_step_rewards_hold_the_papers_hyperparameters() -> None:
    def batch(recipe: Recipe) -> int:
        return recipe.trainer["per_device_train_batch_size"] * recipe.trainer["gradient_accumulation_steps"] * 8

    free = load(recipes.path("ultrainteract_8b_implicit"), ImplicitRecipe)
    assert (free.beta, free.trainer["learning_rate"], free.trainer["num_train_epochs"], batch(free)) == (
        0.05,
        5e-7,
        1,
        64,
    )
    pure = load(recipes.path("pure_7b_process"), ProcessRecipe)
    stages = (
        pure.head_epochs,
        pure.head_learning_rate,
        pure.trainer["num_train_epochs"],
        pure.trainer["learning_rate"],
    )
    assert (*stages, batch(pure)) == (3, 1e-4, 1, 1e-6, 64)
    think = load(recipes.path("thinkprm_14b_sft"), SFTRecipe)
    paper = {"learning_rate": 4e-4, "num_train_epochs": 3}
    assert (think.lora or {})["r"] == 32
    assert (think.lora or {})["lora_alpha"] == 16
    assert paper.items() <= think.trainer.items()
    assert (think.judge.name, batch(think)) == ("thinkprm", 16)
    flow = load(recipes.path("rlhflow_8b_process"), ProcessRecipe)
    assert (flow.family, flow.trainer["learning_rate"], batch(flow)) == ("rlhflow", 2e-6, 32)
    scan = load(recipes.path("scan_7b_process"), ProcessRecipe)
    assert (scan.error_at, scan.trainer["learning_rate"], scan.trainer["num_train_epochs"]) == (0.0, 7e-6, 1)
    mm = load(recipes.path("mm_prm_8b_process"), ProcessRecipe)
    assert (mm.family, mm.trainer["learning_rate"], mm.trainer["num_train_epochs"], batch(mm)) == (
        "p_yes",
        4e-6,
        1,
        512,
    )


def test_a_meta_reward_model_says_what_it_is(tmp_path: Path) -> None:
    recipe = load(written(tmp_path / "r.yaml", judge={"name": "spct"}), MetaRecipe)
    assert recipe.described == {"kind": "meta", "name": "spct", "trained": True, "binary": False}


def test_all_mistakes_are_told_at_once_with_file_key_and_the_name_probably_meant(tmp_path: Path) -> None:
    path = written(
        tmp_path / "r.yaml",
        juge={"style": "mix"},
        judge={"style": "deep"},
        learning_rate=1,
        lora={"rank": 8, "lora_alfa": 3},
        trainer={"lerning_rate": 1e-5, "beta": "high", "seed": 3},
    )
    with pytest.raises(FathomError) as caught:
        load(path, RLVRRecipe)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    told = {key: reason for key, _, reason in (line.removeprefix(f"{path}: ").partition(": ") for line in lines)}
    assert told.keys() == {
        "juge", "judge.style", "learning_rate", "lora.rank", "lora.lora_alfa",
        "trainer.lerning_rate", "trainer.beta", "trainer.seed",
    }  # fmt: skip
    assert told["juge"].endswith("did you mean judge?")
    assert told["learning_rate"].endswith("did you mean trainer.learning_rate?")
    assert told["trainer.lerning_rate"].endswith("did you mean learning_rate?")
    assert told["lora.lora_alfa"].endswith("did you mean lora_alpha?")
    assert "'high'" in told["trainer.beta"]
    assert told["trainer.seed"] == "set seed instead"


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("data: d.jsonl\noutput: o\n")
    with pytest.raises(FathomError, match=r"r\.yaml: model: Field required"):
        load(path, SFTRecipe)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("- a\n- b\n", "expected keys and values"), ("a: [", "is not YAML"), (None, "cannot read the recipe")],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "r.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(FathomError, match=reason):
        load(path, SFTRecipe)


def test_overrides_win_over_the_file_and_make_missing_rooms(tmp_path: Path) -> None:
    path = written(tmp_path / "r.yaml", trainer={"learning_rate": 1.0, "max_steps": 5})
    recipe = load(path, SFTRecipe, ["trainer.learning_rate=1e-5", "judge.style=depth", "data=[a.jsonl, b.jsonl]"])
    assert recipe.trainer == {"learning_rate": 1e-5, "max_steps": 5}  # YAML alone would read 1e-5 as a text
    assert recipe.judge.style == "depth"
    assert recipe.data == (Path("a.jsonl"), Path("b.jsonl"))


def test_the_word_no_stays_a_word_and_is_false_where_a_switch_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("model: m\ndata: d\noutput: o\ntrainer: {save_strategy: no, packing: no, bf16: true}\n")
    trainer = load(path, SFTRecipe, ["trainer.eval_strategy=no"]).trainer
    assert trainer == {"save_strategy": "no", "eval_strategy": "no", "packing": False, "bf16": True}


@pytest.mark.parametrize("override", ["learning_rate", "=3", ""])
def test_an_override_without_key_or_value_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(FathomError, match="expected key=value"):
        load(written(tmp_path / "r.yaml"), SFTRecipe, [override])


def test_an_override_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FathomError, match=r"data=\[a"):
        load(written(tmp_path / "r.yaml"), SFTRecipe, ["data=[a"])


def test_an_override_below_a_plain_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FathomError, match="seed"):
        load(written(tmp_path / "r.yaml", seed=3), SFTRecipe, ["seed.x=1"])


@given(
    rate=st.floats(1e-9, 1.0),
    steps=st.integers(1, 10**6),
    seed=st.integers(0, 2**32 - 1),
    style=st.sampled_from(["vanilla", "breadth", "depth", "mix"]),
    files=st.lists(st.sampled_from(["a.jsonl", "b c.jsonl", "ä.jsonl"]), min_size=1, max_size=3),
)
def test_a_resolved_recipe_written_down_is_the_same_recipe(
    tmp_path_factory: pytest.TempPathFactory, rate: float, steps: int, seed: int, style: str, files: list[str]
) -> None:
    trainer = {"learning_rate": rate, "max_steps": steps}
    recipe = SFTRecipe.model_validate(
        {"model": "m", "data": files, "output": "o", "seed": seed, "judge": {"style": style}, "trainer": trainer}
    )
    path = tmp_path_factory.mktemp("recipe") / "r.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert load(path, SFTRecipe) == recipe


def test_the_own_sampling_loop_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    path = written(tmp_path / "r.yaml", rollouts="engine", trainer={"use_vllm": True, "top_k": 5})
    with pytest.raises(FathomError, match="leave out use_vllm, top_k"):
        load(path, RLVRRecipe)


def test_launch_settings_that_recipes_and_pages_name_are_there() -> None:
    root = Path(__file__).parent.parent
    files = [*Path(recipes.__file__).parent.glob("*.yaml"), *(root / "docs").glob("*.md"), root / "README.md"]
    named = [name for file in files for name in re.findall(r"--config_file (\S+)", file.read_text(encoding="utf-8"))]
    assert named
    assert [name for name in named if not (root / name).is_file()] == []


@pytest.mark.parametrize("name", ["fsdp", "deepspeed_zero3"])
def test_accelerate_accepts_the_shipped_launch_settings(name: str) -> None:
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    config = config_args.load_config_from_file(str(Path(recipes.__file__).parent / "accelerate" / f"{name}.yaml"))
    assert config.num_processes == 8
    assert config.mixed_precision == "bf16"
