"""Judges every pair in both orders with a model on a server, from synchronous code.

    python examples/server.py URL MODEL [JOURNAL]      # http://localhost:8000/v1 Qwen/Qwen3-8B

Verdicts are printed as soon as they are ready. A second run reads all completions from the journal. This works with any
server with an OpenAI-compatible API; the key is read from the environment variable that `api_key_env` names.
"""

import sys
from pathlib import Path

import fathom

FILE = Path(__file__).parent / "pairs.jsonl"


def main(url: str, model: str, journal: str = "runs/server.journal") -> None:
    server = fathom.OpenAIEngine(model, base_url=url, concurrency=64, retries=4)
    usage = fathom.Usage()
    with fathom.CachedEngine(server, journal) as engine:
        judge = fathom.MixJudge(engine=engine, sampling=fathom.Sampling(max_tokens=1024))
        for comparison, verdict in fathom.Swapped(judge).run(fathom.read(FILE), order="completion"):
            # `status` reports failed calls and unparsed texts; such verdicts have no winner.
            print(comparison.id, verdict.status, "winner:", verdict.winner, "flip rate:", verdict.flip_rate)
            usage += verdict.usage
        print(
            f"{usage.prompt_tokens} prompt tokens, {usage.completion_tokens} completion tokens, {engine.misses} calls"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
