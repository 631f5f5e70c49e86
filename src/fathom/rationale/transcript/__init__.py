"""What a judge wrote when it did not write the canonical text, and what can be made of it for certain.

    characters, fences   characters made alike, code fences
    thoughts             what is thought, and what is said outside of it
    page                 the part of a text that counts, with its labelled lines
    sentences            sentences, of text that may be wrapped and marked up
    blocks               its units
    choices, names       the ways to write A, B and tie, and to name the responses
    winners, comparisons which response a sentence calls better; verdicts in such words
    mentions, denials, leads
                         whether a verdict is given, or quoted, denied, reported, imagined
    options              whether letters are options of the task
    marks, announcements, structured, tables
                         where verdicts stand: marks, lines, data
    rivals, turns, withdrawals
                         whether what follows takes a verdict back
    verdicts             the final verdicts it gives
    endings              how it ends where it gives none

The readers of all judges share `thoughts`, `mentions` and `withdrawals`.

`fathom.rationale.parse` puts these together; docs/reading-rules.md has the rules. Each step takes time linear in the
length of the text: every repetition in a pattern and every look around a place is bounded, and so is the number of
places that get a closer look.
"""
