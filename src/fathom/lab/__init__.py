"""Small synthetic worlds in which published claims can be tested on a laptop, in minutes.

    >>> from fathom.lab import world
    >>> world.items(2, seed=0)[0].comparison.prompt  # doctest: +SKIP
    'compute 37 + 18 - 21'

`world` defines the world and its accuracy ceilings, `teacher` is an engine that writes rationales about it, `base` a
small transformer pre-trained on such rationales (see `pretrain`), `arms` the paper's comparison of arms, and `demo` one
arm with a report. `rm_r1` has chains that first classify the task, in the same world. Other worlds are `criteria` (used
by `spct`), `sums` (used by `verifiers`) and `english` (used by `routing`, with a real language model).
"""

NEEDS = (("trl", "train"), ("matplotlib", "report"), ("markdown_it", "report"))
"""Optional libraries that the experiments need, with the extras that install them."""
