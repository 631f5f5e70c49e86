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
from reward_server import reward_server

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


def test_the_page_of_the_server_sends_its_examples() -> None:
    pytest.importorskip("playwright.async_api", reason='needs pip install "fathom-rm[dev]"')
    from playwright.async_api import async_playwright, expect

    if CHROMIUM is None:
        pytest.skip("needs chromium on the PATH")

    async def main() -> None:
        complaints: list[str] = []
        hosts: set[str] = set()
        async with (
            reward_server(ScriptedEngine("Final verdict: [[A]]")) as server,
            async_playwright() as started,
        ):
            browser = await started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
            await page.goto(server.url)
            await expect(page.locator("#reward")).to_contain_text(server.service.identity.id, timeout=30_000)
            box = page.locator("details", has_text="POST /v1/judgments")
            await box.locator("summary").click()
            await box.get_by_role("button").click()
            await expect(box.locator("pre")).to_contain_text('"status": "ok"', timeout=30_000)
            await browser.close()
            assert complaints == []
            assert hosts == {server.url.split("/")[2]}, "nothing is loaded from elsewhere"

    asyncio.run(main())
