r"""Which answers are equal, kind by kind: what is stated as the answer, and what it means.

A pair that is wrongly called equal would be a wrong reward, so most cases here have a neighbour that differs in little.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fathom.metrics.answers import Verifier
from fathom.metrics.answers._final import choice, final_answer, last_boxes

pytest.importorskip("math_verify", reason='needs pip install "fathom-rm[verify]"')

NO_TELLING = None
KINDS: dict[str, list[tuple[str, str, bool | None]]] = {
    "bare LaTeX": [
        (r"\sqrt{51}", r"\sqrt{51}", True),
        (r"\sqrt{51}", "51", False),
        (r"\frac{3\sqrt{2}}{4}", r"\frac{3\sqrt{2}}{4}", True),
        (r"\frac{3\sqrt{2}}{4}", r"\frac{3}{2\sqrt{2}}", True),
        (r"\frac{3\sqrt{2}}{4}", "4", False),
        (r"Answer: \sqrt{51}", r"\sqrt{51}", True),
        (r"Answer: \sqrt{51}", "51", False),
        (r"The answer is \frac{7}{4}.", "1.75", True),
        (r"\left(3, \frac{\pi}{2}\right)", r"(3,\frac{\pi}{2})", True),
        (r"3 \pm 2\sqrt{2}", r"3 \pm 2\sqrt{2}", True),
        (r"\dfrac{1}{2}", r"\tfrac12", True),
        ("x^2 + 1", "x^2+1", True),
        ("a^2+b^2", "a^2-b^2", False),
        ("x^12", "x^{12}", True),
        ("2^-3", r"\frac{1}{8}", True),
        ("2**10", "1024", True),
        ("2**3", "23", False),
        ("2**3**2", "512", True),
        (r"1\frac{1}{2}", "1.5", True),
        ("1 1/2", "11/2", False),
        (r"0.1\overline{6}", r"\frac{1}{6}", True),
        ("204_5", "204_{5}", True),
        ("204_5", "204_6", False),
    ],
    "small and large numbers": [
        (r"The probability is $\frac{1}{2006!}$.", r"\frac{1}{2004!}", False),
        (r"\boxed{\frac{1}{2006 \cdot 2005 \cdot 2004!}}", r"\frac{1}{2006!}", True),
        (r"\boxed{2^{-100}}", "2^{-101}", False),
        (r"\boxed{e^{-1000}}", "e^{-1001}", False),
        (r"\boxed{\frac{x}{2006!}}", r"\frac{x}{2004!}", False),
        (r"\boxed{\{10^{-50}, 1\}}", r"\{10^{-60}, 1\}", False),
        (r"\boxed{\begin{pmatrix} 10^{-50} \\ 1 \end{pmatrix}}", r"\begin{pmatrix} 10^{-60} \\ 1 \end{pmatrix}", False),
        (r"\boxed{1.6 \times 10^{-19}}", r"9.1 \times 10^{-31}", False),
        (r"\boxed{1.6 \times 10^{-19}}", "1.6e-19", True),
        ("0.0000001", "0.0000002", False),
        ("0.0000001", "10^{-7}", True),
        ("0.333333", r"\frac{1}{3}", True),
        ("0.33", r"\frac{1}{3}", False),
        ("0.0333333", r"\frac{1}{30}", True),
        (r"\boxed{10^{100}}", "10^{100}+1", False),
        (r"\boxed{6.02 \times 10^{23}}", r"6.03 \times 10^{23}", False),
        (r"\boxed{\frac{1}{9^{9^{9}}}}", r"\frac{1}{9^{9^{8}}}", NO_TELLING),
    ],
    "boxes": [
        (r"First \boxed{3}. I forgot one, so it is \boxed{4}.", "4", True),
        (r"First \boxed{3}. I forgot one, so it is \boxed{4}.", "3", False),
        (r"First \boxed{3}. I forgot one, so it is \boxed{4}.", "3, 4", False),
        (r"$\boxed{2}$ is wrong, so it is $\boxed{\frac{1}{2}}$", "0.5", True),
        (r"The roots are $\boxed{1}$, $\boxed{2}$ and $\boxed{3}$.", r"\{1, 2, 3\}", True),
        (r"The roots are \boxed{1} and \boxed{2}.", "2", False),
        (r"\boxed{1, 2}", "2, 1", True),
        (r"\boxed{\frac{\sqrt{\frac{1}{2}}}{3}}", r"\frac{\sqrt{2}}{6}", True),
        (r"\boxed{12} and the check gives 13 = 13.", "13", False),
        (r"\fbox{7}", "7", True),
        (r"\boxed 7", "7", True),
        (r"<think>\boxed{3}?</think> So \boxed{4}.", "4", True),
        (r"<think>\boxed{3}", "3", NO_TELLING),
    ],
    "choice letters": [
        ("The answer is (B).", "B", True),
        ("The answer is (B). Note that C is a common distractor.", "B", True),
        ("The answer is (B). Note that C is a common distractor.", "C", False),
        ("The answer is B, not C.", "C", False),
        ("The answer is not C but B.", "B", True),
        ("The answer is not C but B.", "C", False),
        ("The answer is A. Wait, that is wrong. The answer is D.", "D", True),
        ("The answer is A. Wait, that is wrong. The answer is D.", "A", False),
        ("The correct option is D because A, B and C are wrong.", "D", True),
        ("The answer is (B) or (C).", "B", False),
        ("**Answer: B**", "(B)", True),
        ("Therefore, the answer is\n\n(C)", "C", True),
        ("I choose option C.", "C", True),
        ("**B**", "B", True),
        ("B) 42", "B", True),
        (r"\boxed{\textbf{(B)}\ 12}", "B", True),
        (r"\boxed{\textbf{(B)}\ 12}", "12", True),
        (r"\boxed{\textbf{(B)}\ 12}", "13", False),
        ("42", "(B) 42", True),
        ("C", "(B) 42", False),
        ('{"answer": "B"}', "B", True),
        ("<answer>B</answer>, as C fails", "B", True),
        ("<answer>B</answer>, as C fails", "C", False),
        ("The answer is a cat.", "A", NO_TELLING),
        ("A cat is an animal.", "A", NO_TELLING),
        ("The answer is neither A nor B.", "A", NO_TELLING),
        ("The answer is A because cats purr.", "A", True),
        ("The answer is (b).", "(b)", True),
        ("The answer is (B) London.", "(B) Paris", False),
        ("(B) 43", "(B) 42", False),
        ("C. briggsae", "C. elegans", False),
        (r"\boxed{A = 5}", "A", NO_TELLING),
        (r"\boxed{B = 5}", "5", True),
        ("The answer is $C + 1$", "C", NO_TELLING),
    ],
    "units, money and percent": [
        ("5 cm", "5", True),
        ("5", r"5\text{ cm}", True),
        ("5 centimeters", r"5\text{ cm}", True),
        ("5 cm", r"5\text{ m}", NO_TELLING),
        ("500 cm", "5 m", NO_TELLING),
        ("5 cm^2", "5 cm^3", NO_TELLING),
        ("5 m/s", "5 km/h", NO_TELLING),
        ("6 cm", "5 cm", False),
        ("The answer is 3 apples.", "3", True),
        ("The answer is 42 km/h", "42", True),
        (r"90^\circ", "90 degrees", True),
        ("18 dollars", r"\$18", True),
        ("$18", "18 cents", NO_TELLING),
        ("5m", "5", NO_TELLING),
        ("5n", "5m", False),
        ("1,250", "1250", True),
        ("50%", r"\frac{1}{2}", True),
        ("50%", "60%", False),
    ],
    "sets, intervals, matrices and infinities": [
        (r"\{1, 2\}", r"\{2, 1\}", True),
        ("1, 2", "1, 3", False),
        ("1 and 2", "2, 1", True),
        ("The answers are 1 and 2.", "2", False),
        ("x=1 or x=2", "1, 2", True),
        (r"\boxed{(1,2)}", "(2,1)", False),
        (r"(-\infty, 2]", r"(-\infty, 2]", True),
        (r"(-\infty, 2)", r"(-\infty, 2]", False),
        (r"x \in [0, 1]", "[0,1]", True),
        (r"[5,\infty) \cup (-\infty, 2]", r"(-\infty,2] \cup [5,\infty)", True),
        (r"\begin{bmatrix} 1 & 2 \end{bmatrix}", r"\begin{pmatrix} 1 & 2 \end{pmatrix}", True),
        (r"\begin{bmatrix} 1 & 2 \end{bmatrix}", r"\begin{pmatrix} 1 & 3 \end{pmatrix}", False),
        (r"\infty", r"\infty", True),
        (r"-\infty", r"\infty", False),
        (r"\boxed{3 < x}", "x > 3", True),
        (r"\boxed{x \ge 3}", "x > 3", False),
    ],
    "words, times and dates": [
        ("The answer is Evelyn.", r"\text{Evelyn}", True),
        ("The answer is Carla.", r"\text{Evelyn}", False),
        ("paris", "Paris", True),
        (r"\boxed{\text{No}}", "Yes", False),
        ("no solution", r"\text{no solution}", True),
        ("12:30", "12:30", True),
        ("12:30", "12:45", False),
        ("2:4", "1:2", True),
        ("2020-01-03", "2020-02-02", False),
        ("The answer is not 5.", "5", NO_TELLING),
        ("Answer: between 5 and 6", "6", NO_TELLING),
        ("So it is 5", "5", True),
        ("AB", "ab", False),
        ("I do not know.", "42", NO_TELLING),
    ],
}
CASES = [pytest.param(*case, id=f"{kind}: {case[0]} | {case[1]}") for kind, cases in KINDS.items() for case in cases]


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(workers=1, deadline=60) as verifier:
        yield verifier


@pytest.mark.parametrize(("answer", "reference", "equal"), CASES)
def test_answers_are_equal_where_they_mean_the_same(
    verifier: Verifier, answer: str, reference: str, equal: bool | None
) -> None:
    checked = verifier.check(answer, reference)
    assert checked.equal is equal, checked


def test_every_reference_answer_equals_itself_bare_stated_and_in_a_box(verifier: Verifier) -> None:
    folder = os.environ.get("FATHOM_DATA")
    if folder is None:
        pytest.skip("FATHOM_DATA names no folder with evaluation data")
    with gzip.open(Path(folder) / "math_answers" / "math500_agieval_problems.jsonl.gz", "rt") as lines:
        references = [json.loads(line)["answer"] for line in lines]
    assert len(references) > 500
    for reference in references:
        for answer in (reference, f"The answer is {reference}.", rf"Thus \boxed{{{reference}}}."):
            assert verifier.check(answer, reference).equal is True, answer


@pytest.mark.parametrize(
    ("text", "boxed"),
    [
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}} or so", r"\{1, 2\}"),
        (r"\boxed{a \} b}", r"a \} b"),
        (r"\boxed{1} and \boxed{2}", "1, 2"),
        (r"\boxed{1}, then \boxed{2}", "2"),
        (r"\boxed{1} \boxed{never closed", "1"),
        ("none", ""),
    ],
)
def test_boxes_are_read_to_their_own_brace(text: str, boxed: str) -> None:
    assert last_boxes(text) == boxed


@pytest.mark.parametrize(
    ("text", "answer", "where"),
    [
        (r"The answer is 3. \boxed{4}", "4", "box"),
        ("The final answer is: 42\nand so on", "42", "statement"),
        ("The answer is 0.5. Done.", "0.5", "statement"),
        ("The answer to the first question is 7.", "7", "statement"),
        ("**Answer:** 12", "12", "statement"),
        ("The answer is\n$$\\frac{1}{2}$$\nas said.", r"$$\frac{1}{2}$$", "statement"),
        ("<answer>12</answer> because 13 fails", "12", "whole"),
        (r"\sqrt{2}", r"\sqrt{2}", "whole"),
        ("a < b and c > d", "a < b and c > d", "whole"),
        ("48/2 = 24 and 24 + 48 makes 72", "48/2 = 24 and 24 + 48 makes 72", "nowhere"),
    ],
)
def test_the_answer_is_found_where_it_is_stated(text: str, answer: str, where: str) -> None:
    assert final_answer(text) == (answer, where)


def test_letters_are_chosen_and_not_only_mentioned() -> None:
    assert choice("Options A, B and C are wrong.") == frozenset()
    assert choice("The answers are A and C.") == {"A", "C"}
    assert choice("I think that the answer is (d), not (e).") == {"D"}
