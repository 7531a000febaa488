"""Evaluation: which clips are found, what is measured, and what is left out."""

import json
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cli.evaluate import parse_input, parse_tuning, report_of, table_of
from jobs.errors import InvalidRequest, VideoUndecodable
from jobs.options import TuningOptions
from models.base import Matrix, ModelDescription, Prediction, Reference
from models.color import rgb_to_ycbcr
from models.retint.colorizer import DESCRIPTION
from worker.evaluation import EvaluationSettings, evaluate_clip
from worker.evaluation_clips import Clip, find_clips, read_frames

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


def write_video(path: Path, pictures: Sequence[Picture], *, codec: str, pix_fmt: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], pix_fmt  # type: ignore[attr-defined]
        for rgb in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)))  # type: ignore[attr-defined]
        container.mux(stream.encode())  # type: ignore[attr-defined]


def write_gray(path: Path, *, count: int = COUNT) -> None:
    pictures = [picture(i) for i in range(count)]
    write_video(path, pictures, codec="ffv1", pix_fmt="gray")


class Still:
    """Repeats the reference's chroma; tuning learns one offset on it."""

    def __init__(self) -> None:
        self.offset = nn.Parameter(torch.zeros(2, 1, 1))
        self.waiting = 0
        self.most_waiting = 0

    @property
    def description(self) -> ModelDescription:
        return DESCRIPTION

    def clone(self) -> Self:
        return type(self)()

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        chroma = rgb_to_ycbcr(references[0].rgb, matrix=matrix)[1:]
        for luma in lumas:
            assert luma.shape == references[0].luma.shape
            yield Prediction(chroma=chroma + self.offset.detach(), confidence=torch.ones_like(luma))

    def tunable_parameters(self) -> list[nn.Parameter]:
        return [self.offset]

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> tuple[Tensor, Tensor]:
        """Asks for ab ten higher than it is, so that tuning has something to learn."""
        lightness = torch.full((1, *reference.luma.shape), 50.0)
        ab = self.offset.expand(2, *reference.luma.shape)
        return torch.cat([lightness, ab]), torch.cat([lightness, torch.full_like(ab, 10.0)])


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
    frames = list(read_frames(clip, frames=None))
    assert len(frames) == COUNT
    assert np.array_equal(frames[2].truth, picture(2))
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
    with pytest.raises(InvalidRequest, match="holds no clip"):
        find_clips([tmp_path / "empty"], source=None)
    with pytest.raises(InvalidRequest, match="is no clip"):
        find_clips([tmp_path / "absent"], source=None)
    folder = write_pictures(tmp_path / "frames", count=1)
    with pytest.raises(InvalidRequest, match="--input"):
        find_clips([folder], source="gray")
    with pytest.raises(InvalidRequest, match="one frame"):
        evaluate_clip(find_clips([folder], source=None)[0], Still(), settings=OFF)


def test_a_monochrome_video_that_ends_early_is_an_error(tmp_path: Path) -> None:
    write_pictures(tmp_path / "one" / "truth")
    write_gray(tmp_path / "one" / "gray.mkv", count=COUNT - 2)
    (clip,) = find_clips([tmp_path / "one"], source=None)
    with pytest.raises(VideoUndecodable, match="ends at frame 3"):
        evaluate_clip(clip, Still(), settings=OFF)


def test_odd_sizes_are_measured_at_their_own_size(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "odd", height=37, width=51)
    result = evaluate_clip(find_clips([folder], source=None)[0], Still(), settings=OFF)
    assert result.untuned.rgb_psnr_db > 20


def test_tuned_stands_beside_untuned_and_the_model_stays_as_it_was(tmp_path: Path) -> None:
    (clip,) = find_clips([write_pictures(tmp_path / "frames")], source=None)
    settings = EvaluationSettings(tuning=TuningOptions(iterations=3, learning_rate=0.01))
    model = Still()
    seen = []
    result = evaluate_clip(clip, model, settings=settings, on_frame=lambda: seen.append(1))
    assert result.tuned is not None
    assert result.tuning is not None
    assert result.tuning.gain_db > 0
    assert result.tuning.iterations == 3
    assert not model.offset.any()
    assert result.tuned.rgb_psnr_db != result.untuned.rgb_psnr_db
    assert len(seen) == 2 * COUNT


def test_the_report_holds_clips_means_and_settings(tmp_path: Path) -> None:
    (clip,) = find_clips([write_pictures(tmp_path / "frames", count=3)], source=None)
    settings = EvaluationSettings(tuning=TuningOptions(iterations=2, learning_rate=0.01))
    results = [evaluate_clip(clip, Still(), settings=settings) for _ in range(2)]
    report = json.loads(json.dumps(report_of(results, {"seed": 0})))
    assert report["settings"] == {"seed": 0}
    assert len(report["clips"]) == 2
    assert report["mean"]["tuned"]["rgb_psnr_db"] == pytest.approx(report["clips"][0]["tuned"]["rgb_psnr_db"])
    assert table_of(results).row_count == 6
    assert table_of([evaluate_clip(clip, Still(), settings=OFF)]).row_count == 2


def test_words_on_the_command_line_are_understood_or_refused() -> None:
    assert parse_tuning("off").iterations == 0
    assert parse_tuning("quality").iterations == 20
    assert parse_tuning("7").iterations == 7
    with pytest.raises(InvalidRequest, match="tuning"):
        parse_tuning("much")
    assert parse_input("gray") == "gray"
    assert parse_input(None) is None
    with pytest.raises(InvalidRequest, match="input"):
        parse_input("color")
