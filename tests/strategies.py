"""Comparisons of every shape, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from fathom.data.records import Comparison, Label, Message

TEXT = st.text(st.characters(codec="utf-8"))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SHARES = st.floats(0, 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXT, values, max_size=3),
    max_leaves=6,
)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
PROMPTS = st.text(st.characters(codec="utf-8"), min_size=1) | st.lists(
    st.builds(Message, role=ROLES, content=TEXT), min_size=1, max_size=3
).map(tuple)


def labels(n: int) -> st.SearchStrategy[Label]:
    return st.one_of(
        st.builds(Label, best=st.integers(0, n - 1)),
        st.builds(Label, ranking=st.permutations(range(n)).map(tuple)),
        st.builds(Label, scores=st.tuples(*[NUMBERS] * n)),
        st.builds(Label, steps=st.tuples(*[st.lists(st.none() | SHARES, max_size=3).map(tuple)] * n)),
    )


@st.composite
def comparisons(draw: st.DrawFn, id: st.SearchStrategy[str] = TEXT) -> Comparison:
    n = draw(st.integers(1, 4))
    steps = st.lists(TEXT, min_size=1, max_size=3).map(tuple)
    return Comparison(
        id=draw(id),
        prompt=draw(PROMPTS),
        responses=tuple(draw(st.lists(TEXT, min_size=n, max_size=n))),
        steps=draw(st.none() | st.tuples(*[steps] * n)),
        label=draw(st.none() | labels(n)),
        reference=draw(st.none() | TEXT),
        domain=draw(st.sampled_from([None, "preference", "correctness"])),
        annotations=draw(st.none() | st.dictionaries(TEXT, labels(n), max_size=2)),
        source_order=draw(st.none() | st.permutations(range(n)).map(tuple)),
        metadata=draw(st.dictionaries(TEXT, JSON, max_size=3)),
    )
