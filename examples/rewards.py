"""Rewards of a policy's responses, as a trainer gets them: in this process, or from a server.

python examples/rewards.py                          # in this process, with the small model that ships with Fathom
python examples/rewards.py http://127.0.0.1:8090    # from a server: fathom serve --model mini --style depth
"""

import sys

import fathom

PROMPT = "evaluate 41 + 30 - 28"
RESPONSES = (
    "clarity 1 brevity 1 warmth 5 accuracy 1 originality 1 courtesy 2 detail 3 answer 40",
    "clarity 5 brevity 4 warmth 4 accuracy 2 originality 5 courtesy 3 detail 2 answer 43",
)


def main(*url: str) -> None:
    settings = fathom.JudgingSettings(
        engine=fathom.EngineSettings(model="mini"), judge=fathom.JudgeSettings(style="depth")
    )
    with fathom.RewardClient(*url) if url else fathom.LocalRewardClient(settings) as client:
        print("the reward:", client.identity().judge)
        # The judge compares pairs, so a response without another one to the same prompt has no reward.
        alone = {"prompt": "evaluate 2 + 2", "response": RESPONSES[0]}
        for answer in client.rewards([*({"prompt": PROMPT, "response": each} for each in RESPONSES), alone]):
            print(answer.status, answer.reward)


if __name__ == "__main__":
    main(*sys.argv[1:])
