"""What experiments share: register, results, how claims are decided, how seeds run, and how pages are made.

    register = read(Path("spct.yaml"))                 # `register`: what is fixed before the first reported seed
    results = load(Path("spct.json"))                  # `results`: one row per seed
    decide(register.claims[0], results.rows)           # `claims`: whether a claim holds
    for line in reproduce(SPCT, out, seeds=[10]): ...  # `running`: runs seeds, and keeps each as it finishes
    page(SPCT, results)                                # `pages`: Markdown, a pure function of register and results

An experiment is a value of `Experiment`; those of this package are in `fathom.lab.reproductions`.
"""
