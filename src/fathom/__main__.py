"""What the `fathom` script and `python -m fathom` run, also from `accelerate launch -m fathom train sft recipe.yaml`.

Nothing is imported here that takes time, so that Ctrl-C is heard while the command line is still being loaded.
"""

import _signal  # type: ignore[import-not-found]  # what `signal` is made of, without the modules that it imports
import os


def main() -> None:
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _leave)
    from fathom.cli import main as run

    run()


def _leave(*_: object) -> None:
    """Nothing was begun yet, or all is done; and an exception amid an import would show where it was."""
    os.write(2, b"fathom: stopped\n")
    os._exit(130)


if __name__ == "__main__":
    main()
