"""Judges with a model on a server, both orders of every pair, from code that is not asynchronous.

    python examples/server.py URL MODEL [FILE]         # http://localhost:8000/v1 Qwen/Qwen3-8B

Verdicts come as they are ready. Works with any server that speaks OpenAI's dialect; a key is read from the environment
variable that `api_key_env` names.
"""

import sys
from pathlib import Path

import fathom

FILE = Path(__file__).parent / "pairs.jsonl"


def main(url: str, model: str, file: Path = FILE) -> None:
    engine = fathom.OpenAIEngine(model, base_url=url, concurrency=64, retries=4)
    judge = fathom.MixJudge(engine=engine, sampling=fathom.Sampling(max_tokens=1024))
    usage = fathom.Usage()
    for comparison, verdict in fathom.Swapped(judge).run(fathom.read(file), order="completion"):
        # A call that failed or a text that cannot be read has a status that says so, and never a winner.
        print(comparison.id, verdict.status, "winner:", verdict.winner, "flip rate:", verdict.flip_rate)
        usage += verdict.usage
    print(f"{usage.prompt_tokens} tokens read, {usage.completion_tokens} written")


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(Path, sys.argv[3:]))
