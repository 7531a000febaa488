"""What `retint evaluate` measured, as a table and as JSON."""

from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from worker.evaluation_results import ClipResult, Gain, Scores, SeedResult, mean_gains_db, mean_scores

SCORES = (
    ("rgb_psnr_db", "PSNR", "{:.2f}"),
    ("ssim", "SSIM", "{:.4f}"),
    ("ab_psnr_db", "ab", "{:.2f}"),
    ("ciede2000", "ΔE00", "{:.2f}"),
    ("cdc", "CDC", "{:.6f}"),
    ("seconds_per_frame", "s/frame", "{:.3f}"),
)
"""Field of `Scores`, heading, format; narrow, so that the table fits 80 columns."""


def table_of(results: list[ClipResult]) -> Table:
    """A row per clip, or two where it was tuned, and the means; with several seeds, two more for the spread."""
    tuned = any(result.seeds for result in results)
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=0,
        caption="PSNR of RGB and of ab in dB, mean CIEDE2000; references are not counted"
        + ("; gain: PSNR of RGB, tuned minus untuned" if tuned else ""),
        caption_justify="left",
    )
    table.add_column("clip", no_wrap=True)
    if tuned:
        table.add_column("", no_wrap=True)
    for _, heading, _ in SCORES:
        table.add_column(heading, justify="right", no_wrap=True)
    if tuned:
        table.add_column("gain", justify="right", no_wrap=True)
        table.add_column("tune s", justify="right", no_wrap=True)
    table.add_column("MB", justify="right", no_wrap=True)
    for result in results:
        memory = f"{result.peak_memory_megabytes:.0f}"
        if result.tuned is None:
            table.add_row(result.clip, *cells(result.untuned), memory)
            continue
        table.add_row(result.clip, "untuned", *cells(result.untuned), "", "", "")
        gain = Gain.of(result.gains_db)
        table.add_row("", "tuned", *cells(result.tuned), signed(gain.mean_db), mean_seconds([result]), memory)
        add_spread(table, gain, seeds=len(result.seeds))
    table.add_section()
    means = means_of(results)
    if "tuned" not in means:
        table.add_row("mean", *cells(means["untuned"]), "")
        return table
    gain = Gain.of(mean_gains_db(results))
    table.add_row("mean", "untuned", *cells(means["untuned"]), "", "", "")
    table.add_row("", "tuned", *cells(means["tuned"]), signed(gain.mean_db), mean_seconds(results), "")
    add_spread(table, gain, seeds=len(results[0].seeds))
    return table


def add_spread(table: Table, gain: Gain, *, seeds: int) -> None:
    """Rows for the seeds that gained least and most, where there are several."""
    if seeds > 1:
        for name, value in (("lowest", gain.lowest_db), ("highest", gain.highest_db)):
            table.add_row("", name, *[""] * len(SCORES), signed(value), "", "")


def signed(decibels: float) -> str:
    return f"{decibels:+.2f}"


def mean_seconds(results: list[ClipResult]) -> str:
    """Seconds of one tuning."""
    seconds = [seed.tuning.seconds for result in results for seed in result.seeds]
    return f"{sum(seconds) / len(seconds):.1f}"


def cells(scores: Scores) -> list[str]:
    """The scores as they are printed."""
    return [form.format(getattr(scores, field)) for field, _, form in SCORES]


def means_of(results: list[ClipResult]) -> dict[str, Scores]:
    """Means over clips, untuned and, where clips were tuned, tuned."""
    means = {"untuned": mean_scores([result.untuned for result in results])}
    tuned = [result.tuned for result in results if result.tuned is not None]
    return means | ({"tuned": mean_scores(tuned)} if tuned else {})


def report_of(results: list[ClipResult], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything measured and asked for, as JSON."""
    gains = mean_gains_db(results)
    return {
        "settings": settings,
        "clips": [clip_of(result) for result in results],
        "mean": {name: asdict(scores) for name, scores in means_of(results).items()}
        | ({"gain": asdict(Gain.of(gains))} if gains else {}),
    }


def clip_of(result: ClipResult) -> dict[str, Any]:
    """One clip as JSON."""
    return {
        "clip": result.clip,
        "references": list(result.references),
        "frames": result.frames,
        "untuned": asdict(result.untuned),
        "tuned": asdict(result.tuned) if result.tuned else None,
        "gain": asdict(Gain.of(result.gains_db)) if result.seeds else None,
        "seeds": [seed_of(seed, gain_db=gain) for seed, gain in zip(result.seeds, result.gains_db, strict=True)],
        "peak_memory_megabytes": result.peak_memory_megabytes,
    }


def seed_of(result: SeedResult, *, gain_db: float) -> dict[str, Any]:
    """One tuning as JSON; the gain is that of the PSNR of RGB, beside what tuning itself measured on its references."""
    return {
        "seed": result.seed,
        "rgb_psnr_db": result.scores.rgb_psnr_db,
        "gain_db": gain_db,
        "held_out_gain_db": result.tuning.gain_db,
        "iterations": result.tuning.iterations,
        "seconds": result.tuning.seconds,
    }
