"""The paper's tables as measured, as Markdown, as JSON and as a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from jobs.options import TuningOptions
from worker.evaluation_results import Tuned
from worker.paper_tables import (
    ITERATIONS,
    OBJECTIVES,
    PROTOCOLS,
    PUBLISHED,
    PUBLISHED_ABLATION,
    SYSTEMS,
    Data,
    Dataset,
    Figures,
    Place,
    Protocol,
    System,
    is_whole,
)

_NUMBERS: Mapping[Dataset, str] = {"vid4": "Table 1: Vid4", "set8": "Table 2: Set8"}
_NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything measured so far."""

    data: Data
    settings: Mapping[str, Any]
    absent: Mapping[str, str]
    """Models whose weights are not here, and how they get here."""
    measured: dict[Place, Tuned] = field(default_factory=dict)

    def clips(self, dataset: Dataset) -> list[str]:
        return [clip.name for clip in self.data.get(dataset, ())]

    def figures(self, dataset: Dataset, protocol: Protocol, system: System, clip: str) -> Figures | None:
        found = self.measured.get(Place(dataset, protocol.name, system.name, clip))
        return None if found is None else Figures(found.scores.rgb_psnr_db, found.scores.ssim)

    def average(self, dataset: Dataset, protocol: Protocol, system: System) -> Figures | None:
        """The mean over the clips; None before all of them are measured."""
        found = [self.figures(dataset, protocol, system, clip) for clip in self.clips(dataset)]
        known = [figures for figures in found if figures is not None]
        if not known or len(known) < len(found):
            return None
        ssim = [figures.ssim for figures in known if figures.ssim is not None]
        return Figures(sum(figures.psnr_db for figures in known) / len(known), sum(ssim) / len(ssim))


def markdown_of(tables: Tables) -> str:
    """Tables 1, 2 and 4 at both sizes."""
    parts = ["# The paper's tables, measured", _preface(tables)]
    for dataset in _NUMBERS:
        for protocol in PROTOCOLS:
            parts += [f"## {_NUMBERS[dataset]}, {protocol.title}", _table(tables, dataset, protocol)]
    for protocol in PROTOCOLS:
        parts += [f"## Table 4: objectives of tuning, deepremaster, {protocol.title}", _ablation(tables, protocol)]
    return "\n\n".join(parts) + "\n"


def _preface(tables: Tables) -> str:
    settings = tables.settings
    lines = [
        f"PSNR in dB and SSIM of 8-bit RGB, means over frames, then over clips; device: {settings['device_name']}. The "
        "first frame is the reference and does not count. *Published* rows are from Zhao et al., ICIP 2023, whatever "
        "the size of the table they stand in.",
        "320 lines: clips scaled to a short side of 320, both sides multiples of 16, and compared at that size; "
        "deepremaster's own, restored luma counts. Full size: as a job does it, only chroma is new.",
        "Tuning is that of jobs: it holds a part of the reference out, keeps the weights that are best there, the "
        "untuned ones included, and may end before all iterations; the JSON says after how many it did.",
    ]
    if settings["frames"] is not None:
        lines.append(f"Only the first {settings['frames']} frames of each clip were colored; the published used all.")
    if tables.absent:
        commands = ", ".join(f"{model} (`{command}`)" for model, command in tables.absent.items())
        lines.append(f"Weights absent: {commands}.")
    own = [f"{dataset}/{clip.name}" for dataset, clips in tables.data.items() for clip in clips if clip.mono is None]
    if own:
        lines.append(f"Without gray.*, so the luma of the true colors was fed: {', '.join(own)}.")
    return "\n\n".join(lines)


def _table(tables: Tables, dataset: Dataset, protocol: Protocol) -> str:
    clips = tables.clips(dataset)
    if not clips:
        return f"There is no folder {dataset}."
    rows = [["system", *clips, f"average of {len(clips)}"]]
    for system in _shown_systems():
        for published in PUBLISHED:
            if published.beside == system:
                cells = [_cell(published.clips.get(clip) if dataset == "vid4" else None) for clip in clips]
                average = _cell(published.average(dataset, clips))
                rows.append([f"*published: {published.title}*", *cells, average])
        rows.append([system.name, *_measured_cells(tables, dataset, protocol, system, clips)])
    return _markdown_table(rows)


def _shown_systems() -> list[System]:
    """Rows of Tables 1 and 2; the other objectives are in Table 4."""
    return [system for system in SYSTEMS if system.tuning.iterations == 0 or system.tuning.objective == "lab"]


def _measured_cells(
    tables: Tables, dataset: Dataset, protocol: Protocol, system: System, clips: Sequence[str]
) -> list[str]:
    if system.model in tables.absent:
        return ["weights absent", *[""] * len(clips)]
    cells = [_cell(tables.figures(dataset, protocol, system, clip)) for clip in clips]
    return [*cells, _cell(tables.average(dataset, protocol, system))]


def _ablation(tables: Tables, protocol: Protocol) -> str:
    titles = {"rgb": "RGB alone", "ab": "without L_l", "l": "without L_ab", "lab": "L_l + L_ab"}
    head = ["objective", *(f"{dataset}, {steps} iterations" for dataset in tables.data for steps in ITERATIONS)]
    head += [f"*published, {dataset}*" for dataset in tables.data]
    rows = [head]
    for objective in OBJECTIVES:
        row = [f"{titles[objective]} (`{objective}`)"]
        for dataset in tables.data:
            for steps in ITERATIONS:
                system = System("deepremaster", TuningOptions(iterations=steps, objective=objective))
                if system.model in tables.absent:
                    row.append("weights absent")
                else:
                    row.append(_cell(tables.average(dataset, protocol, system)))
        for dataset in tables.data:
            note = "" if is_whole(dataset, tables.clips(dataset)) else " (all clips)"
            row.append(_cell(PUBLISHED_ABLATION[objective][dataset]) + note)
        rows.append(row)
    return _markdown_table(rows)


def _cell(figures: Figures | None) -> str:
    if figures is None:
        return _NOTHING
    return f"{figures.psnr_db:.2f}" + ("" if figures.ssim is None else f" / {figures.ssim:.4f}")


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def json_of(tables: Tables) -> dict[str, Any]:
    """Everything measured, asked for and published."""
    return {
        "settings": dict(tables.settings),
        "absent": dict(tables.absent),
        "clips": {dataset: tables.clips(dataset) for dataset in tables.data},
        "measured": [_record(place, tuned) for place, tuned in tables.measured.items()],
        "averages": [
            {
                "dataset": dataset,
                "protocol": protocol.name,
                "system": system.name,
                "psnr_db": average.psnr_db,
                "ssim": average.ssim,
            }
            for dataset in tables.data
            for protocol in PROTOCOLS
            for system in SYSTEMS
            if (average := tables.average(dataset, protocol, system)) is not None
        ],
        "published": [
            {
                "title": published.title,
                "beside": published.beside.name,
                "vid4": {clip: _plain(figures) for clip, figures in published.clips.items()},
                "averages": {dataset: _plain(figures) for dataset, figures in published.averages.items()},
            }
            for published in PUBLISHED
        ],
        "published_ablation": {
            objective: {dataset: _plain(figures) for dataset, figures in averages.items()}
            for objective, averages in PUBLISHED_ABLATION.items()
        },
    }


def _record(place: Place, tuned: Tuned) -> dict[str, Any]:
    report = tuned.tuning
    return {
        "dataset": place.dataset,
        "protocol": place.protocol,
        "system": place.system,
        "clip": place.clip,
        "frames": tuned.frames,
        "psnr_db": tuned.scores.rgb_psnr_db,
        "ssim": tuned.scores.ssim,
        "ab_psnr_db": tuned.scores.ab_psnr_db,
        "ciede2000": tuned.scores.ciede2000,
        "cdc": tuned.scores.cdc,
        "seconds_per_frame": tuned.scores.seconds_per_frame,
        "tuning": None
        if report is None
        else {
            "iterations": report.iterations,
            "stopped_early": report.stopped_early,
            "held_out_gain_db": report.gain_db,
            "seconds": report.seconds,
            "note": report.note,
        },
    }


def _plain(figures: Figures) -> dict[str, float | None]:
    return {"psnr_db": figures.psnr_db, "ssim": figures.ssim}


_LEFT, _RIGHT, _ROW, _BAR = 190.0, 760.0, 30.0, 10.0
_COLORS = {"320": "#b3402e", "full": "#3f6d9e"}


def plot_of(tables: Tables) -> str:
    """Average PSNR of every row as bars, the published figures as diamonds: SVG."""
    best = max([30.0, *(figure.psnr_db for figure in _averages(tables))])
    highest = 5.0 * (int(best / 5.0) + 1)
    drawn, top = [], 40.0
    for dataset in tables.data:
        drawn.append(
            f'<text x="8" y="{top}" class="head">{_NUMBERS[dataset]}, average of {len(tables.clips(dataset))}</text>'
        )
        drawn += _axis(top + 14, rows=len(SYSTEMS), highest=highest)
        for index, system in enumerate(SYSTEMS):
            drawn += _bars(tables, dataset, system, top=top + 18 + index * _ROW, highest=highest)
        top += _ROW * len(SYSTEMS) + 80
    legend = "".join(
        f'<rect x="{8 + 300 * index}" y="8" width="12" height="12" fill="{_COLORS[protocol.name]}"/>'
        f'<text x="{26 + 300 * index}" y="18">{escape(protocol.title)}</text>'
        for index, protocol in enumerate(PROTOCOLS)
    )
    legend += f'<path d="{_diamond(618, 14)}" class="published"/><text x="632" y="18">published</text>'
    style = (
        "text{font:12px system-ui,sans-serif;fill:#1c1c1c}.head{font-weight:bold;font-size:14px}.small{fill:#767676}"
        ".grid{stroke:#ddd}.published{fill:#fff;stroke:#1c1c1c;stroke-width:1.5}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {top - 20:.0f}" width="800" role="img">'
        f"<title>PSNR in dB, measured beside published</title><style>{style}</style>"
        f'<rect width="800" height="{top - 20:.0f}" fill="#fff"/>{legend}'
        f'<g transform="translate(0,12)">{"".join(drawn)}</g></svg>\n'
    )


def _averages(tables: Tables) -> list[Figures]:
    own = (tables.average(d, p, s) for d in tables.data for p in PROTOCOLS for s in SYSTEMS)
    published = (each.average(dataset, tables.clips(dataset)) for each in PUBLISHED for dataset in tables.data)
    return [figures for figures in (*own, *published) if figures is not None]


def _across(decibels: float, highest: float) -> float:
    return _LEFT + decibels / highest * (_RIGHT - _LEFT)


def _axis(top: float, *, rows: int, highest: float) -> list[str]:
    bottom = top + rows * _ROW
    drawn = []
    for decibels in range(0, int(highest) + 1, 5):
        x = _across(decibels, highest)
        drawn.append(f'<path class="grid" d="M{x:.1f} {top}V{bottom}"/>')
        drawn.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" class="small">{decibels}</text>')
    drawn.append(f'<text x="{_RIGHT + 14}" y="{bottom + 16}" class="small">dB</text>')
    return drawn


def _bars(tables: Tables, dataset: Dataset, system: System, *, top: float, highest: float) -> list[str]:
    drawn = [f'<text x="{_LEFT - 8}" y="{top + 14}" text-anchor="end">{escape(system.name)}</text>']
    if system.model in tables.absent:
        drawn.append(f'<text x="{_LEFT + 6}" y="{top + 14}" class="small">weights absent</text>')
    for index, protocol in enumerate(PROTOCOLS):
        average = tables.average(dataset, protocol, system)
        if average is not None:
            y, width = top + index * (_BAR + 1), _across(average.psnr_db, highest) - _LEFT
            drawn.append(
                f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{_COLORS[protocol.name]}"/>'
                f'<text x="{_LEFT + width - 4:.1f}" y="{y + 9}" text-anchor="end" style="font-size:9px;fill:#fff">'
                f"{average.psnr_db:.2f}</text>"
            )
    for published in PUBLISHED:
        figures = published.average(dataset, tables.clips(dataset))
        if published.beside == system and figures is not None:
            x = _across(figures.psnr_db, highest)
            drawn.append(f'<path class="published" d="{_diamond(x, top + _BAR)}"/>')
            drawn.append(f'<text x="{x + 9:.1f}" y="{top + 14}" class="small">{figures.psnr_db:.2f}</text>')
    return drawn


def _diamond(x: float, y: float) -> str:
    return f"M{x - 6:.1f} {y}L{x:.1f} {y - 6}L{x + 6:.1f} {y}L{x:.1f} {y + 6}Z"
