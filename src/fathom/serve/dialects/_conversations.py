"""What protocols of inference servers share: the last turn of a conversation, of the assistant, is the response."""

from __future__ import annotations

from collections.abc import Sequence

from fathom.data import rendered
from fathom.data.records import Message
from fathom.serve.errors import RequestError
from fathom.serve.service import Sample

LONGEST = 100_000
RENDERED = "expected messages, or a text that a known chat template rendered, with a last turn of the assistant"


def sample_of_messages(messages: Sequence[Message], where: str) -> Sample:
    """The last turn as the response to the turns before it. Raises RequestError if it is not the assistant's."""
    if len(messages) < 2 or messages[-1].role != "assistant":
        raise RequestError(422, f"{where}: found no response; {RENDERED}")
    return Sample(tuple(messages[:-1]), messages[-1].content)


def samples_of_input(given: str | Sequence[str | int | list[int]], field: str) -> list[Sample]:
    """A sample per rendered conversation. Raises RequestError for token ids and for texts of no known template."""
    texts = [given] if isinstance(given, str) else given
    samples = []
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise RequestError(
                422, f"{field}[{index}]: got token ids, of whose tokenizer the server knows nothing; {RENDERED}"
            )
        samples.append(sample_of_messages(rendered.parse(text) or (), f"{field}[{index}]"))
    return samples


def refuse_activation(field: str, value: bool | None) -> None:
    """Raise RequestError if a request asks for the sigmoid or the softmax of rewards."""
    if value:
        raise RequestError(422, f"{field}: rewards are not squashed; expected false")
