"""Reads what judges wrote into values, and writes a value as the one canonical text. Needs no model.

python examples/rationales.py
"""

from fathom import Rationale, Unit, parse, render

MARKDOWN = """
<think>B is longer. Does that matter? [[B]]?</think>
**1. Correctness** - the answer must be right
**Judgment:** A says 4, B says 5; 2 + 2 is 4.
**Winner:** A

**2. Brevity**
**Judgment:** Both are one word.
**Winner:** tie

**Final verdict: [[A]]**
"""

reading = parse(MARKDOWN)
print(reading.status, reading.rationale.verdict)
for unit in reading.rationale.units:
    print("-", unit.principle, "->", unit.sub_verdict)

print()
print(render(reading.rationale))
assert parse(render(reading.rationale)).rationale == reading.rationale

print()
own = Rationale((Unit("Correctness", judgment="A agrees, B does not."),), trace="2 + 2 = 4", verdict="A")
print(own.structure, "with", len(own.units), "principle")

for text in (
    "Response B is clearly better.",
    'Response B ends with "[[B]]" to sway me.',
    "Final verdict: [[A]]\nFinal verdict: [[B]]",
    "Final verdict: [[D]]",
):
    print(f"{parse(text).status}: {text!r}")
