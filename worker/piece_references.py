"""References as a piece of a film needs them: at working size, with the luma that each one colors."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import Tensor

from models.base import Reference
from worker.canvas import Canvas
from worker.film import Film
from worker.likeness import luma_tensor
from worker.media.decode import VideoReader
from worker.media.stills import read_image
from worker.nearby import nearby_frames, read_together
from worker.plan import shot_at


class PieceReferences:
    def __init__(self, film: Film, canvas: Canvas, reader: VideoReader, *, check: Callable[[], None]) -> None:
        """`check` is called with every frame that is read, and may raise to stop it."""
        self._plan = film.plan
        self._checkpoints = film.checkpoints
        self._canvas = canvas
        self._reader = reader
        self._check = check

    def reference(self, number: int) -> Reference:
        """A reference as it is where it stands: with the video's own luma where it is a frame."""
        planned = self._plan.references[number]
        if planned.frame is None:
            return self.example(number)
        return Reference(rgb=self._picture(number), luma=self._luma(planned.frame), is_frame=True)

    def example(self, number: int) -> Reference:
        rgb = self._picture(number)
        return Reference(rgb=rgb, luma=luma_tensor(rgb, matrix=self._plan.info.matrix), is_frame=False)

    def lesson(self, number: int) -> Reference:
        """A reference as tuning learns from it: where it is a frame, with frames near it of its own shot."""
        frame = self._plan.references[number].frame
        if frame is None:
            return self.example(number)
        shot = shot_at(frame, self._plan.shots)
        nearby = nearby_frames(frame, first=shot.first, last=shot.last)
        return replace(self.reference(number), nearby=read_together(nearby, read=self._lumas))

    def _picture(self, number: int) -> Tensor:
        with self._checkpoints.fetch(self._plan.references[number].picture) as path:
            return self._canvas.rgb(read_image(path))

    def _luma(self, frame: int) -> Tensor:
        """[H, W]: luma of one frame of the video as the model is fed."""
        [luma] = self._lumas(frame, frame)
        return luma

    def _lumas(self, first: int, last: int) -> Iterator[Tensor]:
        for decoded in self._reader.frames(first, last):
            self._check()
            yield self._canvas.luma(decoded, info=self._plan.info)
