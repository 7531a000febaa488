"""`retint evaluate --table paper`: measures what the paper measured, and writes it beside what the paper says."""

import json
from pathlib import Path

from cli.console import say, tell
from cli.errors import CommandError

FILES = ("paper.md", "paper.json", "paper.svg")


def evaluate_paper(
    folder: Path, *, out: Path, device: str | None, frames: int | None, json_file: Path | None = None
) -> None:
    """Measure `folder`, print the tables, and write them into `out`; what is done is written after every clip.

    Raises:
        CommandError: `out` cannot be made.
        ClipUnusable: `folder` is not laid out as the paper's data, or a clip in it cannot be used.
        WeightsInvalid, OutOfMemory: as of the models.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from cli.device_name import device_name
    from cli.paper_report import Tables, json_of, markdown_of, plot_of
    from jobs.settings import Settings
    from models.base import select_device
    from models.registry import load, weights_present
    from worker.paper_tables import SYSTEMS, find_data, measure
    from worker.threads import limit_threads

    service = Settings()
    limit_threads(service.threads)
    selected = select_device(device or service.device)
    data = find_data(folder)
    models: list[str] = list(dict.fromkeys(system.model for system in SYSTEMS))
    absent = {
        model: f"retint weights {'import' if model == 'exemplar' else 'fetch'} {model}"
        for model in models
        if not weights_present(model, service.weights_folder)
    }
    settings = {"folder": str(folder), "device": str(selected), "device_name": device_name(selected), "frames": frames}
    tables = Tables(data=data, settings=settings, absent=absent)

    def write() -> None:
        report = json.dumps(json_of(tables), indent=2) + "\n"
        for name, text in zip(FILES, (markdown_of(tables), report, plot_of(tables)), strict=True):
            (out / name).write_text(text)
        if json_file is not None:
            json_file.write_text(report)

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"--out: the folder {out} cannot be made: {error.strerror}.") from error
    for model, command in absent.items():
        tell(f"The weights of {model} are not here; its rows say so. To measure it: {command}")
    write()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        for model in models:
            if model in absent:
                continue
            colorizer = load(model, device=selected, weights_folder=service.weights_folder)
            task = progress.add_task(model)

            def begin(name: str, total: int, task: object = task) -> None:
                progress.reset(task, total=total, description=name)  # type: ignore[arg-type]

            for place, tuned in measure(
                data,
                colorizer,
                frames=frames,
                on_clip=begin,
                on_frame=lambda task=task: progress.advance(task),  # type: ignore[misc]
            ):
                tables.measured[place] = tuned
                write()
            progress.remove_task(task)
    say(markdown_of(tables))
    tell(f"Written: {', '.join(str(out / name) for name in FILES)}")
