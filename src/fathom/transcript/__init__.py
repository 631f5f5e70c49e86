"""What a judge wrote when it did not write the canonical text, and what can be made of it for certain.

    page       the part of a text that counts, with its labelled lines
    blocks     its units
    choices    the ways to write A, B and tie
    mentions   whether a verdict is given, or quoted, denied, imagined
    verdicts   the final verdicts it gives
    endings    how it ends where it gives none

`fathom.rationale.parse` puts these together; docs/reading-rules.md has the rules. Each step takes time linear in the
length of the text: every repetition in a pattern and every look around a place is bounded, and so is the number of
places that get a closer look.
"""
