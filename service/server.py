"""The web server around the app."""

import socket

import uvicorn
from fastapi import FastAPI

GRACE_SECONDS = 10
"""How long calls under way may take once the server is told to stop. With what follows (`service.app`) it fits the 30
seconds that containers get."""


def run_server(app: FastAPI, listening: socket.socket, *, grace_seconds: int = GRACE_SECONDS) -> None:
    """Serve until a signal says stop."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=grace_seconds, server_header=False
    )
    _Server(config).run(sockets=[listening])


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams of events end by themselves then, instead of being waited for; their clients come back.
        assert isinstance(self.config.app, FastAPI)
        services = self.config.app.state.services
        services.calls.stop()
        services.events.close()
        await super().shutdown(sockets)
