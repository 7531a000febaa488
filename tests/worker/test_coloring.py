"""Frames go to the model's size and their color comes back to the video's, whatever the sizes."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import ModelDescription, Prediction
from worker.canvas import Canvas
from worker.coloring import Finisher
from worker.media.frames import LumaFrame, VideoInfo
from worker.propagation import ColoredFrame


def facts(width: int, height: int, **changed: Any) -> VideoInfo:
    known: dict[str, Any] = {
        "frames": 1,
        "duration_seconds": 0.04,
        "frame_rate": Fraction(25),
        "codec": "h264",
        "pixel_format": "yuv420p",
        "bit_depth": 8,
        "full_range": False,
        "matrix": "bt601",
        "has_audio": False,
    }
    return VideoInfo(width=width, height=height, **{**known, **changed})


def description(multiple: int, working_size: int = 64) -> ModelDescription:
    return ModelDescription(
        name="",
        title="",
        license="",
        source="",
        size_multiple=multiple,
        working_size=working_size,
        restores=False,
        propagates=True,
        references_must_be_frames=False,
        learning_rate=1,
    )


def frame_of(info: VideoInfo, code: int | None = None) -> LumaFrame:
    kind = np.uint8 if info.bit_depth == 8 else np.uint16
    luma = np.random.default_rng(2).integers(16, 235, (info.height, info.width)).astype(kind)
    if code is not None:
        luma[:] = code
    return LumaFrame(index=0, pts=0, time_base=Fraction(1, 25), luma=luma)


sides = st.integers(2, 200)


@settings(max_examples=60)
@given(width=sides, height=sides, multiple=st.sampled_from([1, 8, 16]), working_size=st.integers(16, 150))
def test_frames_fit_the_model_and_are_never_enlarged(width: int, height: int, multiple: int, working_size: int) -> None:
    info = facts(width, height)
    canvas = Canvas.fit(info, description=description(multiple), working_size=working_size)
    luma = canvas.luma(frame_of(info), info=info)
    assert tuple(luma.shape) == (canvas.padded_height, canvas.padded_width)
    assert canvas.padded_height % multiple == canvas.padded_width % multiple == 0
    assert canvas.height <= height
    assert canvas.width <= width
    assert min(canvas.height, canvas.width) <= working_size
    assert canvas.padded_height - canvas.height < multiple
    rgb = canvas.rgb(np.full((height + 3, width, 3), 80, np.uint8))
    assert tuple(rgb.shape) == (3, canvas.padded_height, canvas.padded_width)
    assert tuple(canvas.crop(luma).shape) == (canvas.height, canvas.width)


@settings(max_examples=60)
@given(
    width=sides,
    height=sides,
    subsampling=st.sampled_from([(2, 2), (1, 2), (1, 1)]),
    half=st.booleans(),
    depth=st.sampled_from([8, 10]),
)
def test_one_color_stays_that_color_at_every_size(
    width: int, height: int, subsampling: tuple[int, int], half: bool, depth: int
) -> None:
    info = facts(width, height, bit_depth=depth)
    canvas = Canvas.fit(info, description=description(8), working_size=None)
    size = -(-height // subsampling[0]), -(-width // subsampling[1])
    scale = 2 if half else 1
    predicted = (canvas.padded_height // scale, canvas.padded_width // scale)
    chroma = torch.stack([torch.full(predicted, 0.25), torch.full(predicted, -0.125)])
    finished = Finisher(info=info, canvas=canvas, chroma_size=size).finish(
        ColoredFrame(frame_of(info), Prediction(chroma=chroma, confidence=torch.full(predicted, 0.7)))
    )
    assert finished.chroma.shape == (2, *size)
    step = 2 ** (depth - 8)
    assert (np.abs(finished.chroma[0].astype(int) - 184 * step) <= 1).all()
    assert (np.abs(finished.chroma[1].astype(int) - 100 * step) <= 1).all()
    assert finished.confidence == pytest.approx(0.7, abs=1e-5)
    assert finished.result is finished.frame


def test_confidence_is_held_down_where_it_is_to_be() -> None:
    info = facts(32, 32)
    canvas = Canvas.fit(info, description=description(8), working_size=None)
    prediction = Prediction(chroma=torch.zeros(2, 16, 16), confidence=torch.ones(16, 16))
    finisher = Finisher(info=info, canvas=canvas, chroma_size=(16, 16))
    assert finisher.finish(ColoredFrame(frame_of(info), prediction), most_confidence=0.3).confidence == 0.3


def test_restoration_adds_its_change_and_keeps_the_finest_detail() -> None:
    info = facts(128, 128)
    canvas = Canvas.fit(info, description=description(8), working_size=32)
    frame = frame_of(info)
    brighter = canvas.luma(frame, info=info) + 10 / 219
    prediction = Prediction(chroma=torch.zeros(2, 16, 16), confidence=torch.ones(16, 16), luma=brighter)
    finished = Finisher(info=info, canvas=canvas, chroma_size=(64, 64)).finish(ColoredFrame(frame, prediction))
    assert (np.abs(finished.result.luma.astype(int) - frame.luma - 10) <= 1).all()
    assert finished.frame is frame


def test_edges_of_color_follow_the_luma_where_chroma_grows() -> None:
    info = facts(64, 64)
    canvas = Canvas.fit(info, description=description(8), working_size=None)
    frame = frame_of(info, 60)
    frame.luma[:, 27:] = 180
    low = torch.zeros(2, 16, 16)
    # The low sample that the edge runs through has a share of each side.
    low[:, :, 6], low[:, :, 7:] = 0.25 * 0.3, 0.3
    prediction = Prediction(chroma=low, confidence=torch.ones(16, 16))
    chroma = Finisher(info=info, canvas=canvas, chroma_size=(64, 64)).finish(ColoredFrame(frame, prediction)).chroma
    left, right = chroma[0, 32, 24:27].astype(int), chroma[0, 32, 27:30].astype(int)
    assert right.min() - left.max() > 0.6 * 0.3 * 224
