"""OpenJudge judges pairs: `GradingRunner.arun` with an `LLMGrader` that ranks two answers. It writes nothing."""

import asyncio
import json
import resource
import sys
import time

from openjudge.graders.base_grader import GraderMode, GraderRank
from openjudge.graders.llm_grader import LLMGrader
from openjudge.models.openai_chat_model import OpenAIChatModel
from openjudge.runner.grading_runner import GradingRunner

TEMPLATE = """Compare two responses to an instruction.

Instruction:
{query}

Response 1:
{first}

Response 2:
{second}

Say which response is better. List every principle by which a careful reader could tell the two apart.
Answer with JSON: {{"reason": "<principles and judgments>", "rank": [<1 or 2, the better one first>, <the other>]}}"""


def main() -> None:
    settings = json.load(sys.stdin)
    model = OpenAIChatModel(model="m", api_key="none", base_url=settings["url"], temperature=0.0, max_tokens=1024)
    grader = LLMGrader(model=model, name="pair", mode=GraderMode.LISTWISE, template=TEMPLATE)
    runner = GradingRunner({"pair": grader}, max_concurrency=settings["concurrency"], show_progress=False)
    dataset = [{"query": prompt, "first": a, "second": b} for prompt, a, b in settings["pairs"]]
    cpu, wall = time.process_time(), time.perf_counter()
    results = asyncio.run(runner.arun(dataset))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    judged = sum(isinstance(result, GraderRank) and sorted(result.rank) == [1, 2] for result in results["pair"])
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"judged": judged, "seconds": wall, "cpu_seconds": cpu, "rss_mb": rss}))


main()
