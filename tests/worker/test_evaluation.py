"""Evaluation: which clips are found, what is measured, and what is left out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Self

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from jobs.errors import ClipUnusable, VideoUndecodable
from jobs.options import TuningOptions
from models.base import Example, Matrix, ModelDescription, Prediction, Reference
from models.color import rgb_to_ycbcr
from worker.canvas import Canvas
from worker.clip_search import Clip, find_clips
from worker.evaluation import EvaluationSettings, evaluate_clip, frames_fed, reference_frames
from worker.evaluation_clips import LumaOfColors, open_clip
from worker.evaluation_results import mean_gains_db

HEIGHT, WIDTH, COUNT = 32, 48, 5
OFF = EvaluationSettings(tuning=TuningOptions(iterations=0))
Picture = NDArray[np.uint8]


def picture(index: int, *, height: int = HEIGHT, width: int = WIDTH) -> Picture:
    """Smooth colors that get a little redder with every frame."""
    rows, columns = np.mgrid[0:height, 0:width]
    red = 80 + 12 * index + rows
    return np.stack([red, 60 + columns * 2, 150 - rows * 2], axis=-1).clip(0, 255).astype(np.uint8)


def write_pictures(folder: Path, *, count: int = COUNT, height: int = HEIGHT, width: int = WIDTH) -> Path:
    folder.mkdir(parents=True)
    for index in range(count):
        write_picture(folder / f"{index:03}.png", picture(index, height=height, width=width))
    return folder


def write_picture(path: Path, rgb: Picture) -> None:
    assert cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def write_video(path: Path, pictures: Sequence[Picture], *, codec: str, pix_fmt: str, key_every: int = 12) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.gop_size = key_every  # type: ignore[attr-defined]
        stream.width, stream.height, stream.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], pix_fmt  # type: ignore[attr-defined]
        for rgb in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)))  # type: ignore[attr-defined]
        container.mux(stream.encode())  # type: ignore[attr-defined]


def write_gray(path: Path, *, count: int = COUNT) -> None:
    pictures = [picture(i) for i in range(count)]
    write_video(path, pictures, codec="ffv1", pix_fmt="gray")


DESCRIPTION = ModelDescription(
    name="still",
    title="",
    license="",
    source="",
    size_multiple=8,
    working_size=480,
    restores=False,
    propagates=True,
    references_must_be_frames=False,
    learning_rate=0.01,
)


class Still:
    """Repeats the first reference's chroma; tuning learns one offset on it."""

    def __init__(self) -> None:
        self.offset = nn.Parameter(torch.zeros(2, 1, 1))
        self.passes: list[tuple[Reference, ...]] = []
        self.learned: list[Reference] = []

    @property
    def description(self) -> ModelDescription:
        return DESCRIPTION

    def clone(self) -> Self:
        copy = type(self)()
        copy.passes, copy.learned = self.passes, self.learned
        return copy

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        self.passes.append(tuple(references))
        chroma = rgb_to_ycbcr(references[0].rgb, matrix=matrix)[1:]
        for luma in lumas:
            assert luma.shape == references[0].luma.shape
            yield Prediction(chroma=chroma + self.offset.detach(), confidence=torch.ones_like(luma))

    def weights(self) -> Iterator[torch.Tensor]:
        return iter(self.tunable_parameters())

    def tunable_parameters(self) -> list[nn.Parameter]:
        return [self.offset]

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        """Asks for ab ten higher than it is; with any seed but 0 for ten lower, which is measured to be worse."""
        self.learned.append(reference)
        wanted = 10.0 if variation < 1_000_000 else -10.0

        def ask() -> tuple[Tensor, Tensor]:
            lightness = torch.full((1, *reference.luma.shape), 50.0)
            ab = self.offset.expand(2, *reference.luma.shape)
            return torch.cat([lightness, ab]), torch.cat([lightness, torch.full_like(ab, wanted)])

        return ask


def blue(picture: Picture) -> Picture:
    """Red and blue changed over."""
    return np.ascontiguousarray(picture[..., ::-1])


def test_a_folder_of_frames_is_measured_against_itself(tmp_path: Path) -> None:
    (clip,) = find_clips([write_pictures(tmp_path / "frames")], source=None)
    result = evaluate_clip(clip, Still(), settings=OFF)
    assert result.clip == "frames"
    assert result.frames == COUNT - 1
    assert result.tuned is None
    assert 20 < result.untuned.rgb_psnr_db < 60
    assert result.untuned.seconds_per_frame >= 0
    assert result.peak_memory_megabytes > 10


def test_the_reference_does_not_count(tmp_path: Path) -> None:
    """Its own frame is all but perfect, so that a mean with it would be higher."""
    (clip,) = find_clips([write_pictures(tmp_path / "frames")], source=None)
    two = evaluate_clip(clip, Still(), settings=EvaluationSettings(tuning=OFF.tuning, frames=2))
    three = evaluate_clip(clip, Still(), settings=EvaluationSettings(tuning=OFF.tuning, frames=3))
    assert (two.frames, three.frames) == (1, 2)
    assert three.untuned.rgb_psnr_db < two.untuned.rgb_psnr_db < 60


def test_the_right_chroma_scores_high_and_the_wrong_low(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "frames", count=1)
    write_picture(folder / "001.png", picture(0))
    right = evaluate_clip(find_clips([folder], source=None)[0], Still(), settings=OFF).untuned
    write_picture(folder / "001.png", picture(0)[..., ::-1].copy())
    wrong = evaluate_clip(find_clips([folder], source=None)[0], Still(), settings=OFF).untuned
    assert right.rgb_psnr_db > 45 > 30 > wrong.rgb_psnr_db
    assert right.ciede2000 < 1 < wrong.ciede2000
    assert right.ssim > wrong.ssim
    assert right.ab_psnr_db > wrong.ab_psnr_db
    assert right.cdc < 0.01


def test_a_color_video_is_a_clip(tmp_path: Path) -> None:
    write_video(tmp_path / "film.mkv", [picture(i) for i in range(COUNT)], codec="ffv1", pix_fmt="bgr0")
    (clip,) = find_clips([tmp_path / "film.mkv"], source=None)
    with open_clip(clip, frames=None) as opened:
        assert opened.frames == COUNT
        assert np.array_equal(list(opened.truth.pictures(0, COUNT - 1))[2], picture(2))
        assert np.array_equal(next(opened.truth.pictures(3, 3)), picture(3))
    assert evaluate_clip(clip, Still(), settings=OFF).frames == COUNT - 1


def test_a_folder_with_truth_uses_its_own_monochrome_video_unless_told_otherwise(tmp_path: Path) -> None:
    clip_folder = tmp_path / "clips" / "one"
    write_pictures(clip_folder / "truth")
    write_gray(clip_folder / "gray.mkv")
    write_picture(clip_folder / "reference.png", picture(0))
    (own,) = find_clips([tmp_path / "clips"], source=None)
    (true,) = find_clips([tmp_path / "clips"], source="luma")
    assert own == Clip("one", clip_folder / "truth", clip_folder / "gray.mkv", clip_folder / "reference.png")
    assert true.mono is None
    assert evaluate_clip(own, Still(), settings=OFF).frames == COUNT - 1
    assert evaluate_clip(true, Still(), settings=OFF).frames == COUNT - 1


def test_folders_of_folders_hold_clips_of_every_kind(tmp_path: Path) -> None:
    write_pictures(tmp_path / "all" / "a")
    write_pictures(tmp_path / "all" / "b" / "truth")
    write_video(tmp_path / "all" / "c.mkv", [picture(0)], codec="ffv1", pix_fmt="bgr0")
    assert [clip.name for clip in find_clips([tmp_path / "all"], source=None)] == ["a", "b", "c"]


def test_what_is_no_clip_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClipUnusable, match="holds no clip"):
        find_clips([tmp_path / "empty"], source=None)
    with pytest.raises(ClipUnusable, match="is no clip"):
        find_clips([tmp_path / "absent"], source=None)
    broken = write_pictures(tmp_path / "broken", count=3)
    (broken / "001.png").write_bytes(b"")
    with pytest.raises(ClipUnusable, match=r"001\.png cannot be read as a picture"):
        evaluate_clip(find_clips([broken], source=None)[0], Still(), settings=OFF)
    gray = write_pictures(tmp_path / "gray", count=3)
    for path in gray.iterdir():
        write_picture(path, np.repeat(picture(0)[..., :1], 3, axis=2))
    with pytest.raises(ClipUnusable, match="gray has no colors to compare with: its frame 0 is gray"):
        evaluate_clip(find_clips([gray], source=None)[0], Still(), settings=OFF)
    folder = write_pictures(tmp_path / "frames", count=1)
    with pytest.raises(ClipUnusable, match="--input"):
        find_clips([folder], source="gray")
    with pytest.raises(ClipUnusable, match="too short"):
        evaluate_clip(find_clips([folder], source=None)[0], Still(), settings=OFF)


def test_a_monochrome_video_that_ends_early_is_an_error(tmp_path: Path) -> None:
    write_pictures(tmp_path / "one" / "truth")
    write_gray(tmp_path / "one" / "gray.mkv", count=COUNT - 2)
    (clip,) = find_clips([tmp_path / "one"], source=None)
    with pytest.raises(VideoUndecodable, match="ends at frame 3"):
        evaluate_clip(clip, Still(), settings=OFF)
    short = EvaluationSettings(tuning=OFF.tuning, frames=COUNT - 2)
    assert evaluate_clip(clip, Still(), settings=short).frames == COUNT - 3


def test_frames_of_different_sizes_are_an_error(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "frames", count=2)
    write_picture(folder / "002.png", picture(2, height=HEIGHT + 8))
    with pytest.raises(VideoUndecodable, match="48x40 for monochrome frames of 48x32"):
        evaluate_clip(find_clips([folder], source=None)[0], Still(), settings=OFF)


def test_odd_sizes_are_measured_at_their_own_size(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "odd", height=37, width=51)
    result = evaluate_clip(find_clips([folder], source=None)[0], Still(), settings=OFF)
    assert result.untuned.rgb_psnr_db > 20


def test_references_are_spread_from_the_first_frame_to_the_last(tmp_path: Path) -> None:
    def settings(references: int) -> EvaluationSettings:
        return replace(OFF, references=references)

    (clip,) = find_clips([write_pictures(tmp_path / "frames", count=8)], source=None)
    with open_clip(clip, frames=None) as opened:
        assert reference_frames(opened, settings=settings(1)) == (0,)
        assert reference_frames(opened, settings=settings(2)) == (0, 7)
        assert reference_frames(opened, settings=settings(3)) == (0, 4, 7)
        assert reference_frames(opened, settings=settings(7)) == (0, 1, 2, 4, 5, 6, 7)
        with pytest.raises(ClipUnusable, match="fewer references"):
            reference_frames(opened, settings=settings(8))
    with open_clip(clip, frames=5) as opened:
        assert reference_frames(opened, settings=settings(2)) == (0, 4)


@pytest.mark.parametrize(("count", "frames"), [(1, (4,)), (2, (1, 6)), (3, (1, 4, 7))])
def test_the_keyframes_may_be_the_references(tmp_path: Path, count: int, frames: tuple[int, ...]) -> None:
    (clip,) = find_clips([write_pictures(tmp_path / "frames", count=9)], source=None)
    result = evaluate_clip(clip, Still(), settings=replace(OFF, keyframes=True, references=count))
    assert result.references == frames
    assert result.frames == 9 - count


def test_two_references_color_from_both_ends_and_do_not_count(tmp_path: Path) -> None:
    """The colors drift, so that those of the last frame help more, the nearer a frame is to it."""
    (clip,) = find_clips([write_pictures(tmp_path / "frames")], source=None)
    one = evaluate_clip(clip, Still(), settings=OFF)
    model = Still()
    two = evaluate_clip(clip, model, settings=EvaluationSettings(tuning=OFF.tuning, references=2))
    assert (one.references, one.frames) == ((0,), COUNT - 1)
    assert (two.references, two.frames) == ((0, COUNT - 1), COUNT - 2)
    assert two.untuned.rgb_psnr_db > one.untuned.rgb_psnr_db + 3
    # Backward from the last, forward from the first, and the last by itself.
    assert [passed[0].is_frame for passed in model.passes] == [True, True, True]
    last, first, _ = (passed[0] for passed in model.passes)
    assert torch.allclose(last.rgb, torch.from_numpy(picture(COUNT - 1)).permute(2, 0, 1) / 255)
    assert torch.allclose(first.rgb, torch.from_numpy(picture(0)).permute(2, 0, 1) / 255)


def test_a_clips_own_reference_is_the_first_and_the_truth_gives_the_others(tmp_path: Path) -> None:
    write_pictures(tmp_path / "one" / "truth")
    write_picture(tmp_path / "one" / "reference.png", blue(picture(0)))
    model = Still()
    evaluate_clip(
        find_clips([tmp_path / "one"], source=None)[0],
        model,
        settings=EvaluationSettings(tuning=OFF.tuning, references=2),
    )
    last, first, _ = (passed[0] for passed in model.passes)
    assert torch.allclose(last.rgb, torch.from_numpy(picture(COUNT - 1)).permute(2, 0, 1) / 255)
    assert torch.allclose(first.rgb, torch.from_numpy(blue(picture(0))).permute(2, 0, 1) / 255)


@pytest.mark.parametrize(("kind", "count"), [("folder", COUNT), ("video", 120)])
def test_color_pictures_are_read_from_anywhere_and_backward(tmp_path: Path, kind: str, count: int) -> None:
    """The video is long enough that frames are sought, and has B-frames."""
    if kind == "folder":
        path = write_pictures(tmp_path / "frames")
    else:
        path = tmp_path / "film.mkv"
        write_video(
            path, [picture(i % 16) + np.uint8(i // 16) for i in range(count)], codec="libx264", pix_fmt="yuv444p"
        )
    (clip,) = find_clips([path], source=None)
    with open_clip(clip, frames=None) as opened:
        pictures = list(opened.truth.pictures(0, count - 1))
        assert len(pictures) == count
        assert all((before != after).any() for before, after in pairwise(pictures))
        for first in (1, count // 2, count - 2):
            assert np.array_equal(np.stack(list(opened.truth.pictures(first, count - 1))), np.stack(pictures[first:]))
        assert isinstance(opened.mono, LumaOfColors)
        forward = list(opened.mono.frames(1, count - 2))
        backward = list(opened.mono.reversed_frames(1, count - 2))
    assert [frame.index for frame in backward] == list(range(count - 2, 0, -1))
    assert all(np.array_equal(a.luma, b.luma) for a, b in zip(forward, reversed(backward), strict=True))


def test_a_video_is_colored_from_both_ends_too(tmp_path: Path) -> None:
    write_video(tmp_path / "film.mkv", [picture(i) for i in range(COUNT)], codec="ffv1", pix_fmt="bgr0")
    write_pictures(tmp_path / "frames")
    settings = EvaluationSettings(tuning=OFF.tuning, references=3)
    video, folder = (
        evaluate_clip(find_clips([tmp_path / name], source=None)[0], Still(), settings=settings)
        for name in ("film.mkv", "frames")
    )
    assert video.references == folder.references == (0, 2, 4)
    assert video.untuned.rgb_psnr_db == folder.untuned.rgb_psnr_db


def test_tuned_stands_beside_untuned_and_the_model_stays_as_it_was(tmp_path: Path) -> None:
    (clip,) = find_clips([write_pictures(tmp_path / "frames")], source=None)
    settings = EvaluationSettings(tuning=TuningOptions(iterations=3, learning_rate=0.01))
    model = Still()
    result = evaluate_clip(clip, model, settings=settings)
    (seed,) = result.seeds
    assert seed.tuning.gain_db > 0
    assert seed.tuning.iterations == 3
    assert not model.offset.any()
    assert result.tuned == seed.scores
    assert result.tuned.rgb_psnr_db != result.untuned.rgb_psnr_db
    assert result.gains_db == [result.tuned.rgb_psnr_db - result.untuned.rgb_psnr_db]


def test_tuning_is_repeated_with_every_seed(tmp_path: Path) -> None:
    """With seed 1 the model finds nothing better, so that it stays untuned."""
    (clip,) = find_clips([write_pictures(tmp_path / "frames", count=3)], source=None)
    tuning = TuningOptions(iterations=3, learning_rate=0.01)
    once = evaluate_clip(clip, Still(), settings=EvaluationSettings(tuning=tuning))
    thrice = evaluate_clip(clip, Still(), settings=EvaluationSettings(tuning=tuning, seeds=3))
    assert [seed.seed for seed in thrice.seeds] == [0, 1, 2]
    assert once.gains_db[0] != 0
    assert thrice.gains_db == [once.gains_db[0], 0, 0]
    assert thrice.tuned is not None
    assert thrice.tuned.rgb_psnr_db == pytest.approx(thrice.untuned.rgb_psnr_db + once.gains_db[0] / 3)
    assert mean_gains_db([thrice, thrice]) == thrice.gains_db


def test_tuning_learns_every_reference_with_the_frames_around_it(tmp_path: Path) -> None:
    count = 12
    (clip,) = find_clips([write_pictures(tmp_path / "frames", count=count)], source=None)
    model = Still()
    settings = EvaluationSettings(tuning=TuningOptions(iterations=2), references=2)
    evaluate_clip(clip, model, settings=settings)
    with open_clip(clip, frames=None) as opened:
        canvas = Canvas.fit(opened.info, description=DESCRIPTION, working_size=None)
        lumas = [canvas.luma(frame, info=opened.info) for frame in opened.mono.frames()]
    for reference, own, nearby in ((model.learned[0], 0, range(1, 12)), (model.learned[2], 11, range(10, -1, -1))):
        assert torch.equal(reference.luma, lumas[own])
        assert len(reference.nearby) == len(nearby)
        assert all(torch.equal(luma, lumas[index]) for luma, index in zip(reference.nearby, nearby, strict=True))


@pytest.mark.parametrize("references", [1, 2, 3])
def test_how_many_frames_are_fed_is_known_ahead(tmp_path: Path, references: int) -> None:
    (clip,) = find_clips([write_pictures(tmp_path / "frames")], source=None)
    settings = EvaluationSettings(tuning=TuningOptions(iterations=1), frames=4, references=references, seeds=2)
    fed = []
    evaluate_clip(clip, Still(), settings=settings, on_frame=lambda: fed.append(1))
    assert len(fed) == frames_fed(clip, DESCRIPTION, settings=settings)
    assert len(fed) >= 3 * 4
