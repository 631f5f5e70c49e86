"""Judges with a model on a server, both orders of every pair, from code that is not asynchronous.

    python examples/server.py URL MODEL [JOURNAL]      # http://localhost:8000/v1 Qwen/Qwen3-8B

Verdicts come as they are ready, and a second run finds all of them in the journal. Works with any server that speaks
OpenAI's dialect; a key is read from the environment variable that `api_key_env` names.
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
            # A call that failed or a text that cannot be read has a status that says so, and never a winner.
            print(comparison.id, verdict.status, "winner:", verdict.winner, "flip rate:", verdict.flip_rate)
            usage += verdict.usage
        print(f"{usage.prompt_tokens} tokens read, {usage.completion_tokens} written, {engine.misses} calls")


if __name__ == "__main__":
    main(*sys.argv[1:])
