"""What an adapter asks for: samples made from the values that trainers pass, and the sources of their rewards.

>>> sample([{"role": "user", "content": "2 + 2?"}], "4")
{'prompt': [{'role': 'user', 'content': '2 + 2?'}], 'response': '4'}
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from fathom.data import rendered
from fathom.data.conversations import as_messages, continuation
from fathom.data.records import Message
from fathom.errors import FathomError
from fathom.serve.messages import RewardAnswer


class RewardSource(Protocol):
    """A source of rewards: `RewardClient` and `LocalRewardClient` have this method."""

    def rewards(self, samples: Sequence[dict[str, Any]], *, group_size: int | None = None) -> list[RewardAnswer]: ...


class AsyncRewardSource(Protocol):
    """A source of rewards for asynchronous trainers: `AsyncRewardClient` and `AsyncLocalRewardClient` have it."""

    async def rewards(
        self, samples: Sequence[dict[str, Any]], *, group_size: int | None = None
    ) -> list[RewardAnswer]: ...


def check_source(source: object, trainer: str, *, asynchronous: bool) -> None:
    """Raise FathomError for a client whose `rewards` is not asynchronous if the trainer is, or the reverse."""
    if inspect.iscoroutinefunction(getattr(source, "rewards", None)) is asynchronous:
        return
    expected = "AsyncRewardClient or AsyncLocalRewardClient" if asynchronous else "RewardClient or LocalRewardClient"
    raise FathomError(f"source={type(source).__name__}: {trainer} needs {expected}")


def sample(prompt: Any, response: Any, reference: Any = None, baseline: Any = None) -> dict[str, Any]:
    """A sample for `rewards`. Prompt and response are texts or messages; other values become texts.

    Raises FathomError for a prompt or response of another form.
    """
    fields = {"prompt": prompt_of(prompt), "response": response_of(response)}
    optional = {"reference": reference, "baseline": baseline}
    return fields | {name: str(value) for name, value in optional.items() if value is not None}


def rendered_sample(prompt: str, response: str, reference: Any = None) -> dict[str, Any]:
    """A sample of texts as a policy reads and writes them, with the special tokens of a chat template.

    A prompt that a known template rendered becomes messages, and the response loses its end-of-turn tokens.
    """
    return sample(_plain(rendered.prompt_of(prompt)), rendered.without_end(response), reference)


def rendered_query(query: str, prompt: str, reference: Any = None) -> dict[str, Any]:
    """As `rendered_sample`, of a prompt and a text that is this prompt with its response.

    Raises FathomError if there is no response.
    """
    found = rendered.split_query(query, prompt)
    if found is None:
        raise FathomError("a query has no response; expected the prompt, and a text after it")
    return sample(_plain(found.prompt), found.response, reference)


def _plain(prompt: str | Sequence[Message]) -> str | list[dict[str, Any]]:
    return prompt if isinstance(prompt, str) else [message.model_dump() for message in prompt]


def prompt_of(prompt: Any) -> str | list[dict[str, Any]]:
    """A prompt as a text, or as messages with only role and content."""
    if isinstance(prompt, str):
        return prompt
    return _plain(as_messages(list(prompt), "prompt"))


def response_of(response: Any) -> str:
    """The text of a response. Several turns become one text."""
    return response if isinstance(response, str) else continuation(as_messages(response, "completion"), "completion")


def column(columns: Mapping[str, Any], name: str | None, count: int) -> Sequence[Any]:
    """The values of a column of the data set, which trainers pass by name; `count` times None without a name.

    Raises FathomError for a missing column.
    """
    if name is None:
        return [None] * count
    if name not in columns:
        known = ", ".join(sorted(columns)) or "none"
        raise FathomError(f"the data set has no column {name!r}; expected one of: {known}")
    values: Sequence[Any] = columns[name]
    return values
