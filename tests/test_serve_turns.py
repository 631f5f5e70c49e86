"""The order in which requests that arrive together begin."""

from __future__ import annotations

import asyncio

from fathom.serve.turns import Turns


def begin(count: int, *, cancelled: frozenset[int] = frozenset(), late: int = 0) -> list[str]:
    """What happens when `count` requests arrive together, some of them are then cancelled, and `late` more arrive."""
    turns, log = Turns(), []

    async def request(number: int) -> None:
        await turns()
        log.append(f"begins {number}")
        for _ in range(2):  # the passes of the call's task and of its connection's
            await asyncio.sleep(0)
        log.append(f"sends {number}")

    async def main() -> None:
        requests = [asyncio.create_task(request(number)) for number in range(count)]
        await asyncio.sleep(0)
        for number in cancelled:
            requests[number].cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        await asyncio.gather(*(request(number) for number in range(count, count + late)))

    asyncio.run(asyncio.wait_for(main(), 30))
    return log


def in_turn(*numbers: int) -> list[str]:
    return [f"{does} {number}" for number in numbers for does in ("begins", "sends")]


def test_a_request_is_sent_before_the_next_one_begins() -> None:
    assert begin(4) == in_turn(0, 1, 2, 3)


def test_a_cancelled_request_takes_no_turn_from_the_others() -> None:
    assert begin(5, cancelled=frozenset({1, 2, 4})) == in_turn(0, 3)


def test_later_requests_have_turns_again() -> None:
    assert begin(2, late=2) == in_turn(0, 1, 2, 3)
    assert begin(2, cancelled=frozenset({0, 1}), late=1)[-2:] == in_turn(2)
