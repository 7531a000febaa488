"""The report as one page that needs nothing else: no script, no address outside of itself."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

import cv2
import numpy as np

from jobs.record import ConfidencePoint, Shot, ShotTuning
from jobs.tuning_gain import SMALLEST_SHOWN_DB, gain_in_words
from worker.journal import BeforeAfter
from worker.media.frames import Rgb
from worker.report import Report

_SHOWN_CURVES = 12
"""Loss curves drawn at most; the data holds all."""
_SHOWN_ROWS = 200
"""Shots listed at most; the data holds all."""
_LEAST_SPAN_DB = 0.5
"""Of the line of PSNR, which has no axis: a hundredth of a dB would look like a steep fall."""
_JPEG_QUALITY = 85

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --faint: #767676; --line: #ddd; --accent: #b3402e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #161616; --faint: #9a9a9a; --line: #3a3a3a; --accent: #f0836d; }
}
body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif;
       color: var(--ink); background: var(--paper); }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { border-bottom: 1px solid var(--line); padding: .3rem .6rem;
       text-align: left; font-variant-numeric: tabular-nums; } th { color: var(--faint); font-weight: normal; }
.wide { overflow-x: auto; } figure { margin: 0 0 1rem; } figcaption { color: var(--faint); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; } .pair img { width: 100%; display: block; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(28rem, 100%), 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--faint); font: 11px system-ui, sans-serif; }
.axis { stroke: var(--line); } .curve { stroke: var(--accent); fill: none; stroke-width: 1.5; }
.low { stroke: var(--faint); fill: none; stroke-width: 1.5; stroke-dasharray: 5 3; } .mark { stroke: var(--faint); }
"""


def report_page(report: Report, *, stills: Sequence[BeforeAfter]) -> str:
    """HTML5 of the report, the data itself embedded as JSON."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>retint report</title><style>{_STYLE}</style></head><body>",
        "<h1>retint report</h1>",
        _summary(report),
        _warnings(report.warnings),
        _stills(stills),
        "<h2>Confidence over time</h2>",
        _confidence_figure(report),
        _tunings(report.shots),
        _shots(report),
        _references(report),
        _speed(report),
        f'<script type="application/json" id="report">{_embeddable(report.model_dump_json())}</script>',
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part)


def _embeddable(json: str) -> str:
    """The same JSON, in which no `</script>` or `<!--` ends the element early, whatever names the data holds."""
    return json.replace("<", "\\u003c")


def _summary(report: Report) -> str:
    video, rate = report.video, report.speed.frames_per_second
    gains = [shot.tuning.gain_db for shot in report.shots if shot.tuning is not None]
    tuned = f"tuning {gain_in_words(float(np.mean(gains)))}" if gains else "tuning off"
    return (
        f"<p>{video.width}x{video.height}, {video.frames} frames, {video.duration_seconds:.1f} s; "
        f"{_count(len(report.shots), 'shot')}, {_count(len(report.references), 'reference')}; "
        f"model {escape(report.model.name)}; {tuned}"
        f"{f'; {rate:.1f} frames per second' if rate > 0 else ''}.</p>"
    )


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    return f"<h2>To know</h2><ul>{''.join(f'<li>{escape(warning)}</li>' for warning in warnings)}</ul>"


def _stills(stills: Sequence[BeforeAfter]) -> str:
    if not stills:
        return ""
    figures = [
        f'<figure><div class="pair"><img alt="frame {still.frame} before" src="{_data_address(still.before)}">'
        f'<img alt="frame {still.frame} after" src="{_data_address(still.after)}"></div>'
        f"<figcaption>frame {still.frame}</figcaption></figure>"
        for still in stills
    ]
    return f"<h2>Before and after</h2>{''.join(figures)}"


def _data_address(picture: Rgb) -> str:
    encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"


def _confidence_figure(report: Report) -> str:
    points = report.confidence
    last = max(1, report.video.frames - 1)
    marks = [(shot.first_frame / last) for shot in report.shots[1:]]
    lines = [
        ("curve", [(point.frame / last, point.mean) for point in points]),
        ("low", [(point.frame / last, point.lowest) for point in _if_sampled(points, report.video.frames)]),
    ]
    figure = _chart(lines, marks=marks, labels=("0", "1"), ends=("frame 0", f"frame {report.video.frames - 1}"))
    return f"<figure>{figure}<figcaption>Mean of each frame; upright lines are cuts.</figcaption></figure>"


def _if_sampled(points: Sequence[ConfidencePoint], frames: int) -> Sequence[ConfidencePoint]:
    """The lowest values, where a point stands for more than one frame."""
    return points if len(points) < frames else ()


def _tunings(shots: Sequence[Shot]) -> str:
    tuned: dict[tuple[float, ...], tuple[str, ShotTuning]] = {}
    for shot in shots:
        if shot.tuning is not None and len(shot.tuning.curve) > 1:
            # Shots that share their references share their tuning.
            tuned.setdefault(tuple(step.loss for step in shot.tuning.curve), (f"shot {shot.index + 1}", shot.tuning))
    if not tuned:
        return ""
    figures = [_tuning_figure(name, tuning) for name, tuning in list(tuned.values())[:_SHOWN_CURVES]]
    return f'<h2>Tuning</h2><div class="curves">{"".join(figures)}</div>'


def _tuning_figure(name: str, tuning: ShotTuning) -> str:
    losses = [step.loss for step in tuning.curve]
    held_out = [step.held_out_psnr_db for step in tuning.curve]
    lines = [("curve", _spread(losses)), ("low", _spread(held_out, least=_LEAST_SPAN_DB))]
    figure = _chart(
        lines, marks=(), labels=(f"{min(losses):.3g}", f"{max(losses):.3g}"), ends=("step 0", f"step {len(losses) - 1}")
    )
    early = ", stopped early" if tuning.stopped_early else ""
    gained = gain_in_words(tuning.gain_db)
    return (
        f"<figure>{figure}<figcaption>{escape(name)}: loss (solid) and PSNR of the held-out part (dashed, "
        f"{held_out[0]:.2f} to {max(held_out):.2f} dB); {tuning.seconds:.1f} s{early}; tuning {gained}"
        "</figcaption></figure>"
    )


def _spread(values: Sequence[float], *, least: float = 0.0) -> list[tuple[float, float]]:
    """Values as points in the unit square; where they span less than `least`, around its middle."""
    low, high = min(values), max(values)
    span = max(high - low, least) or 1.0
    middle = (low + high) / 2
    return [(index / max(1, len(values) - 1), 0.5 + (value - middle) / span) for index, value in enumerate(values)]


def _chart(
    lines: Iterable[tuple[str, Sequence[tuple[float, float]]]],
    *,
    marks: Sequence[float],
    labels: tuple[str, str],
    ends: tuple[str, str],
) -> str:
    """Lines through points of the unit square; `labels` are the lowest and highest value, `ends` those along x."""
    left, right, top, bottom = 44.0, 790.0, 10.0, 180.0

    def across(x: float) -> float:
        return left + x * (right - left)

    drawn = [f'<path class="axis" fill="none" d="M{left} {top}V{bottom}H{right}"/>']
    drawn += [f'<path class="mark" d="M{across(mark):.1f} {bottom}v-8"/>' for mark in marks]
    for kind, points in lines:
        if points:
            path = " ".join(f"{across(x):.1f},{bottom - min(1.0, max(0.0, y)) * (bottom - top):.1f}" for x, y in points)
            drawn.append(f'<polyline class="{kind}" points="{path}"/>')
    drawn.append(f'<text x="{left - 6}" y="{bottom}" text-anchor="end">{escape(labels[0])}</text>')
    drawn.append(f'<text x="{left - 6}" y="{top + 8}" text-anchor="end">{escape(labels[1])}</text>')
    drawn.append(f'<text x="{left}" y="{bottom + 16}">{escape(ends[0])}</text>')
    drawn.append(f'<text x="{right}" y="{bottom + 16}" text-anchor="end">{escape(ends[1])}</text>')
    return f'<svg viewBox="0 0 800 204" role="img">{"".join(drawn)}</svg>'


def _shots(report: Report) -> str:
    weakest = {frame.shot: frame for frame in report.weakest_frames}
    following = {suggestion.shot: suggestion for suggestion in report.next_references}
    rows = []
    for shot in report.shots[:_SHOWN_ROWS]:
        weak = weakest.get(shot.index)
        hint = ""
        if weak is not None:
            hint = f"frame {weak.frame} ({weak.time_seconds:.2f} s): {weak.confidence:.2f}"
            hint += "; a reference here would help" if weak.reference_would_help else ""
        rows.append(
            (
                str(shot.index + 1),
                f"{shot.first_frame} to {shot.last_frame}",
                shot.reference or "none",
                "" if shot.confidence is None else f"{shot.confidence:.2f}",
                _gain(shot.tuning),
                hint,
                "" if shot.index not in following else f"frame {following[shot.index].frame}",
            )
        )
    left_out = len(report.shots) - len(rows)
    note = f"<p>{_count(left_out, 'more shot')} in the data.</p>" if left_out else ""
    heads = ("shot", "frames", "reference", "confidence", "gain", "weakest frame", "color next")
    return f"<h2>Shots</h2>{_table(heads, rows)}{note}"


def _gain(tuning: ShotTuning | None) -> str:
    if tuning is None:
        return ""
    return f"{tuning.gain_db:.2f} dB" if tuning.gain_db >= SMALLEST_SHOWN_DB else "none"


def _references(report: Report) -> str:
    rows = [
        (
            reference.name,
            "none" if reference.frame is None else str(reference.frame),
            "" if reference.shot is None else str(reference.shot + 1),
            reference.placed_by,
            reference.note or "",
        )
        for reference in report.references
    ]
    return f"<h2>References</h2>{_table(('name', 'frame', 'shot', 'placed by', 'note'), rows)}"


def _speed(report: Report) -> str:
    rows: list[tuple[str, str]] = [
        (phase, f"{seconds:.1f} s") for phase, seconds in report.speed.seconds_by_phase.items()
    ]
    rows.append(("all", f"{report.speed.seconds:.1f} s"))
    rows.append(("peak memory", f"{report.speed.peak_memory_megabytes:.0f} MB"))
    rows += list(report.versions.items())
    return f"<h2>Time, memory, versions</h2>{_table(('', ''), rows)}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
