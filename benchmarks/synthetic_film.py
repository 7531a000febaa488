"""Makes films of moving texture with known colors, for the other benchmarks."""

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from worker.media.stills import write_png


def write_film(path: Path, *, width: int, height: int, frames: int, rate: int = 25, sound: bool = False) -> Path:
    """Write a gray H.264 film whose texture drifts and returns, and beside it `reference.png`, its first frame in
    color; returns the path of the reference. Memory does not grow with `frames`."""
    large = _texture(width + 256, height + 128)
    reference = path.with_name("reference.png")
    write_png(reference, np.ascontiguousarray(large[64 : 64 + height, 128 : 128 + width]))
    gray = np.asarray(cv2.cvtColor(large, cv2.COLOR_RGB2GRAY), np.uint8)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        tone: Any = out.add_stream("aac", rate=48000) if sound else None
        for index in range(frames):
            x, y = 128 + round(100 * np.sin(index / 40)), 64 + round(40 * np.sin(index / 61))
            part = np.ascontiguousarray(gray[y : y + height, x : x + width])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(part, format="gray")))
            if tone is not None and index % rate == 0:
                out.mux(tone.encode(_second_of_tone(index // rate)))
        out.mux(stream.encode())
        if tone is not None:
            out.mux(tone.encode())
    return reference


def _texture(width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Clouds of color in several sizes, [height, width, 3]."""
    rng = np.random.default_rng(11)
    picture = np.zeros((height, width, 3), np.float32)
    for size, weight in ((6, 0.5), (24, 0.3), (90, 0.2)):
        coarse = rng.random((max(2, height * size // width), size, 3)).astype(np.float32)
        picture += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    return np.asarray(np.rint(picture * 255), np.uint8)


def _second_of_tone(second: int) -> av.AudioFrame:
    wave = (np.sin(np.arange(48000) * 0.05) * 8000).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts = 48000, second * 48000
    return frame
