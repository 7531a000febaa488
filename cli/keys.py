"""`retint keys`: who may use the service."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import say, tell, write_json, write_table

if TYPE_CHECKING:
    from jobs.keys import ApiKey, KeyRing

app = typer.Typer(
    help="Make, list and revoke the keys that calls carry, beside a service that runs or before it does.",
    no_args_is_help=True,
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def create(name: Annotated[str, typer.Argument(help="Whose key it is, or what for.")], as_json: AsJson = False) -> None:
    """Make a key and print it; it is shown this once, since only its hash is kept."""
    with _key_ring(create=True) as keys:
        key, token = keys.create(name)
    if as_json:
        write_json({**_as_json(key), "key": token})
    else:
        tell(f"The key of {key.name}, which is not shown again; send it as `Authorization: Bearer KEY`:")
        say(token)


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """The keys that there are, without what they are."""
    with _key_ring() as keys:
        found = keys.list()
    if as_json:
        write_json([_as_json(key) for key in found])
    elif found:
        rows = [(key.id, key.name, _as_text(key.created_at), _as_text(key.last_used_at)) for key in found]
        write_table(rows, header=("ID", "NAME", "CREATED", "LAST USED"))
    else:
        tell("There are no keys. Make one with `retint keys create NAME`.")


@app.command()
def revoke(name: Annotated[str, typer.Argument(help="Name or id of a key.")], as_json: AsJson = False) -> None:
    """Take a key back at once; what was submitted with it goes when it expires."""
    with _key_ring() as keys:
        key = keys.revoke(name)
    if as_json:
        write_json(_as_json(key))
    else:
        say(f"Revoked the key of {key.name}.")


@contextmanager
def _key_ring(*, create: bool = False) -> Iterator["KeyRing"]:
    from cli.redis_access import reachable_redis
    from jobs.connection import connect
    from jobs.keys import KeyRing
    from jobs.settings import Settings

    settings = Settings()
    with reachable_redis(settings, join=True, create=create) as url:
        yield KeyRing(connect(url), settings.queue_name)


def _as_json(key: "ApiKey") -> dict[str, Any]:
    used = key.last_used_at
    return {
        "id": key.id,
        "name": key.name,
        "created_at": key.created_at.isoformat(),
        "last_used_at": used.isoformat() if used else None,
    }


def _as_text(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else "never"
