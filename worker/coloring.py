"""From a prediction at the working size to the chroma planes of the video."""

from dataclasses import dataclass, replace

import cv2
import torch

from models.color import dequantize_luma, quantize_chroma, quantize_luma
from models.upsampling import resize_chroma, resize_luma, site_left, upsample_chroma
from worker.canvas import Canvas
from worker.media.frames import Codes, LumaFrame, VideoInfo
from worker.propagation import ColoredFrame

_GUIDED_FROM = 1.25
"""Chroma that grows by less than this is resized plainly: there are no edges to gain, and it takes a third of the
time."""


@dataclass(frozen=True, slots=True)
class FinishedFrame:
    """One frame as it is encoded."""

    frame: LumaFrame
    """As decoded."""
    restored: Codes | None
    """[H, W]: another luma, from models that restore and were asked to."""
    chroma: Codes
    """[2, h, w]: Cb and Cr in the source's bit depth and range."""
    confidence: float
    """Mean over the frame, 0 to 1."""

    @property
    def result(self) -> LumaFrame:
        """The frame with the luma that is encoded."""
        return self.frame if self.restored is None else replace(self.frame, luma=self.restored)


@dataclass(frozen=True, slots=True)
class Finisher:
    """Brings predictions to the video's size and codes."""

    info: VideoInfo
    canvas: Canvas
    chroma_size: tuple[int, int]
    """Height and width of the output's chroma planes."""

    def finish(self, colored: ColoredFrame, *, most_confidence: float = 1.0) -> FinishedFrame:
        """The frame with chroma planes; `most_confidence` is what the frame's confidence is at most."""
        prediction = colored.prediction
        with torch.inference_mode():
            codes = quantize_chroma(
                self._chroma(colored), bit_depth=self.info.bit_depth, full_range=self.info.full_range
            )
            confidence = min(float(self.canvas.crop(prediction.confidence).mean()), most_confidence)
            return FinishedFrame(
                frame=colored.frame,
                restored=None if prediction.luma is None else self._restored(colored.frame, prediction.luma),
                chroma=codes.cpu().numpy(),
                confidence=confidence,
            )

    def _chroma(self, colored: ColoredFrame) -> torch.Tensor:
        chroma = self.canvas.crop(colored.prediction.chroma).to(torch.float32).cpu()
        height, width = self.chroma_size
        growth = max(height / chroma.shape[-2], width / chroma.shape[-1])
        if growth < _GUIDED_FROM:
            # A sample more or less of an odd size is no reason to move the picture.
            plain = chroma if tuple(chroma.shape[-2:]) == self.chroma_size else resize_chroma(chroma, self.chroma_size)
        else:
            plain = self._guided(chroma, colored.frame)
        if 2 * width <= self.info.width + 1:
            # 4:2:0 and 4:2:2 of H.264, FFV1 and ProRes stand on the left luma sample unless tagged otherwise.
            plain = site_left(plain)
        return plain

    def _guided(self, chroma: torch.Tensor, frame: LumaFrame) -> torch.Tensor:
        high = self._luma(frame.luma, self.chroma_size)
        low = self._luma(frame.luma, (chroma.shape[-2], chroma.shape[-1]))
        return upsample_chroma(chroma, luma_low=low, luma_high=high)

    def _luma(self, codes: Codes, size: tuple[int, int]) -> torch.Tensor:
        small = cv2.resize(codes, (size[1], size[0]), interpolation=cv2.INTER_AREA) if codes.shape != size else codes
        depth, full_range = self.info.bit_depth, self.info.full_range
        return dequantize_luma(torch.from_numpy(small), bit_depth=depth, full_range=full_range)

    def _restored(self, frame: LumaFrame, restored: torch.Tensor) -> Codes:
        """What restoration changed at the working size, added to the frame's luma; its finest detail stays."""
        depth, full_range = self.info.bit_depth, self.info.full_range
        luma = dequantize_luma(torch.from_numpy(frame.luma), bit_depth=depth, full_range=full_range)
        fed = self.canvas.luma(frame, info=self.info)
        change = restored_change(self.canvas, fed=fed, restored=restored, like=luma)
        codes: Codes = quantize_luma(luma + change, bit_depth=depth, full_range=full_range).numpy()
        return codes


def restored_change(canvas: Canvas, *, fed: torch.Tensor, restored: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What restoration made of the luma `fed`, both at the working size, at the size of the video's luma `like`."""
    return resize_luma(canvas.crop(restored.cpu()) - canvas.crop(fed), (like.shape[0], like.shape[1]))
