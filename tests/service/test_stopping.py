"""What becomes of a canceled call."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from service.stopping import AnswerCutCalls, CallsUnderWay

pytestmark = pytest.mark.anyio

SCOPE = {"type": "http", "method": "GET", "path": "/film"}
START = {"type": "http.response.start", "status": 200, "headers": []}


async def canceled(calls: CallsUnderWay, *, begun: bool) -> tuple["asyncio.Task[None]", list[MutableMapping[str, Any]]]:
    """A call that was canceled before or after its answer had begun, and what was sent."""
    sent = []
    waits = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send(START)
        waits.set()
        await asyncio.Event().wait()

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nothing is to come")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    task = asyncio.create_task(AnswerCutCalls(app, calls=calls)(dict(SCOPE), receive, send))
    await waits.wait()
    task.cancel()
    await asyncio.wait([task])
    return task, sent


async def test_a_call_that_the_servers_end_cuts_is_answered() -> None:
    calls = CallsUnderWay()
    calls.stop()
    task, sent = await canceled(calls, begun=False)
    assert not task.cancelled()
    assert sent[0]["status"] == 503


async def test_an_answer_that_has_begun_breaks_off_without_an_error() -> None:
    calls = CallsUnderWay()
    calls.stop()
    task, sent = await canceled(calls, begun=True)
    assert not task.cancelled()
    assert sent == [START]


async def test_what_cancels_a_call_otherwise_is_let_through() -> None:
    task, sent = await canceled(CallsUnderWay(), begun=False)
    assert task.cancelled()
    assert sent == []


async def test_the_end_waits_for_calls_but_not_for_ever() -> None:
    calls = CallsUnderWay()
    with calls.one():
        waiting = asyncio.create_task(calls.ended(seconds=60))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await calls.ended(seconds=0.1)
    await asyncio.wait_for(waiting, 5)
