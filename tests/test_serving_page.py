"""docs/serving.md shows what the server answers, and the server's own page works in a browser."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason='needs pip install "fathom-rm[serve]"')

from fathom import JudgeSettings, JudgingSettings, RewardSettings, ScriptedEngine, ServeSettings
from fathom.cli._options import fields_of
from fathom.serve.service import Service, open_session
from fathom.settings import EngineSettings, flag_of
from reward_server import bodies, reward_server

PAGE = Path(__file__).parent.parent / "docs" / "serving.md"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def test_the_first_request_of_the_page_gets_the_answer_shown() -> None:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    from fathom.serve.messages import RewardAnswer, RewardsBody

    page = PAGE.read_text(encoding="utf-8")
    match = re.search(r"curl \S+/v1/rewards .* -d '(.*?)'\n", page, re.DOTALL)
    shown = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    assert match
    assert shown
    assert "fathom serve --model mini --style depth\n" in page
    settings = JudgingSettings(engine=EngineSettings(model="mini"), judge=JudgeSettings(style="depth"))
    body = RewardsBody.model_validate_json(match[1])

    async def main() -> list[dict[str, object]]:
        service = Service(open_session(settings), RewardSettings(), ServeSettings())
        made = await service.reward([each.sample() for each in body.samples], 60)
        await service.close()
        answers = [RewardAnswer.of(each.id, one) for each, one in zip(body.samples, made, strict=True)]
        return [json.loads(answer.model_dump_json()) for answer in answers]

    assert asyncio.run(main()) == json.loads(shown[1])


def test_every_option_of_the_server_is_explained() -> None:
    page = PAGE.read_text(encoding="utf-8")
    fields = [*fields_of(ServeSettings), *fields_of(RewardSettings)]
    assert fields
    for kind, name, _ in fields:
        assert f"--{flag_of(kind, name).replace('_', '-')}" in page


def test_every_path_that_takes_a_body_has_an_example_that_a_judge_of_single_responses_can_judge() -> None:
    async def main() -> None:
        async with reward_server(ScriptedEngine("[RESULT] 4"), "prometheus") as server:
            description = json.loads((await server.get("/openapi.json"))[1])
            described = {path: methods["post"] for path, methods in description["paths"].items() if "post" in methods}
            assert set(bodies("p", "r")) < set(described)
            for path, operation in described.items():
                name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
                examples = description["components"]["schemas"][name]["examples"]
                for example in examples:
                    status, answer, _ = await server.post(path, example)
                    assert status == 200, (path, answer)

    asyncio.run(main())


def test_the_page_of_the_server_sends_all_of_its_examples() -> None:
    pytest.importorskip("playwright.async_api", reason='needs pip install "fathom-rm[dev]"')
    from playwright.async_api import async_playwright, expect

    if CHROMIUM is None:
        pytest.skip("needs chromium on the PATH")

    async def main() -> None:
        complaints: list[str] = []
        hosts: set[str] = set()
        async with (
            reward_server(ScriptedEngine("[RESULT] 4"), "prometheus") as server,
            async_playwright() as started,
        ):
            browser = await started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
            await page.goto(server.url)
            await expect(page.locator("#reward")).to_contain_text(server.service.identity.id, timeout=30_000)
            await page.locator("details").first.wait_for()  # the page shows its examples after the reward
            boxes = await page.locator("details").all()
            assert len(boxes) > len(bodies("p", "r"))
            for box in boxes:
                await box.locator("summary").click()
                await box.get_by_role("button").click()
                await expect(box.locator("pre")).to_contain_text(re.compile(r"^200\n"), timeout=30_000)
            box = page.locator("details", has_text="POST /v1/judgments")
            await expect(box.locator("pre")).to_contain_text('"status": "ok"')
            await browser.close()
            assert complaints == []
            assert hosts == {server.url.split("/")[2]}, "nothing is loaded from elsewhere"

    asyncio.run(main())
