"""The tolerant parser for transcripts that are not in the canonical form.

    characters, fences   normalisation of characters, code fences
    thoughts             reasoning blocks, and the text outside of them
    document             the text that counts, with its labelled lines
    sentences            sentences of wrapped and marked-up text
    blocks               units of the rationale
    choices, names       spellings of A, B and tie, and names of the responses
    winners, comparisons sentences that call a response better; verdicts in such words
    mentions, denials, leads
                         whether a verdict is given, or only quoted, denied, reported or considered
    options              whether letters are options of a multiple-choice task
    marks, announcements, structured, tables
                         places of verdicts: bracketed marks, announced lines, data
    rivals, turns, withdrawals
                         whether later text takes a verdict back
    verdicts             the final verdicts of the text (the algorithm is described there)
    endings              how a text without a verdict ends

The parsers of all judges share `thoughts`, `mentions` and `withdrawals`.

`fathom.rationale.parse` combines these modules; docs/reading-rules.md states the rules. Transcripts are untrusted and
may be long, so each step runs in time linear in the length of the text. Three conventions ensure it: repetitions in
patterns are bounded (`{0,40}` instead of `*`), searches around a place see a window of bounded size, and the number of
places that get a closer look is capped. Above a cap the text counts as degenerate repetition and yields no verdict.
Many patterns begin with a literal and check its context with a look-behind after it, because the regular expression
engine searches for a literal prefix many times faster.
"""
