"""The Redis server that the settings mean: one that is named, or the embedded one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.errors import CommandError

if TYPE_CHECKING:
    from jobs.settings import Settings


@contextmanager
def reachable_redis(settings: "Settings", *, join: bool = False, create: bool = True) -> Iterator[str]:
    """The address of a Redis server; the embedded one is started where that is meant.

    With `join`, the embedded one of a service that runs is used where there is one; without `create`, the data folder
    must be there.

    Raises:
        CommandError: the data folder cannot be made, or is not there.
        StartupError: the address is wrong, or the server does not start.
    """
    if settings.redis_url is not None:
        from jobs.connection import connect

        connect(settings.redis_url).close()  # a wrong address is told once, here, not by every process again and again
        yield settings.redis_url
        return
    from jobs.embedded_redis import embedded_redis, find_server, running_redis

    folder = settings.data_folder
    if join and (running := running_redis(folder / "redis")) is not None:
        yield running
        return
    if not create and not (folder / "redis").is_dir():
        raise CommandError(
            f"There is no service's data in {folder.absolute()}. Give the command where the service was started, or"
            " point RETINT_DATA_FOLDER, or RETINT_REDIS_URL, to what it uses."
        )
    find_server()  # before a folder is made for it
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        detail = f"The data folder {folder} cannot be made: {error.strerror}."
        raise CommandError(f"{detail} Point RETINT_DATA_FOLDER at a writable one.") from error
    with embedded_redis(folder / "redis") as url:
        yield url
