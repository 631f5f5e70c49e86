"""A small world in which the claims about breadth and depth can come out true or false, on a laptop, in minutes.

    >>> from fathom.lab import world
    >>> world.items(2, seed=0)[0].comparison.prompt  # doctest: +SKIP
    'compute 7 * 8 - 9'

`world` is the world and what can be known in it, `teacher` an engine that writes rationales about it, `base` a small
transformer pre-trained on those rationales (see `pretrain`), `arms` the comparison that the paper makes, `demo` one arm
of it with a report. `rm_r1` has chains that type the task, in the same world. Other worlds are `criteria` (experiments
in `spct`) and `sums` (in `verifiers`).
"""

NEEDS = (("trl", "train"), ("matplotlib", "report"), ("markdown_it", "report"))
"""Optional libraries, with the extras that bring them, that experiments in the small worlds use sooner or later."""
