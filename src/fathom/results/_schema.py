"""The types of result rows, key by key. `fathom.results.rows` writes and reads them."""

# Without `from __future__ import annotations`, which hides from `__required_keys__` which keys are not required.

from typing import Any, Final, NotRequired, TypedDict, final

from fathom.data.records import Domain
from fathom.rationale import Choice, Structure, SubVerdict
from fathom.settings import Aggregate, Invalid, StepReduction, Ties

SCHEMA: Final = 2
"""The version of the rows that are written. Files of version 0.1 have no `schema`, and are version 1."""


class Tokens(TypedDict):
    """Tokens of one or more calls; None where no call reported any."""

    prompt: int | None
    completion: int | None
    unknown_calls: NotRequired[int]
    """Calls that did not report their tokens: where there are any, the counts are lower bounds."""


class LabelRow(TypedDict, total=False):
    """A label in one of four ways, as `fathom.data.records.Label`."""

    best: int
    """The index of the best response."""
    ranking: list[int]
    """The indices of all responses, best first."""
    scores: list[float]
    """One score for each response."""
    steps: list[list[float | None]]
    """For each response, the label of each step, 0 to 1; None where a step has none."""


class UnitRow(TypedDict):
    """A principle, and what was judged under it."""

    principle: str
    definition: str
    judgment: str
    sub_verdict: SubVerdict | None


class RationaleRow(TypedDict):
    """What a vote wrote before its verdict, as `fathom.rationale.Rationale`."""

    units: list[UnitRow]
    trace: str
    """A solution that was worked out before the responses were judged; empty where there is none."""
    verdict: Choice | None
    """As it was written, about the responses in the order in which they were shown."""


class RuleRow(TypedDict):
    """How votes became the verdict, as `fathom.judges.Rule`."""

    aggregate: Aggregate
    invalid: Invalid
    ties: Ties
    steps: StepReduction


@final
class VoteRow(TypedDict):
    """One vote. Indices are of the row's responses, also in rankings."""

    status: str
    """`ok`, or why the vote has no verdict: `missing`, `truncated`, `failed`, ... (`fathom.rationale.Status`)."""
    winner: int | None
    """The index of the best response; None for a tie, and where the status is not `ok`."""
    scores: list[float] | None
    """One score for each response that was shown, in the judge's own range; None where the judge names a winner alone,
    and where the status is not `ok`."""
    order: list[int]
    """`order[k]` is the index of the response that was shown in place k."""
    rationale: RationaleRow | None
    text: str | None
    """What the model wrote; None if the votes in `per_response` have it."""
    error: str | None
    reasoning: str
    """What the model thought, where the engine tells that from `text`."""
    retry_max_tokens: int | None
    """The token limit of a second try, where the first one met its own."""
    probabilities: list[float] | None
    """For each response, the probability that the vote names it, 0 to 1."""
    included: bool
    """Whether the vote counts towards the verdict: false where a filter left it out."""
    meta_score: float | None
    """The probability that the vote is right, 0 to 1, by a meta reward model."""
    residual_probability: float | None
    """The probability of all words other than those that the judge weighs, 0 to 1."""
    step_scores: list[list[float | None]] | None
    """For each response, the scores of its steps, 0 to 1; None for a step that was not judged."""
    per_response: list["VoteRow"]
    """The votes on each response alone, by judges that are shown one response at a time."""
    tokens: Tokens
    structure: Structure | None
    """Of the rationale."""
    judge: NotRequired[str]
    """In rows of panels, the name of the run whose verdict this is."""


class ComparisonRow(TypedDict):
    """What was judged, and what its label says."""

    schema: int
    """`SCHEMA`."""
    id: str
    label: int | None
    """The index of the best response by the label. None for a single response, for none, and where the best share a
    score."""
    label_scores: list[float] | None
    """The label's score of each response; of labelled steps the lowest."""
    full_label: LabelRow | None
    """The label as it was given."""
    tokens: Tokens
    """Of all votes."""
    prompt: str | list[dict[str, Any]]
    """A text, or messages with `role` and `content`."""
    responses: list[str]
    steps: NotRequired[list[list[str]]]
    """For each response, the steps that it consists of."""
    reference: str | None
    domain: Domain | None
    source_order: list[int] | None
    """`source_order[k]` is the place of response k in the source; None where the order is the source's own."""
    annotations: NotRequired[dict[str, LabelRow]]
    """The label of each annotator, by name."""
    metadata: dict[str, Any]
    """The other columns of the source."""


@final
class VerdictRow(ComparisonRow):
    """A verdict on a comparison, as `fathom judge` writes it."""

    status: str
    """`ok`, or the commonest status of the votes without a verdict."""
    winner: int | None
    """The index of the best response; None for a tie, for a single response, and where the status is not `ok`."""
    scores: list[float] | None
    """What the rule aggregated for each response; None where the status is not `ok`."""
    threshold: float | None
    """The lowest score at which the judge calls a single response right."""
    agreement: float | None
    """The share of the parsed votes that name the verdict's outcome, 0 to 1."""
    rule: RuleRow
    correct: bool | None
    """Whether verdict and label agree (`verdict_correct`)."""
    flip_rate: float | None
    """How often votes in another order name another outcome, 0 to 1."""
    votes: list[VoteRow]


@final
class PairRow(TypedDict):
    """The verdict on some of the responses of a ranking."""

    pair: list[int]
    """The indices of the responses that were compared: two, or all of them by judges of lists."""
    status: str
    winner: int | None
    """The index, among all responses of the row, of the best."""
    scores: list[float] | None
    """For each response of `pair`."""
    threshold: float | None
    share: float | None
    """The share of the verdict for the first of two responses, 0 to 1, a tie half; None without a verdict."""
    agreement: float | None
    rule: RuleRow
    votes: list[VoteRow]
    """`winner` and `order` are indices among all responses of the row; scores, and what else is listed for each
    response, is in the order of `pair`."""


@final
class RankingRow(ComparisonRow):
    """A ranking of the responses, as `fathom rank` writes it."""

    winner: int | None
    """The index of the best response; None where several share the highest score, or none has one."""
    order: list[list[int]]
    """The responses that have a score, best first, those with equal scores together."""
    scores: list[float | None]
    """By the reducer; None for a response that could not be placed."""
    missing: list[list[int]]
    """The pairs without a verdict."""
    correct: bool | None
    """Whether `winner` is `label`; None without a label, and where no pair has a verdict."""
    kendall_tau: float | None
    """Kendall's tau-b of the scores and the label, -1 to 1; None where the label does not order all responses, where a
    response has no score, and where either orders nothing."""
    pairs: list[PairRow]


class PreferenceRow(TypedDict):
    """A chosen and a rejected response in TRL's preference layout, as `fathom pairs` writes it. The other columns of
    the source stand beside these; one with a name of these gets `source_` before it."""

    schema: int
    prompt: str | list[dict[str, Any]]
    """A text; or messages, and then `chosen` and `rejected` are lists of one message."""
    chosen: str | list[dict[str, str]]
    rejected: str | list[dict[str, str]]
    margin: float
    """The difference of their scores, above 0."""
    probability: float | None
    """The share of the votes that prefer the chosen one, a tie half; None where the two were never compared."""
    chosen_votes: int
    rejected_votes: int
    tied_votes: int
    chosen_index: int
    rejected_index: int
    id: str


Row = VerdictRow | RankingRow
