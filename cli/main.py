"""The `retint` command. What a subcommand needs is imported when it runs, so that the others do not wait for it."""

import os
import platform
import sys
from collections.abc import Callable
from traceback import walk_tb
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from cli import bench, keys, operator, weights
from cli import jobs as jobs_commands
from cli.api import api
from cli.colorize import colorize
from cli.console import say, tell, write_json
from cli.deliver import deliver
from cli.errors import CommandError
from cli.evaluate import evaluate
from cli.interruption import unwinding
from cli.keyframes import keyframes
from cli.serve import serve
from cli.worker import worker

app = typer.Typer(
    name="retint",
    help="Turns a black-and-white video plus one colored frame of it into a color video.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(api)
app.command()(worker)
app.command()(deliver)
app.command()(colorize)
app.command()(keyframes)
app.command()(evaluate)
app.add_typer(jobs_commands.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.add_typer(operator.app, name="operator")
app.add_typer(weights.app, name="weights")
app.add_typer(bench.app, name="bench")

INTERRUPTED = 130
"""128 plus the number of SIGINT, as shells have it."""


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """The version of the service, and of Python."""
    from importlib.metadata import version as installed_version

    service = installed_version("retint-service")
    if as_json:
        write_json({"service": service, "python": platform.python_version()})
    else:
        say(f"retint {service} (Python {platform.python_version()})")


def _version_asked(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_version_asked, help="What `retint version` says."),
    ] = False,
) -> None:
    """What is said before a subcommand."""


def run() -> None:
    """The entry point."""
    # Before torch is imported: threads that spin while they wait cost a busy machine several times the work itself.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    run_command(lambda: sys.exit(app(standalone_mode=False)))


def run_command(command: Callable[[], object]) -> None:
    """Run it; an error that a user can meet becomes one line and a status of 1, or 2 where the command line is at
    fault; never a traceback."""
    try:
        with unwinding():
            command()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        line = _line(error)
        if line is None:
            raise
        if line:
            tell(f"retint: {line}")
        sys.exit(error.exit_code if isinstance(error, TyperException) else 1)


def _line(error: Exception) -> str | None:
    """The sentence of an error that a user can meet, empty where all has been said; None for a fault of the program,
    whose traceback is wanted."""
    if isinstance(error, TyperException):
        return _usage_line(error)
    # Imported here: after a failure a moment does not matter, before every command it would.
    import retint
    from pydantic import ValidationError

    import jobs.errors
    import models.errors
    from jobs.connection import REDIS_AWAY, WritesRefused
    from jobs.wording import in_words

    if isinstance(error, retint.Unauthorized):
        return f"{error} The command sends the key that RETINT_API_KEY holds."
    if isinstance(error, CommandError | jobs.errors.RetintError | models.errors.ModelError | retint.RetintError):
        return str(error)
    if isinstance(error, WritesRefused):
        return f"Redis refuses to write: {str(error).rstrip('.')}. Make room on the disk that it keeps its file on."
    if isinstance(error, REDIS_AWAY):
        return f"Redis cannot be used: {str(error).rstrip('.')}. Start it, or point RETINT_REDIS_URL at one that runs."
    if isinstance(error, ValidationError) and error.title == "Settings":
        first = error.errors()[0]
        name = "RETINT_" + "_".join(str(part) for part in first["loc"]).upper()
        return f"{name} cannot be used: {in_words(first)}, got {first['input']!r}."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    return None


def _usage_line(error: TyperException) -> str:
    """What is wrong with the command line."""
    from pydantic import ValidationError

    from jobs.wording import in_words

    # Help, which a command without arguments shows, is an error to typer; it is printed by now.
    message = error.format_message().strip()
    if not message:
        return ""
    if isinstance(error.__cause__, ValidationError):
        message = message.replace(error.message, in_words(error.__cause__.errors()[0]))
    context = getattr(error, "ctx", None) or _innermost_context(error)
    command = "retint" if context is None else context.command_path
    ended = message if message.endswith((".", "?")) else f"{message}."
    return f"{ended} `{command} --help` says how it is used."


def _innermost_context(error: TyperException) -> Any:
    """That of the command whose line was being read: an option without its value comes without one."""
    contexts = [frame.f_locals["ctx"] for frame, _ in walk_tb(error.__traceback__) if "ctx" in frame.f_locals]
    return contexts[-1] if contexts else None
