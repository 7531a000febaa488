"""Both clients behind one face, and a server for them."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_server import FakeServer
from retint import AsyncClient, Client


class Awaited:
    """An `AsyncClient` that looks like a `Client`: every call is awaited, every async iterator collected."""

    def __init__(self, client: AsyncClient, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            result = method(*arguments, **options)
            if inspect.isasyncgen(result):
                return iter(self._runner.run(_collected(result)))
            return self._runner.run(result)

        return call


async def _collected(generator: Any) -> list[Any]:
    return [item async for item in generator]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.close()


@pytest.fixture(params=["blocking", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes a client of either kind; it is closed at the end."""
    with asyncio.Runner() as runner:
        opened: list[Any] = []

        def open_client(url: str, **settings: Any) -> Any:
            blocking = request.param == "blocking"
            client: Any = Client(url, **settings) if blocking else Awaited(AsyncClient(url, **settings), runner)
            opened.append(client)
            return client

        yield open_client
        for client in opened:
            client.close()


@pytest.fixture
def client(connect: Callable[..., Any], server: FakeServer) -> Any:
    return connect(server.url, api_key="secret")
