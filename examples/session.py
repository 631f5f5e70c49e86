"""What `fathom judge` does, from Python: a judge, its engine, its journal and its bounds, opened from typed settings.

    python examples/session.py [JOURNAL]

The settings are those of the command line, by the same names. For a server, `EngineSettings(model="judge-7b",
base_url="http://localhost:8000/v1")`. A second run with the same journal asks the model nothing.
"""

import sys
from pathlib import Path

import fathom

FILE = Path(__file__).parent / "pairs.jsonl"


def main(journal: str = "runs/session.journal") -> None:
    settings = fathom.JudgingSettings(
        engine=fathom.EngineSettings(model="mini"),
        judge=fathom.JudgeSettings(style="depth"),
        sampling=fathom.SamplingSettings(temperature=0.5, max_tokens=100),
        voting=fathom.VotingSettings(votes=2),
        bounds=fathom.BoundSettings(max_total_tokens=100_000),
    )
    with fathom.Session(settings, journal=journal) as session:
        for comparison, verdict in session.judge(fathom.read(FILE)):
            print(comparison.id, verdict.status, "winner:", verdict.winner, "votes:", len(verdict.votes))
        print(f"{session.metered.completed} completions were asked for, {session.metered.usage.tokens} tokens spent")


if __name__ == "__main__":
    main(*sys.argv[1:])
