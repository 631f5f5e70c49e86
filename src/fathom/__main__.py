"""`python -m fathom`, for launchers that start modules: `accelerate launch -m fathom train sft recipe.yaml`."""

from fathom.cli import main

main()
