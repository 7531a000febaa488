from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from jobs.errors import PictureUndecodable, StrokesUnusable
from jobs.options import ColoringOptions
from tests.worker.test_pipeline import Watcher
from worker.media.stills import read_image, write_png
from worker.stroke_coloring import StrokesTask, color_picture


def task(folder: Path, picture: Any, strokes: Any) -> StrokesTask:
    write_png(folder / "gray", np.repeat(picture[..., None], 3, axis=2).astype(np.uint8))
    (folder / "strokes").write_bytes(cv2.imencode(".png", strokes)[1].tobytes())
    work = folder / "work"
    work.mkdir()
    return StrokesTask(folder / "gray", folder / "strokes", options=ColoringOptions(), folder=work)


def halves() -> Any:
    """Dark on the left, bright on the right."""
    picture = np.full((60, 100), 90, np.uint8)
    picture[:, 50:] = 170
    return picture


def test_strokes_color_what_they_are_painted_on_and_luma_stays(tmp_path: Path) -> None:
    strokes = np.zeros((60, 100, 4), np.uint8)
    strokes[25:35, 10:20] = (40, 60, 200, 255)  # B, G, R, alpha: red
    strokes[25:35, 80:90] = (200, 90, 40, 255)
    strokes[25:35, 45:47] = (0, 255, 0, 60)  # the soft rim of a brush
    file = color_picture(task(tmp_path, halves(), strokes), observer=Watcher())
    assert (file.name, file.media_type) == ("picture", "image/png")
    found = read_image(file.path).astype(float)
    assert (found[:, :47, 0] - found[:, :47, 2]).min() > 60
    assert (found[:, 53:, 2] - found[:, 53:, 0]).min() > 60
    luma = found @ [0.299, 0.587, 0.114]
    assert np.abs(luma - halves()).max() < 1.5


def test_strokes_of_another_size_are_brought_to_the_pictures(tmp_path: Path) -> None:
    strokes = np.zeros((30, 50, 4), np.uint8)
    strokes[12:18, 5:45] = (40, 60, 200, 255)
    found = read_image(color_picture(task(tmp_path, halves(), strokes), observer=Watcher()).path)
    assert found.shape == (60, 100, 3)
    assert (found[..., 0].astype(int) - found[..., 2]).min() > 60


@pytest.mark.parametrize(
    ("strokes", "said"),
    [
        (np.zeros((60, 100, 4), np.uint8), "Nothing is painted"),
        (np.zeros((60, 100, 3), np.uint8), "with transparency"),
        (np.full((30, 100, 4), 255, np.uint8), "strokes are 100x30, the picture is 100x60: another shape"),
    ],
)
def test_what_is_no_stroke_is_said(tmp_path: Path, strokes: Any, said: str) -> None:
    with pytest.raises(StrokesUnusable, match=said):
        color_picture(task(tmp_path, halves(), strokes), observer=Watcher())


def test_what_is_no_picture_is_said(tmp_path: Path) -> None:
    made = task(tmp_path, halves(), np.zeros((60, 100, 4), np.uint8))
    made.picture.write_bytes(b"no picture")
    with pytest.raises(PictureUndecodable, match="The picture to color"):
        color_picture(made, observer=Watcher())
