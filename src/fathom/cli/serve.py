"""`fathom serve`: rewards, verdicts and rankings over HTTP."""

from __future__ import annotations

from fathom.cli._options import with_settings
from fathom.settings import JudgingSettings, RewardSettings, ServeSettings


@with_settings
def command(settings: JudgingSettings, rewards: RewardSettings, serving: ServeSettings) -> None:
    """Serve rewards, verdicts and rankings over HTTP, in the protocols of several trainers.

        fathom serve --model mini --style depth
        fathom serve --model Qwen/Qwen3-32B --base-url http://localhost:8000/v1 --judge spct --votes 4 --temperature 1

    Open the printed address in a browser to try the server. For access from other machines, set --host and
    --token-file. The reward of a response that could not be scored is null; protocols without null follow --unscored.
    After SIGTERM or Ctrl-C, the server finishes the requests in progress.
    """
    import typer

    from fathom.errors import require

    for library in ("fastapi", "uvicorn", "prometheus_client"):
        require(library, "serve")
    from fathom.serve.running import serve

    serve(settings, rewards, serving, started=lambda address: typer.echo(f"serving on {address}"))
