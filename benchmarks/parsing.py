"""How fast verdicts are read: python benchmarks/parsing.py [--json FILE]

Throughput on texts of 4 kB, the slowest of many hostile inputs of 100 kB, and the time ratio per doubling from 1 kB to
1 MB (2.0 is linear). Times are process times, the best of several runs.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from fathom.rationale import MAX_UNITS, Rationale, Unit, parse, render

SAYINGS = [
    "Response A explains the second step",
    "and names its source",
    "while the other one repeats the question",
    "and then stops short of an answer",
    "that a reader could check against the text",
]


def prose(size: int, seed: int = 0) -> str:
    """Paragraphs of plain words without a verdict, `size` characters long."""
    draw = random.Random(seed)
    text = ""
    while len(text) < size:
        sentences = (" ".join(draw.choices(SAYINGS, k=3)) + "." for _ in range(4))
        text += " ".join(sentences) + "\n\n"
    return text[:size].rstrip()


def canonical(size: int) -> str:
    count = min(MAX_UNITS, max(1, size // 800))
    units = tuple(Unit(f"Principle of {n}", "One sentence.", prose(size // count - 100, n), "A") for n in range(count))
    return render(Rationale(units, verdict="A"))


def ordinary(size: int) -> dict[str, str]:
    """What judges write, at about `size` characters."""
    return {
        "prose, then [[A]]": prose(size) + "\n\n[[A]]",
        "prose, then a final verdict line": prose(size) + "\n\n**Final verdict: [[A]]**",
        "prose without a verdict": prose(size),
        "thought, then a verdict": f"<think>{prose(size)}</think>\n\nFinal verdict: [[B]]",
        "canonical text": canonical(size),
        "canonical text in markdown": canonical(size).replace("Judgment:", "**Judgment:**"),
    }


_PIECES = [
    "\n", "\n\n", "a\n", " a", "\n a", "\n*", "\n-", "\n`", "[[A]]", "[[A]]\n", "[[A]].\n", "So [[A]]. ", "[", "]",
    "[[", "[[ ", "[ [", "[[A", "[[A]] or ", "[[A]] or [[B]]\n", "'[[A]]' ", "says: [[B]].\n", "[[7]] ", "[A] ", "*",
    "**", "__", "#", "# x\n", "- x\n", "---\n", "> x\n", "> [[A]]\n", "\"", "'", "`", "```\n", "~~~\n", "「", "「」",
    "“", "<quote", "<", "<think>", "</think>", "<think></think>", "<answer>", "</answer>", "<answer>A</answer>",
    "<|a|>", "Verdict: A\n", "Verdict: ", "Winner - ", "Verdict", "Final verdict: ", "Final verdict:\n",
    "Final verdict: A\n", "Final verdict: [[A]]\n", "Final verdict: response A is better, overall\n", "final ",
    "my verdict is A. ", "my final verdict is: ", "overall winner ", "Answer: B\n", "A is better. ", "wait a b ",
    "Principle 1: x\n", "**x**\nJudgment: y\n", "Principle 1: x\nJudgment: y\nVerdict: A\n",
    "Judgment: a judgment that goes on\n", "1. x\n", "1. **x**: y\n", "Solution: x\n", "\\", "\\Verdict: A\n",
    "\\boxed{", "{", "{\"a\":", "{\"verdict\": \"A\"}", "(", ".", ". ", "not ", "if ", "I cannot ", "sorry ", "我",
    "。", "［［Ａ］］", "裁决：Ａ\n", "原则1：清晰\n", "é", "\u200b", "\u200dx", "好\u200d", "\U0001f600",
    "\u2028", "\x00", "\r", "\t",
]  # fmt: skip


def hostile(size: int) -> dict[str, str]:
    """Texts made to be slow to read, each `size` bytes long in UTF-8, or nearly."""
    draw = random.Random(0)
    texts = {repr(piece): piece * (size // len(piece.encode())) for piece in _PIECES}
    texts |= {f"x + {name} + x": f"x{text}x" for name, text in texts.items() if text.isspace()}
    anything = (draw.choice((draw.randrange(32, 0x7F), draw.randrange(0xA0, 0xD800))) for _ in range(size // 2))
    labels = ["\nVerdict: ", "\nJudgment: ", "\nPrinciple 2: ", "\n**x**", "[[A]]", " a run of words ", "\n\n", '"']
    return texts | {
        "random unicode": "".join(map(chr, anything)) + "Ａ",
        "full width": "".join(chr(draw.randrange(0xFF01, 0xFF5F)) for _ in range(size // 3)),
        "random punctuation": "".join(draw.choices("[]()*`\"'\n :AB<>.{}#-", k=size)),
        "random labels": "".join(draw.choices(labels, k=size // 10)),
        "prose": prose(size),
        "canonical text": canonical(size),
        "a line without end": "word " * (size // 5),
        "a verdict after a line without end": "word " * (size // 5) + "[[A]]",
        "a verdict, then prose": "[[A]]\n\n" + prose(size),
        "a verdict, then sentences that need a look": "[[A]]\n\n" + sentences(size),
        "an answer, then letters": "Answer: B\n" + "(a) x (b) y " * (size // 12),
        "many marks in prose": "so I say [[A]] and not [[B]], or both of these together. " * (size // 57),
    }


_TURNING = ["response", "better", "verdict", "wrong", "no", "wait", "actually", "second", "first", "score", "correct"]


def sentences(size: int, seed: int = 0) -> str:
    """Sentences of the words by which texts take verdicts back, no two alike, `size` characters long."""
    draw = random.Random(seed)
    words = [*_TURNING, "a", "b", "is", "than", "i", "my", "it", "in", "for", "3", "7", "not", "but", "if", "so"]
    made = (" ".join(draw.choices(words, k=12)).capitalize() + ". " for _ in range(size // 30))
    return "".join(made)[:size]


def seconds(work: Callable[[], object], runs: int) -> float:
    """The best process time of one call."""
    best = float("inf")
    for _ in range(runs):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def throughput(size: int) -> dict[str, float]:
    """Texts a second, by kind of text."""
    many = 200
    return {
        name: many / seconds(lambda text=text: [parse(text) for _ in range(many)], 5)
        for name, text in ordinary(size).items()
    }


def slowest(size: int) -> list[tuple[str, float]]:
    """Hostile inputs with the milliseconds they take, slowest first."""
    times = {name: 1000 * seconds(lambda text=text: parse(text), 5) for name, text in hostile(size).items()}
    return sorted(times.items(), key=lambda item: -item[1])


def worst_ratio(sizes: list[int]) -> dict[str, float]:
    """The slowest hostile input's time at each size, over that at half the size."""
    worst = [slowest(size)[0][1] for size in sizes]
    ratios = [later / earlier for earlier, later in pairwise(worst)]
    return {f"{size // 1000} kB": ratio for size, ratio in zip(sizes[1:], ratios, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    arguments = parser.parse_args()
    rates, worst = throughput(4000), slowest(100_000)
    ratios = worst_ratio([1000 * 2**n for n in range(11)])
    for name, rate in rates.items():
        print(f"{rate:10,.0f} texts/s at 4 kB: {name}")
    for name, milliseconds in worst[:10]:
        print(f"{milliseconds:10.2f} ms at 100 kB: {name}")
    for name, ratio in ratios.items():
        print(f"{ratio:10.2f} times the slowest at half the size: {name}")
    if arguments.json:
        figures = {"texts_per_second": rates, "milliseconds": dict(worst), "ratio": ratios}
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
