"""Entry point of `fathom` and `python -m fathom`, and of `accelerate launch -m fathom train sft recipe.yaml`.

Slow imports happen inside `main`, so that Ctrl-C is handled while the command line is being loaded.
"""

import _signal  # type: ignore[import-not-found]  # the base of `signal`, without the imports of `signal`
import os


def main() -> None:
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _leave)
    from fathom.cli import main as run

    run()


def _leave(*_: object) -> None:
    """Exit at once on Ctrl-C during the imports or after the verb has ended, instead of printing a traceback."""
    os.write(2, b"fathom: stopped\n")
    os._exit(130)


if __name__ == "__main__":
    main()
