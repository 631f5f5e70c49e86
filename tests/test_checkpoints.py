"""Which weights a name stands for: a journal must not serve the answers of others."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft", reason='needs pip install "fathom-rm[train]"')

from huggingface_hub import constants

from fathom.engines import Request, Sampling
from fathom.engines.cache import CachedEngine
from fathom.engines.checkpoints import adapter_base, fingerprint
from fathom.engines.local import LocalEngine
from fathom.errors import FathomError
from tiny import make_checkpoint


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "base")


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    return make_adapter(base, tmp_path / "adapter")


def make_adapter(base: Path, path: Path) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    set_seed(0)
    settings = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).save_pretrained(path)
    AutoTokenizer.from_pretrained(base).save_pretrained(path)
    return path


def of_base(adapter: Path, base: str | None) -> Path:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": base}))
    return adapter


def cached_hub(cache: Path, name: str, commit: str, model: Path) -> None:
    """What the hub's library leaves on the disk when it has loaded `name`."""
    folder = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(model, folder / "snapshots" / commit)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)


def test_an_adapter_is_another_model_when_its_base_has_changed(base: Path, adapter: Path) -> None:
    before = fingerprint(str(adapter))
    assert fingerprint(str(adapter)) == before
    make_checkpoint(base, seed=1)
    assert fingerprint(str(adapter)) != before


def test_adapters_of_equal_files_are_told_apart_by_their_bases(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_base(adapter, "m")
    told = []
    for seed in (1, 2):
        make_checkpoint(tmp_path / str(seed) / "m", seed=seed)
        monkeypatch.chdir(tmp_path / str(seed))
        told.append(fingerprint(str(adapter)))
    assert told[0] != told[1]


def test_an_adapter_changes_with_its_own_weights_too(base: Path, adapter: Path) -> None:
    assert fingerprint(str(adapter)) != fingerprint(str(base))
    before = fingerprint(str(adapter))
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert fingerprint(str(adapter)) != before


def test_a_journal_does_not_answer_for_an_adapter_whose_base_has_changed(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    def answer() -> str:
        async def ask() -> str:
            async with CachedEngine(LocalEngine(adapter), tmp_path / "journal") as engine:
                request = Request(({"role": "user", "content": "hello"},), Sampling(temperature=0, max_tokens=8))
                return (await engine.complete(request)).text

        return asyncio.run(ask())

    before = answer()
    assert answer() == before
    make_checkpoint(base, seed=1)
    assert answer() != before


@pytest.mark.parametrize("there", ["folder", "hub"])
def test_a_base_that_is_not_there_is_said(adapter: Path, tmp_path: Path, there: str) -> None:
    gone = of_base(adapter, str(tmp_path / "gone") if there == "folder" else "nobody/nothing")
    with pytest.raises(FathomError, match=r"cannot identify the weights of .*(gone|nothing)"):
        fingerprint(str(gone))


@pytest.mark.parametrize("named", [None, 3])
def test_an_adapter_that_names_no_base_is_said(adapter: Path, named: Any) -> None:
    with pytest.raises(FathomError, match="has no base_model_name_or_path"):
        adapter_base(of_base(adapter, named))


def test_a_model_of_the_hub_is_known_by_its_commit_also_as_a_base(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    told = {}
    for commit in ("a" * 40, "b" * 40):
        cached_hub(tmp_path / "cache", "some/model", commit, base)
        told[commit] = LocalEngine("some/model").identity
        assert told[commit].endswith(commit)
        assert LocalEngine(of_base(adapter, "some/model")).identity.endswith(commit)
    assert LocalEngine("some/model", revision="a" * 40).identity == told["a" * 40]


def test_a_folder_with_a_model_and_an_adapter_needs_no_other_base(base: Path, adapter: Path) -> None:
    shutil.copytree(base, adapter, dirs_exist_ok=True)
    assert adapter_base(of_base(adapter, "nobody/nothing")) is None
    assert len(fingerprint(str(adapter))) == 16


def test_adapters_are_read_from_safetensors_only(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(FathomError, match=r"without adapter_model\.safetensors"):
        LocalEngine(adapter)
