"""A whole job: files in, files out, and nothing else left behind."""

import json
import re
import zipfile
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jobs.errors import JobCanceled, OutOfMemory, ReferenceNotColor, ReferenceUnplaced, VideoTooLong, VideoUndecodable
from jobs.options import JobOptions
from jobs.record import Phase
from models import errors as model_errors
from models.base import Example, Matrix, ModelDescription, Prediction, Reference
from models.color import rgb_to_ycbcr
from worker.canvas import Canvas
from worker.media.decode import open_video
from worker.media.stills import read_image, write_png
from worker.pipeline import colorize_video
from worker.task import ColorizationTask, Limits, ReferenceFile, VariantFile

LIMITS = Limits(max_pixels=4096 * 2304, max_duration_seconds=3600, max_frames=100_000)
LOSSLESS = {"container": "mkv", "codec": "ffv1"}


class Watcher:
    """Remembers all that it is told, and stops the job on demand."""

    def __init__(self, *, stop_at: Callable[["Watcher"], bool] = lambda _: False) -> None:
        self.phases: list[Phase] = []
        self.fractions: list[float] = []
        self.frames: list[int] = []
        self.facts: dict[str, Any] = {}
        self.shown: dict[int, bytes] = {}
        self.checks = 0
        self._stop_at = stop_at

    def entered(self, phase: Phase) -> None:
        self.phases.append(phase)

    def advanced(self, *, fraction: float, frames_done: int, frames_total: int) -> None:
        self.fractions.append(fraction)
        self.frames.append(frames_done)
        assert frames_done <= frames_total

    def learned(self, **facts: Any) -> None:
        self.facts.update({name: value for name, value in facts.items() if value is not None})

    def showed(self, frame: int, picture: bytes) -> None:
        self.shown[frame] = picture

    def check(self) -> None:
        self.checks += 1
        if self._stop_at(self):
            raise JobCanceled("The job was canceled.")


class Painter:
    """Gives every pixel the mean color of the first reference; learns one number that changes nothing."""

    def __init__(self, *, restores: bool = False, error: Exception | None = None) -> None:
        self.weight = nn.Parameter(torch.zeros(2))
        self.fed: list[int] = []
        """Frames per call."""
        self.colored_by: list[Reference] = []
        self.tuned_on: list[Reference] = []
        self._restores = restores
        self._error = error

    @property
    def description(self) -> ModelDescription:
        return ModelDescription(
            name="painter",
            title="A painter",
            license="CC0-1.0",
            source="here",
            size_multiple=8,
            working_size=48,
            restores=self._restores,
            propagates=True,
            references_must_be_frames=False,
            learning_rate=0.1,
        )

    def clone(self) -> Self:
        other = type(self)(restores=self._restores, error=self._error)
        other.fed, other.colored_by, other.tuned_on = self.fed, self.colored_by, self.tuned_on
        return other

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        if self._error is not None:
            raise self._error
        self.fed.append(0)
        self.colored_by += references
        mean = rgb_to_ycbcr(references[0].rgb, matrix=matrix)[1:].mean((1, 2)) if references else torch.zeros(2)
        for luma in lumas:
            self.fed[-1] += 1
            height, width = luma.shape[0] // 2, luma.shape[1] // 2
            yield Prediction(
                chroma=mean[:, None, None].expand(2, height, width).detach(),
                confidence=torch.full((height, width), 0.9),
                luma=(luma + 0.1).clamp(0, 1) if restore else None,
            )

    def weights(self) -> Iterator[torch.Tensor]:
        return iter(self.tunable_parameters())

    def tunable_parameters(self) -> list[nn.Parameter]:
        return [self.weight]

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        self.tuned_on.append(reference)
        truth = torch.zeros(3, 32, 32) + 20
        return lambda: (torch.cat([truth[:1], self.weight[:, None, None].expand(2, 32, 32)]), truth)


def task_of(film: Any, folder: Path, *references: NDArray[np.uint8], **options: Any) -> ColorizationTask:
    work = folder / "work"
    work.mkdir()
    files = []
    for number, picture in enumerate(references):
        path = folder / f"reference-{number}.png"
        write_png(path, picture)
        files.append(ReferenceFile(name=f"{number}.png", path=path))
    given = JobOptions.model_validate({"tuning": "off", "output": LOSSLESS, **options})
    return ColorizationTask(film.path, tuple(files), given, work, LIMITS)


def run(
    task: ColorizationTask, *, model: Painter | None = None, watcher: Watcher | None = None
) -> dict[str, VariantFile]:
    files = colorize_video(
        task,
        observer=watcher or Watcher(),
        device="cpu",
        weights_folder=task.folder,
        pretrained=model or Painter(),
    )
    assert {file.path for file in files} == set(task.folder.iterdir())
    return {file.name: file for file in files}


def lumas_of(path: Path) -> list[NDArray[Any]]:
    with open_video(path) as reader:
        return [frame.luma for frame in reader.frames()]


def chroma_of(path: Path) -> list[tuple[float, float]]:
    """Mean codes of Cb and Cr of every frame."""
    with av.open(str(path)) as container:
        means = []
        for frame in container.decode(video=0):
            planes = [np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size) for plane in frame.planes]
            means.append(tuple(float(plane[:, : frame.width // 2].mean()) for plane in planes[1:]))
        return means


def mean_chroma(picture: NDArray[np.uint8]) -> tuple[float, float]:
    rgb = torch.from_numpy(picture).permute(2, 0, 1) / 255
    cb, cr = (rgb_to_ycbcr(rgb, matrix="bt601")[1:].mean((1, 2)) * 224 + 128).tolist()
    return cb, cr


@pytest.mark.parametrize(
    ("width", "height", "depth"), [(96, 64, 8), (96, 64, 10), (71, 53, 8)], ids=["8 bits", "10 bits", "odd"]
)
def test_luma_stays_and_every_variant_is_there(
    make_film: Callable[..., Any], tmp_path: Path, width: int, height: int, depth: int
) -> None:
    film = make_film(width=width, height=height, depth=depth, sound=True)
    files = run(task_of(film, tmp_path, film.pictures[0]))
    assert set(files) == {"video", "comparison", "preview", "report", "report_json"}
    assert all(np.array_equal(one, two) for one, two in zip(lumas_of(files["video"].path), film.lumas, strict=True))
    with av.open(str(files["video"].path)) as container:
        assert len(container.streams.audio) == 1
        assert (container.streams.video[0].width, container.streams.video[0].height) == (width, height)


@pytest.mark.parametrize(
    ("rotation", "shape", "display"), [(0, (43, 96), [144, 64]), (90, (96, 43), [64, 144])], ids=["level", "turned"]
)
def test_pictures_of_an_anamorphic_film_have_the_shape_in_which_it_is_shown(
    make_film: Callable[..., Any], tmp_path: Path, rotation: int, shape: tuple[int, int], display: list[int]
) -> None:
    film = make_film("film.mp4", width=96, height=64, aspect=Fraction(3, 2), rotation=rotation)
    watcher = Watcher()
    files = run(task_of(film, tmp_path, film.pictures[0]), watcher=watcher)
    still = cv2.imdecode(np.frombuffer(watcher.shown[0], np.uint8), cv2.IMREAD_COLOR)
    assert still is not None
    assert still.shape[:2] == shape
    preview = read_image(files["preview"].path)
    assert preview.shape[:2] == (shape[0], 2 * shape[1])
    # Of the middle frame; a display rotation of 90 turns counterclockwise.
    upright = np.rot90(cv2.resize(film.lumas[5], (96, 43), interpolation=cv2.INTER_AREA), rotation // 90)
    assert np.abs(preview[:, : shape[1], 0] - (upright.astype(float) - 16) * 255 / 219).max() <= 2
    shown = re.findall(r"data:image/[a-z]+;base64,([^\"]+)", files["report"].path.read_text())
    pictures = [cv2.imdecode(np.frombuffer(b64decode(data), np.uint8), cv2.IMREAD_COLOR) for data in shown]
    assert [picture.shape[:2] for picture in pictures if picture is not None] == [shape] * 2
    facts = json.loads(files["report_json"].path.read_text())["video"]
    assert [facts[name] for name in ("width", "height")] == [96, 64]
    assert [facts[name] for name in ("display_width", "display_height")] == display


def test_it_is_seen_while_it_is_made(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=((1, 70), (2, 30)))
    watcher = Watcher()
    told: list[Any] = []
    learned = watcher.learned
    watcher.learned = lambda **facts: (told.append(facts), learned(**facts))  # type: ignore[method-assign, assignment]
    run(task_of(film, tmp_path, film.pictures[0], tuning="fast", variants=["video"]), watcher=watcher)
    assert {0, 34, 84, 99} <= set(watcher.shown)
    assert len(watcher.shown) <= 50
    picture = cv2.imdecode(np.frombuffer(watcher.shown[34], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (64, 96, 3)
    assert [point.frame for point in watcher.facts["confidence"]] == list(range(100))
    lengths = [len(facts["confidence"]) for facts in told if "confidence" in facts]
    assert lengths == sorted(lengths)
    assert 0 < lengths[1] < 100
    tunings = [facts["tuning"] for facts in told if "tuning" in facts]
    assert [tuning.curve[-1].step for tuning in tunings][:3] == [0, 1, 2]
    assert tunings[0].shots == [0, 1]


def test_colors_are_those_of_the_reference(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film()
    found = chroma_of(run(task_of(film, tmp_path, film.pictures[5]))["video"].path)
    assert len(found) == 12
    for frame in found:
        assert frame == pytest.approx(mean_chroma(film.pictures[5]), abs=1.5)


def test_each_shot_takes_its_own_reference(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=((1, 14), (2, 10)))
    watcher = Watcher()
    task = task_of(film, tmp_path, film.pictures[16], film.pictures[3])
    found = chroma_of(run(task, watcher=watcher)["video"].path)
    assert found[2] == pytest.approx(mean_chroma(film.pictures[3]), abs=1.5)
    assert found[20] == pytest.approx(mean_chroma(film.pictures[16]), abs=1.5)
    assert [(one.name, one.frame, one.shot) for one in watcher.facts["references"]] == [
        ("0.png", 16, 1),
        ("1.png", 3, 0),
    ]
    assert [(one.first_frame, one.last_frame, one.reference) for one in watcher.facts["shots"]] == [
        (0, 13, "1.png"),
        (14, 23, "0.png"),
    ]


def test_a_shot_without_a_reference_borrows_one_and_is_less_sure(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=((1, 14), (2, 10)))
    watcher = Watcher()
    files = run(task_of(film, tmp_path, film.pictures[0]), watcher=watcher)
    first, second = watcher.facts["shots"]
    assert first.confidence == pytest.approx(0.9)
    assert second.reference == "0.png"
    assert second.confidence < 0.5
    assert any(
        warning.startswith("Shot 2 (frames 14 to 23) has no own reference") for warning in watcher.facts["warnings"]
    )
    weakest = json.loads(files["report_json"].path.read_text())["weakest_frames"]
    assert [one["reference_would_help"] for one in weakest] == [False, True]


def test_colors_of_a_reference_at_a_frame_of_something_else_are_not_trusted(
    make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film(scenes=((1, 14), (2, 10)))
    watcher = Watcher()
    places = [{"name": "0.png", "frame": 3}, {"name": "1.png", "frame": 23}]
    task = task_of(film, tmp_path, film.pictures[20], film.pictures[23], shots="single", references=places)
    files = run(task, watcher=watcher)
    [shot] = watcher.facts["shots"]
    curve = [point["mean"] for point in json.loads(files["report_json"].path.read_text())["confidence"]]
    assert max(curve[:4]) < 0.6
    assert curve[4:20] == sorted(curve[4:20])
    assert curve[23] == pytest.approx(0.9)
    assert shot.confidence < 0.8
    assert any("placed at frame 3, but does not look like it" in warning for warning in watcher.facts["warnings"])


def test_single_and_explicit_shots_are_kept(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=((1, 14), (2, 10)))
    watcher = Watcher()
    run(task_of(film, tmp_path, film.pictures[0], shots="single"), watcher=watcher)
    assert [(one.first_frame, one.last_frame) for one in watcher.facts["shots"]] == [(0, 23)]
    (tmp_path / "again").mkdir()
    run(task_of(film, tmp_path / "again", film.pictures[0], shots=[5, 20]), watcher=watcher)
    assert [(one.first_frame, one.last_frame) for one in watcher.facts["shots"]] == [(0, 4), (5, 19), (20, 23)]


def test_progress_rises_to_one_and_phases_are_told(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=((1, 14), (2, 10)))
    watcher = Watcher()
    run(task_of(film, tmp_path, film.pictures[0], film.pictures[20], tuning="fast"), watcher=watcher)
    assert watcher.phases == [
        *("probing", "detecting_shots", "tuning", "colorizing", "tuning", "colorizing", "encoding", "publishing"),
    ]
    assert watcher.fractions == sorted(watcher.fractions)
    assert watcher.fractions[-1] == 1.0
    assert watcher.frames[-1] == 24
    assert watcher.checks > 24 + 2 * 5
    assert watcher.facts["video"].frames == 24


def test_one_set_of_references_is_tuned_once_and_the_pretrained_weights_stay(
    make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film(scenes=((1, 14), (2, 10)))
    watcher, model = Watcher(), Painter()
    run(task_of(film, tmp_path, film.pictures[0], tuning="fast"), watcher=watcher, model=model)
    first, second = watcher.facts["shots"]
    assert watcher.phases.count("tuning") == 1
    assert first.tuning == second.tuning
    assert first.tuning.gain_db > 0
    assert len(first.tuning.curve) == first.tuning.iterations + 1
    assert model.weight.tolist() == [0.0, 0.0]


def test_tuning_sees_frames_near_the_reference_in_its_shot_and_coloring_does_not(
    make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film(scenes=((1, 14), (2, 10)))
    model = Painter()
    run(task_of(film, tmp_path, film.pictures[21], film.pictures[3], tuning="fast"), model=model)
    with open_video(film.path) as reader:
        canvas = Canvas.fit(reader.info, description=model.description, working_size=None)
        lumas = [canvas.luma(frame, info=reader.info) for frame in reader.frames()]

    def frame_of(luma: Tensor) -> int:
        [frame] = [index for index, one in enumerate(lumas) if torch.equal(one, luma)]
        return frame

    seen = {frame_of(one.luma): [frame_of(luma) for luma in one.nearby] for one in model.tuned_on}
    assert seen == {3: list(range(4, 14)), 21: list(range(20, 13, -1))}
    assert {frame_of(one.luma) for one in model.colored_by} == {3, 21}
    assert all(one.nearby == () for one in model.colored_by)


@pytest.mark.parametrize(("width", "height"), [(40, 30), (2, 2), (16, 300)])
def test_a_tiny_film_is_colored_untuned_by_the_default_model(
    make_film: Callable[..., Any], tmp_path: Path, width: int, height: int
) -> None:
    film, watcher = make_film(scenes=((1, 3),), width=width, height=height), Watcher()
    task = task_of(film, tmp_path, film.pictures[1], references=[{"name": "0.png", "frame": 1}], tuning="fast")
    files = colorize_video(task, observer=watcher, device="cpu", weights_folder=tmp_path)
    assert np.array_equal(lumas_of(files[0].path)[2], film.lumas[2])
    assert any("too small to tune" in warning for warning in watcher.facts["warnings"])


def test_why_a_shot_was_not_tuned_is_a_warning(make_film: Callable[..., Any], tmp_path: Path) -> None:
    class Untaught(Painter):
        def weights(self) -> Iterator[torch.Tensor]:
            return iter(self.tunable_parameters())

        def tunable_parameters(self) -> list[nn.Parameter]:
            return []

    film, watcher = make_film(), Watcher()
    run(task_of(film, tmp_path, film.pictures[0], tuning="fast"), model=Untaught(), watcher=watcher)
    told = "Shot 1 (frames 0 to 11) was colored without tuning: the model has no weights to tune."
    assert told in watcher.facts["warnings"]


def test_shots_that_share_a_tuning_share_its_warning(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film, watcher = make_film(scenes=((1, 14), (2, 10))), Watcher()
    run(task_of(film, tmp_path, film.pictures[6], tuning="fast"), model=Rehearsing(), watcher=watcher)
    [warning] = [one for one in watcher.facts["warnings"] if "without tuning" in one]
    assert warning == (
        "Shots 1, 2 (frames 0 to 13, 14 to 23) were colored without tuning: what it learned did not help enough in a "
        "trial run on the film, so little or nothing is lost."
    )


def test_only_the_variants_asked_for_are_made(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film()
    assert set(run(task_of(film, tmp_path, film.pictures[0], variants=["preview"]))) == {"video", "preview"}


def test_every_frame_comes_as_a_picture_where_it_is_asked_for(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film()
    files = run(task_of(film, tmp_path, film.pictures[0], variants=["frames"]))
    assert files["frames"].media_type == "application/zip"
    with zipfile.ZipFile(files["frames"].path) as archive, open_video(files["video"].path) as reader:
        assert len(archive.namelist()) == reader.info.frames + 1
        for frame in reader.frames():
            bgr = cv2.imdecode(np.frombuffer(archive.read(f"frame-{frame.index:06d}.png"), np.uint8), cv2.IMREAD_COLOR)
            # Its luma is the film's: what is written is what is encoded.
            luma = bgr @ np.array([0.0722, 0.7152, 0.2126]) * 219 / 255 + 16
            assert np.abs(luma - frame.luma).mean() < 2
            assert np.ptp(bgr, axis=2).mean() > 5, "it is in color"


def test_restored_luma_is_written_where_the_model_restores(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film()
    files = run(task_of(film, tmp_path, film.pictures[0], restore=True), model=Painter(restores=True))
    change = lumas_of(files["video"].path)[3].astype(int) - film.lumas[3]
    assert np.median(change) == pytest.approx(0.1 * 219, abs=2)


def test_restoring_with_a_model_that_cannot_is_a_warning(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film, watcher = make_film(), Watcher()
    files = run(task_of(film, tmp_path, film.pictures[0], restore=True), watcher=watcher)
    assert any("does not restore" in warning for warning in watcher.facts["warnings"])
    assert np.array_equal(lumas_of(files["video"].path)[3], film.lumas[3])


@pytest.mark.parametrize(
    "when",
    [
        lambda watcher: watcher.phases == ["probing"] and len(watcher.fractions) > 5,
        lambda watcher: watcher.phases[-1:] == ["detecting_shots"] and len(watcher.fractions) > 5,
        lambda watcher: watcher.phases[-1:] == ["tuning"],
        lambda watcher: watcher.frames[-1:] == [7],
    ],
    ids=["probing", "analyzing", "tuning", "coloring"],
)
def test_a_canceled_job_leaves_nothing(
    make_film: Callable[..., Any], tmp_path: Path, when: Callable[[Watcher], bool]
) -> None:
    film = make_film()
    task = task_of(film, tmp_path, film.pictures[6], tuning="fast")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(JobCanceled):
        run(task, watcher=Watcher(stop_at=when))
    assert set(tmp_path.rglob("*")) == before


class Rehearsing(Painter):
    """Colors frames near a reference before it learns."""

    @property
    def description(self) -> ModelDescription:
        return replace(super().description, rehearses=True)


def test_a_canceled_job_stops_at_the_next_frame_that_tuning_colors(
    make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film()
    model = Rehearsing()
    task = task_of(film, tmp_path, film.pictures[6], tuning="quality")
    with pytest.raises(JobCanceled):
        run(task, model=model, watcher=Watcher(stop_at=lambda _: model.fed[-1:] == [2]))
    assert model.fed == [2]


def test_leader_stays_without_color_and_asks_for_none(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film, watcher = make_film(scenes=((1, 12), (2, 14)), black=12), Watcher()
    task = task_of(film, tmp_path, film.pictures[18], variants=["report_json"], tuning="fast")
    files = run(task, watcher=watcher)
    assert not any("reference" in warning for warning in watcher.facts["warnings"])
    report = json.loads(files["report_json"].path.read_text())
    assert [one["shot"] for one in report["next_references"]] in ([], [1])
    assert report["shots"][0]["confidence"] == 1.0
    with av.open(str(files["video"].path)) as result:
        frames = [frame.to_ndarray() for frame in result.decode(video=0)]
    height = 64
    assert (frames[3][height:] == 128).all()
    assert (frames[18][height:] != 128).any()


def test_every_frame_that_tuning_colors_is_progress(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film, watcher = make_film(), Watcher()
    reached = []

    class Observed(Rehearsing):
        def colorize(self, lumas: Iterable[Tensor], *args: Any, **options: Any) -> Iterator[Prediction]:
            def fed() -> Iterator[Tensor]:
                for luma in lumas:
                    reached.append(watcher.fractions[-1])
                    yield luma

            return super().colorize(fed(), *args, **options)

    run(task_of(film, tmp_path, film.pictures[6], tuning="quality"), model=Observed(), watcher=watcher)
    # To learn from, and there and back with both weights.
    tuning = reached[: (1 + 6) + 4 * 3]
    assert all(earlier < later for earlier, later in pairwise(tuning))
    assert len(reached) == len(tuning) + 13
    assert reached[-1] < 1.0


def test_a_video_beyond_the_limits_fails_before_any_work(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film()
    task = task_of(film, tmp_path, film.pictures[0])
    short = ColorizationTask(task.video, task.references, task.options, task.folder, Limits(10**6, 3600, 11))
    watcher = Watcher()
    with pytest.raises(VideoTooLong, match="12 frames; at most 11"):
        run(short, watcher=watcher)
    assert watcher.phases == ["probing"]


def test_bad_input_fails_with_its_own_code(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film()
    gray = np.repeat(film.pictures[0][..., :1], 3, axis=2)
    watcher = Watcher()
    with pytest.raises(ReferenceNotColor):
        run(task_of(film, tmp_path, film.pictures[0], gray), watcher=watcher)
    # Known before the long look at the video.
    assert watcher.phases == ["probing"]
    (tmp_path / "again").mkdir()
    with pytest.raises(ReferenceUnplaced):
        run(task_of(film, tmp_path / "again"))
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    task = ColorizationTask(text, (), JobOptions(), tmp_path / "work", LIMITS)
    with pytest.raises(VideoUndecodable):
        run(task)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_model_out_of_memory_fails_the_job_as_such(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film()
    with pytest.raises(OutOfMemory, match="smaller"):
        run(
            task_of(film, tmp_path, film.pictures[0]),
            model=Painter(error=model_errors.OutOfMemory("Use something smaller.")),
        )


def test_the_default_model_colors_a_moving_film_from_its_middle(make_film: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(scenes=((1, 8),), width=96, height=64, sound=True)
    task = task_of(film, tmp_path, film.pictures[4], tuning="fast", variants=["video", "report_json"])
    files = colorize_video(task, observer=Watcher(), device="cpu", weights_folder=tmp_path)
    with av.open(str(files[0].path)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]
    assert all(np.array_equal(one, two) for one, two in zip(lumas_of(files[0].path), film.lumas, strict=True))
    errors = [float(np.abs(frame - truth).mean()) for frame, truth in zip(frames, film.pictures, strict=True)]
    gray = [float(np.abs(truth - truth.mean(2, keepdims=True)).mean()) for truth in film.pictures]
    assert max(errors) < 0.25 * min(gray)
    report = json.loads(files[1].path.read_text())
    assert report["shots"][0]["tuning"]["gain_db"] >= 0
    assert report["speed"]["frames_per_second"] > 0


def test_a_reference_that_is_no_frame_colors_the_shots_that_none_looks_like(
    make_film: Callable[..., Any], tmp_path: Path
) -> None:
    film = make_film(scenes=((1, 14), (2, 10)))
    postcard = make_film("postcard.mkv", scenes=((7, 1),)).pictures[0]
    watcher = Watcher()
    places = [{"name": "1.png", "is_frame": False}]
    found = chroma_of(
        run(task_of(film, tmp_path, film.pictures[3], postcard, references=places), watcher=watcher)["video"].path
    )
    assert found[2] == pytest.approx(mean_chroma(film.pictures[3]), abs=1.5)
    assert found[20] == pytest.approx(mean_chroma(postcard), abs=1.5)
    first, second = watcher.facts["shots"]
    assert (first.reference, second.reference) == ("0.png", "1.png")
    assert second.confidence < 0.5
