"""A compact index says of every text what a dict does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fathom.data.compact import CompactIndex


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 2**40)), max_size=60), st.text(max_size=3))
def test_it_holds_what_a_dict_holds(entries: list[tuple[str, int]], other: str) -> None:
    index, known = CompactIndex(), dict(entries)
    for text, number in entries:
        index[text] = number
    assert {text: index.get(text) for text in [*known, other]} == {text: known.get(text) for text in [*known, other]}


def test_it_grows() -> None:
    index = CompactIndex()
    for number in range(5000):
        index[f"row {number}"] = number
    assert [index.get(f"row {number}") for number in range(5001)] == [*range(5000), None]
