"""Pages hold everything they show, and nothing they show can act."""

from __future__ import annotations

from pathlib import Path

from fathom.lab.demo import SETTINGS
from fathom.report.page import html, markdown
from fathom.synth.result import Accuracy


def test_images_are_inside_the_page(tmp_path: Path) -> None:
    (tmp_path / "figure.png").write_bytes(b"\x89PNG...")
    page = html("# Title\n\n![a figure](figure.png)\n", tmp_path)
    assert "<title>Title</title>" in page
    assert 'src="data:image/png;base64,' in page
    assert "figure.png" not in page


def test_markup_in_what_is_shown_stays_text(tmp_path: Path) -> None:
    page = html("# T\n\n```\n<script>alert(1)</script>\n```\n\n<script>alert(2)</script>\n", tmp_path)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_tables_are_tables(tmp_path: Path) -> None:
    assert "<td>1</td>" in html("| a |\n|---|\n| 1 |\n", tmp_path)


def test_the_demo_tells_accuracies_as_numbers_with_their_intervals() -> None:
    # wilson(3, 4) is 0.750 [0.301, 0.954]
    rows = [Accuracy("sampled", None, correct=3, parsed=4, labelled=5), Accuracy("depth", None, 0, 0, 5)]
    values = {"rows": {"sft": {}, "rlvr": {}}, "examples": [], "settings": SETTINGS}
    page = markdown("fathom.lab", "demo.md.jinja", accuracy=[row.summary() for row in rows], **values)
    assert "| sampled | all | 0.750 [0.301, 0.954] | 4 of 5 |" in page
    assert "| depth | all |  | 0 of 5 |" in page
