"""inspect_ai judges pairs: `eval` of a task whose answers are given, scored by `model_graded_qa`. Writes its log."""

import json
import os
import resource
import sys
import tempfile
import time

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, ModelOutput, get_model
from inspect_ai.scorer import model_graded_qa
from inspect_ai.solver import solver

TEMPLATE = """Compare two responses to an instruction.

Instruction:
{question}

Response A:
{answer}

Response B:
{other}

{instructions}"""
INSTRUCTIONS = """Say which response is better. List every principle by which a careful reader could tell the two apart.
Close with the line

Final verdict: [[A]]

or

Final verdict: [[B]]"""


@solver
def given():
    """The first response, as if a model had just written it."""

    async def solve(state, generate):
        state.output = ModelOutput.from_content("given", state.metadata["answer_given"])
        return state

    return solve


def main() -> None:
    settings = json.load(sys.stdin)
    os.environ |= {"FAKE_API_KEY": "none", "FAKE_BASE_URL": settings["url"], "INSPECT_DISPLAY": "none"}
    concurrency = settings["concurrency"]
    samples = [
        Sample(id=number, input=prompt, target="A", metadata={"answer_given": a, "other": b})
        for number, (prompt, a, b) in enumerate(settings["pairs"], 1)
    ]
    config = GenerateConfig(max_connections=concurrency, temperature=0.0, max_tokens=1024)
    grader = get_model("openai-api/fake/m", config=config)
    # The pattern is that of the prompt above: its default one takes time quadratic in the length of such a text.
    scorer = model_graded_qa(
        template=TEMPLATE, instructions=INSTRUCTIONS, grade_pattern=r"Final verdict: \[\[([AB])\]\]", model=grader
    )
    task = Task(dataset=samples, solver=given(), scorer=scorer)
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        [log] = eval(task, model="mockllm/model", max_samples=4 * concurrency, log_dir=folder, display="none")
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        judged = sum(
            score.value in ("A", "B") for sample in log.samples or [] for score in (sample.scores or {}).values()
        )
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"judged": judged, "seconds": wall, "cpu_seconds": cpu, "rss_mb": rss}))


main()
