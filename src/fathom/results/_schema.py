"""The types of result rows, key by key. `fathom.results.rows` writes and reads them."""

# No `from __future__ import annotations` here: with it, `__required_keys__` would ignore NotRequired.

from typing import Any, Final, NotRequired, TypedDict, final

from fathom.data.records import Domain
from fathom.rationale import Choice, Structure, SubVerdict
from fathom.settings import Aggregate, Invalid, StepReduction, Ties

SCHEMA: Final = 2
"""The schema version of the rows that are written. Rows of Fathom 0.1 have no `schema`; they are version 1."""


class Tokens(TypedDict):
    """Token counts of one or more calls; None if no call reported any."""

    prompt: int | None
    completion: int | None
    unknown_calls: NotRequired[int]
    """The number of calls that did not report their tokens. If it is above 0, the counts are lower bounds."""


class LabelRow(TypedDict, total=False):
    """A label in one of four forms, as in `fathom.data.records.Label`."""

    best: int
    """The index of the best response."""
    ranking: list[int]
    """The indices of all responses, best first."""
    scores: list[float]
    """One score for each response."""
    steps: list[list[float | None]]
    """For each response, the label of each step, 0 to 1; None for a step without a label."""


class UnitRow(TypedDict):
    """A principle with its judgment."""

    principle: str
    definition: str
    judgment: str
    sub_verdict: SubVerdict | None


class RationaleRow(TypedDict):
    """The parsed rationale of a vote, as in `fathom.rationale.Rationale`."""

    units: list[UnitRow]
    trace: str
    """The solution that the judge works out before it judges; may be empty."""
    verdict: Choice | None
    """The verdict as written; its letter refers to the responses in the order shown."""


class RuleRow(TypedDict):
    """The rule that turned votes into the verdict, as in `fathom.judges.Rule`."""

    aggregate: Aggregate
    invalid: Invalid
    ties: Ties
    steps: StepReduction | None
    """null: votes that score steps have scores of their own."""


@final
class VoteRow(TypedDict):
    """One vote. Indices refer to the row's responses, also in rankings."""

    status: str
    """`ok`, or why the vote has no verdict: `missing`, `truncated`, `failed`, ... (`fathom.rationale.Status`)."""
    winner: int | None
    """The index of the best response; None for a tie and if the status is not `ok`."""
    scores: list[float] | None
    """One score for each response shown, in the judge's own range; None if the judge only names a winner, and if the
    status is not `ok`."""
    order: list[int]
    """`order[k]` is the index of the response shown at position k."""
    rationale: RationaleRow | None
    text: str | None
    """The text of the completion; None if the votes in `per_response` have it."""
    error: str | None
    """The error message of a failed call."""
    reasoning: str
    """The model's reasoning, if the engine returns it separately from `text`."""
    retry_max_tokens: int | None
    """The token limit of the second try, if the first one was cut off by its limit."""
    probabilities: list[float] | None
    """For each response, the probability that the vote names it, 0 to 1."""
    included: bool
    """Whether the vote counts towards the verdict; false if a filter excluded it."""
    meta_score: float | None
    """The probability that the vote is right, 0 to 1, according to a meta reward model."""
    residual_probability: float | None
    """The probability of tokens other than the judge's options, 0 to 1."""
    step_scores: list[list[float | None]] | None
    """For each response, the scores of its steps, 0 to 1; None for a step that was not judged."""
    per_response: list["VoteRow"]
    """For judges that are shown one response at a time: the votes on the single responses."""
    tokens: Tokens
    structure: Structure | None
    """The structure of the rationale."""
    judge: NotRequired[str]
    """In rows of a panel, the name of the run whose verdict this vote is."""


class ComparisonRow(TypedDict):
    """The columns that verdicts and rankings share: the comparison and its label."""

    schema: int
    """`SCHEMA`."""
    id: str
    label: int | None
    """The index of the best response by the label. None without a label, for a single response and for a tie."""
    label_scores: list[float] | None
    """The label's score of each response; for labelled steps, the lowest one of the response."""
    full_label: LabelRow | None
    """The label in the form in which it was given."""
    tokens: Tokens
    """The total over all votes."""
    prompt: str | list[dict[str, Any]]
    """A text, or messages with `role` and `content`."""
    responses: list[str]
    steps: NotRequired[list[list[str]]]
    """For each response, its steps."""
    step_types: NotRequired[list[list[str | None]]]
    """For each response, the types of its steps."""
    reference: str | None
    """A reference answer."""
    domain: Domain | None
    source_order: list[int] | None
    """`source_order[k]` is the index of response k in the source; None if the responses were not shuffled."""
    annotations: NotRequired[dict[str, LabelRow]]
    """The label of each annotator, by name."""
    metadata: dict[str, Any]
    """The other columns of the source."""


@final
class VerdictRow(ComparisonRow):
    """A verdict on a comparison, as `fathom judge` writes it."""

    status: str
    """`ok`, or the most frequent status of the votes without a verdict."""
    winner: int | None
    """The index of the best response; None for a tie, for a single response and if the status is not `ok`."""
    scores: list[float] | None
    """The rule's aggregate for each response; None if the status is not `ok`."""
    threshold: float | None
    """The score at or above which a pointwise judge calls a response right."""
    agreement: float | None
    """The share of the parsed votes that name the verdict's outcome, 0 to 1."""
    rule: RuleRow
    correct: bool | None
    """Whether the verdict agrees with the label (`verdict_correct`)."""
    flip_rate: float | None
    """The share of pairs of votes in different orders that name different outcomes, 0 to 1."""
    votes: list[VoteRow]


@final
class PairRow(TypedDict):
    """The verdict on some of the responses of a ranking."""

    pair: list[int]
    """The indices of the compared responses: two, or all of them for listwise and pointwise judges."""
    status: str
    winner: int | None
    """The index of the best response among all responses of the row."""
    scores: list[float] | None
    """One score for each response of `pair`."""
    threshold: float | None
    share: float | None
    """The share of the votes for the first of two responses, 0 to 1, with ties counted 0.5; None without a verdict."""
    agreement: float | None
    rule: RuleRow
    votes: list[VoteRow]
    """`winner` and `order` are indices among all responses of the row. Scores and other lists are in the order of
    `pair`."""


@final
class RankingRow(ComparisonRow):
    """A ranking of the responses, as `fathom rank` writes it."""

    winner: int | None
    """The index of the best response; None if several share the highest score or none has a score."""
    order: list[list[int]]
    """The responses that have a score, best first; responses with equal scores form one group."""
    scores: list[float | None]
    """The scores by the reducer; None for a response that could not be placed."""
    missing: list[list[int]]
    """The pairs without a verdict."""
    correct: bool | None
    """Whether `winner` is `label`; None without a label and if no pair has a verdict."""
    kendall_tau: float | None
    """Kendall's tau-b of the scores and the label, -1 to 1. None if the label does not order all responses, if a
    response has no score, or if all scores or all labels are equal."""
    pairs: list[PairRow]


class PreferenceRow(TypedDict):
    """A chosen and a rejected response in TRL's preference layout, as `fathom pairs` writes it. The row also has the
    other columns of the source; a column with one of these names is prefixed with `source_`."""

    schema: int
    prompt: str | list[dict[str, Any]]
    """A text, or messages; with messages, `chosen` and `rejected` are lists of one message."""
    chosen: str | list[dict[str, str]]
    rejected: str | list[dict[str, str]]
    margin: float
    """The difference of their scores, above 0."""
    probability: float | None
    """The share of votes for the chosen response, with ties counted 0.5; None if the two were never compared."""
    chosen_votes: int
    rejected_votes: int
    tied_votes: int
    chosen_index: int
    rejected_index: int
    id: str


Row = VerdictRow | RankingRow
