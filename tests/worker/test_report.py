"""The report says what happened, on one page that needs nothing else."""

import json
import re
from array import array
from collections.abc import Sequence
from fractions import Fraction
from html.parser import HTMLParser

import numpy as np
import pytest

from jobs.options import JobOptions
from jobs.record import PlacedReference, ShotTuning, TuningStepRecord
from models.base import ModelDescription
from worker.analysis import ShotRange
from worker.journal import BeforeAfter, Journal
from worker.media.frames import VideoInfo
from worker.media.timeline import Timeline
from worker.plan import ShotPlan
from worker.report import MOST_POINTS, Report, build_report
from worker.report_page import report_page

MODEL = ModelDescription(
    name="painter",
    title="A painter",
    license="CC0-1.0",
    source="here",
    size_multiple=8,
    working_size=48,
    restores=False,
    propagates=True,
    references_must_be_frames=False,
    learning_rate=0.1,
)
VOID = {"meta", "img"}


def timeline(pts: Sequence[int]) -> Timeline:
    """Of frames at `pts`, in 1/25 s."""
    places = np.asarray(pts, np.int64)
    return Timeline(time_base=Fraction(1, 25), pts=places, keys=places[:1], last_duration=1, exact=True)


def journal(frames: int = 20, *, cut: int = 12, name: str = "first.png") -> Journal:
    info = VideoInfo(
        width=64,
        height=48,
        frames=frames,
        duration_seconds=frames / 25,
        frame_rate=Fraction(25),
        codec="h264",
        pixel_format="yuv420p",
        bit_depth=8,
        full_range=False,
        matrix="bt601",
        has_audio=False,
    )
    shots = (ShotRange(0, cut - 1), ShotRange(cut, frames - 1))
    made = Journal(
        info=info,
        timeline=timeline(range(frames)),
        plans=(
            ShotPlan(0, shots[0], anchors=((0, 0),), examples=(), tuned_on=(0,)),
            ShotPlan(1, shots[1], anchors=(), examples=(0,), tuned_on=(0,), borrows=True),
        ),
        references=(PlacedReference(name=name, frame=0, shot=0, placed_by="matching"),),
    )
    made.confidences = array("f", np.linspace(1.0, 0.5, frames))
    curve = [TuningStepRecord(step=n, loss=10.0 / (n + 1), held_out_psnr_db=30.0 + n) for n in range(4)]
    made.tunings[0] = ShotTuning(iterations=3, gain_db=3.0, seconds=1.5, stopped_early=False, curve=curve)
    made.warnings.append("Mind <the> gap.")
    return made


def report_of(made: Journal) -> Report:
    return build_report(
        made,
        options=JobOptions(),
        model=MODEL,
        phase_seconds={"tuning": 1.5, "colorizing": 4.0, "encoding": 1.0},
        peak_memory_megabytes=700.0,
        frames_colored=20,
    )


class Reader(HTMLParser):
    """Checks that elements close in order, and collects what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []
        self.data = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.data += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def stills() -> list[BeforeAfter]:
    picture = np.full((48, 64, 3), 90, np.uint8)
    return [BeforeAfter(frame=6, before=picture, after=picture)]


def test_times_are_those_of_the_film_where_its_frame_rate_varies() -> None:
    made = journal()
    made.timeline = timeline([*range(12), *range(50, 58)])
    report = report_of(made)
    assert [(one.frame, one.time_seconds) for one in report.weakest_frames] == [(11, 11 / 25), (19, 57 / 25)]
    assert [(one.frame, one.time_seconds) for one in report.next_references] == [(15, 53 / 25), (7, 7 / 25)]


def test_the_report_has_what_was_learned() -> None:
    report = report_of(journal())
    assert report.shots[0].tuning is not None
    assert report.shots[0].tuning.gain_db == 3.0
    assert report.shots[1].reference == "first.png"
    assert [(weak.shot, weak.frame, weak.reference_would_help) for weak in report.weakest_frames] == [
        (0, 11, False),
        (1, 19, True),
    ]
    assert [(one.shot, one.frame) for one in report.next_references] == [(1, 15), (0, 7)]
    assert report.speed.frames_per_second == 4.0
    assert report.speed.seconds == 6.5
    assert report.speed.peak_memory_megabytes == 700.0
    assert {"python", "torch", "numpy"} <= set(report.versions)


def test_the_report_comes_back_from_its_json() -> None:
    report = report_of(journal())
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_confidence_is_sampled_where_there_are_many_frames() -> None:
    made = journal(frames=2501, cut=100)
    made.confidences[1700] = 0.1
    points = report_of(made).confidence
    assert len(points) <= MOST_POINTS
    lowest = min(points, key=lambda point: point.lowest)
    assert lowest.frame <= 1700 < lowest.frame + 3
    assert len(report_of(journal()).confidence) == 20


def test_the_page_is_well_formed_and_asks_nobody_for_anything() -> None:
    page = report_page(report_of(journal()), stills=stills())
    reader = read(page)
    assert reader.addresses
    assert all(address.startswith("data:image/") for address in reader.addresses)
    assert not re.search(r"https?://|url\(|@import", page)
    assert reader.seen.count("svg") == 2
    assert reader.seen.count("img") == 2
    assert "prefers-color-scheme: dark" in page
    assert "Mind &lt;the&gt; gap." in page


@pytest.mark.parametrize(
    ("gain_db", "said"),
    [
        (3.0, "tuning gained 3.00 dB on the held-out part of the references"),
        (0.003, "tuning gained nothing that held, so the untuned weights were kept"),
        (0.0, "tuning gained nothing that held, so the untuned weights were kept"),
    ],
)
def test_the_page_says_what_tuning_gained_and_why_it_gained_nothing(gain_db: float, said: str) -> None:
    made = journal()
    made.tunings[0] = made.tunings[0].model_copy(update={"gain_db": gain_db})
    page = report_page(report_of(made), stills=())
    assert page.count(said) == 2
    assert "0.00 dB" not in page


def test_a_likeness_that_hardly_changes_is_drawn_nearly_level() -> None:
    made = journal()
    curve = [TuningStepRecord(step=n, loss=10.0 - n, held_out_psnr_db=35.494 - 0.004 * n) for n in range(3)]
    made.tunings[0] = made.tunings[0].model_copy(update={"curve": curve})
    page = report_page(report_of(made), stills=())
    loss, likeness = (
        [float(point.partition(",")[2]) for point in re.findall(rf'class="{kind}" points="([^"]*)"', page)[-1].split()]
        for kind in ("curve", "low")
    )
    assert loss == [10, 95, 180]
    assert likeness == pytest.approx([95] * 3, abs=2)


def test_the_page_counts_shots_from_one_and_its_data_from_zero() -> None:
    report = report_of(journal())
    page = report_page(report, stills=())
    assert "<td>1</td><td>0 to 11</td>" in page
    assert "<td>2</td><td>12 to 19</td>" in page
    assert "<figcaption>shot 1: loss" in page
    assert "<td>first.png</td><td>0</td><td>1</td>" in page
    assert ([shot.index for shot in report.shots], report.references[0].shot) == ([0, 1], 0)


def test_the_page_holds_the_data() -> None:
    report = report_of(journal())
    assert json.loads(read(report_page(report, stills=())).data) == json.loads(report.model_dump_json())


def test_a_name_cannot_break_out_of_the_page() -> None:
    evil = '</script><script src="x"><!--<b>.png'
    reader = read(report_page(report_of(journal(name=evil)), stills=()))
    assert reader.seen.count("script") == 1
    assert "b" not in reader.seen
    assert json.loads(reader.data)["references"][0]["name"] == evil
