"""`retint weights`: weights that the service knows and does not ship."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import say, write_json, write_table

if TYPE_CHECKING:
    from models.catalog import PublishedFile

app = typer.Typer(help="Fetch or import the weights of models that bring none.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_weights(as_json: AsJson = False) -> None:
    """What is known, and whether it is installed."""
    from jobs.settings import Settings
    from models.catalog import CATALOG
    from models.weights import installed

    folder = Settings().weights_folder
    rows = [(entry, installed(name, folder)) for name, entry in sorted(CATALOG.items())]
    if as_json:
        write_json(
            [
                {
                    "name": entry.name,
                    "title": entry.title,
                    "license": entry.license,
                    "license_url": entry.license_url,
                    "source": entry.source,
                    "files": list(entry.files),
                    **_published(entry.published),
                    "path": str(path) if path else None,
                }
                for entry, path in rows
            ]
        )
        return
    write_table(
        [[entry.name, entry.license, str(path) if path else "not installed"] for entry, path in rows],
        header=["MODEL", "LICENCE", "FILE"],
    )
    say("The model retint ships with its weights.")


@app.command("fetch")
def fetch_weights(
    name: Annotated[str, typer.Argument(help="`deepremaster` or `exemplar`.")],
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="You have read the licence of the weights and accept it.")
    ] = False,
    url: Annotated[str | None, typer.Option(help="Another address of the same file; the checksum stays.")] = None,
    as_json: AsJson = False,
) -> None:
    """Download a model's weights, check them, convert them to safetensors."""
    from cli.progress_bar import ProgressBar
    from jobs.settings import Settings
    from models.download import DownloadProgress
    from models.weights import fetch

    with ProgressBar(enabled=not as_json) as bar:

        def show(progress: DownloadProgress) -> None:
            bar.transferred("downloading", done=progress.bytes_done, total=progress.bytes_total)

        path = fetch(name, Settings().weights_folder, accept_license=accept_license, url=url, on_progress=show)
    _report(name, path, as_json=as_json)


@app.command("import")
def import_weights(
    name: Annotated[str, typer.Argument(help="`deepremaster` or `exemplar`.")],
    files: Annotated[
        list[Path], typer.Argument(help="The weights, as published (all files, or a zip of them) or as safetensors.")
    ],
    as_json: AsJson = False,
) -> None:
    """Take weights that you have, check them, convert them to safetensors."""
    from jobs.settings import Settings
    from models.weights import import_files

    _report(name, import_files(name, files, Settings().weights_folder), as_json=as_json)


def _published(file: "PublishedFile | None") -> dict[str, str | None]:
    """Where the weights are fetched, and their checksum; for a model whose weights are only imported, no address."""
    return {"url": None} if file is None else {"url": file.url, file.algorithm: file.digest}


def _report(name: str, path: Path, *, as_json: bool) -> None:
    if as_json:
        write_json({"name": name, "path": str(path)})
    else:
        say(str(path))
