"""Tests published claims in the small world. One file per paper, found by name: `fathom reproduce NAME`.

A reproduction is a module with `reproduce(out, seeds)`, which runs the experiment, resumes what an interrupted run
left, writes `results.json`, figures and a page into `out`, and yields its progress as lines. Claims are computed from
intervals and may come out false; the page then says so.
"""

from fathom.plugins import Kind

REPRODUCTIONS = Kind("reproduction", package=__name__, group="fathom.reproductions")
