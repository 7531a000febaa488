"""What a colorizer is: the contract between the networks here and the pipeline in `worker/`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import torch
from torch import Tensor, nn

from models.errors import DeviceUnavailable

Matrix = Literal["bt601", "bt709", "bt2020"]
"""Y'CbCr matrix of the video: ITU-R BT.601, BT.709 or BT.2020 (non-constant luminance)."""


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a model needs and does, as data."""

    name: str
    title: str
    license: str
    """SPDX identifier of the weights' licence."""
    source: str
    """Where the weights come from."""
    size_multiple: int
    """Frames are fed at a size whose sides are multiples of this."""
    working_size: int
    """Default short side in pixels of the frames fed."""
    restores: bool
    """Whether it can change luma too."""
    propagates: bool
    """True: color flows from frame to frame outward from a reference, so that frames before a reference are fed in
    reverse. False: every frame looks at all references, so that a shot is fed once, forward."""
    references_must_be_frames: bool
    """Whether a reference that is no frame of the video is of no use to it."""
    learning_rate: float
    """Default of Adam in test-time tuning."""
    samples: int = 1
    """Samples of a reference that one step of tuning learns from where frames nearby are colored to learn from, too."""
    rehearses: bool = False
    """Whether tuning learns from frames near a reference as the untuned network colors them, and tuned weights are used
    only where a rehearsal is clearly better with them, see `models.rehearsal`."""
    revision: int = 1
    """Of the algorithm: raise it whenever the same weights give other colors than before, so that no film is made of
    both. What is kept of films that an earlier one colored is then not taken over."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A colored picture at working size, and the monochrome frame that it colors."""

    rgb: Tensor
    """[3, H, W] float32, R'G'B' in 0..1."""
    luma: Tensor
    """[H, W] float32, full-range Y' in 0..1: the video's own where the reference is one of its frames, the reference's
    own luma otherwise."""
    is_frame: bool
    """Whether the first frame that `colorize` is fed is this reference's own frame."""
    nearby: Sequence[Tensor] = ()
    """[H, W] luma of the frames of the same shot next to it, nearest first, from which tuning learns the film's own
    motion. They may be read from the film whenever they are asked for."""
    colored: Sequence["Prediction"] = ()
    """The first of the frames `nearby` as they were colored from this reference, or none."""


MEASURED_VARIATIONS = (0, 1)
"""Of a reference's samples, those that are measured and never trained on; models may make odd and even ones
differently."""
Example = Callable[[], tuple[Tensor, Tensor]]
"""A labelled sample, asked again as often as the weights change: Lab as the model predicts it now, differentiable, and
Lab as it should be, or where that is not known, as it is predicted. Both [3, h, w], L in 0..100."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Color of one frame."""

    chroma: Tensor
    """[2, h, w] float32, Cb and Cr in -0.5..0.5, at the model's own resolution (at least half the working size)."""
    confidence: Tensor
    """[h, w] float32 in 0..1: how far the color is to be trusted."""
    luma: Tensor | None = None
    """[H, W] float32 in 0..1: restored luma at working size, from models that restore and were asked to."""


class Colorizer(Protocol):
    """A network with its weights on a device. Tuning changes it in place: `clone` the pretrained one first."""

    @property
    def description(self) -> ModelDescription: ...

    def clone(self) -> Self:
        """An independent copy, so that the pretrained weights stay as they are."""
        ...

    def colorize(
        self,
        lumas: Iterable[Tensor],
        references: Sequence[Reference],
        *,
        matrix: Matrix,
        restore: bool = False,
    ) -> Iterator[Prediction]:
        """Yield one prediction per frame, in the order fed, holding a bounded number of frames.

        `lumas` are [H, W] float32 in 0..1, H and W multiples of `description.size_multiple`, consecutive in time (or in
        reverse). `references` are at the same size; the first is the nearest in time. Where its `is_frame` is true, the
        first luma fed is its own frame. With no references every chroma is zero.

        Raises:
            OutOfMemory: a frame does not fit the device.
        """
        ...

    def tunable_parameters(self) -> list[nn.Parameter]:
        """The weights that test-time tuning trains."""
        ...

    def weights(self) -> Iterator[Tensor]:
        """Everything that the output depends on beside what is fed, trained or not, always in the same order."""
        ...

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        """A labelled sample made from the reference.

        `MEASURED_VARIATIONS` are the samples for measuring; every other number is another training sample, the same for
        the same number.
        """
        ...


def select_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one.

    Raises:
        DeviceUnavailable: `name` is no device, or one that is not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceUnavailable(f"There is no device `{name}`; use auto, cpu, cuda or cuda:N.") from error
    count = gpu_count() if device.type == "cuda" else 1
    if device.type not in ("cpu", "cuda") or (device.index or 0) >= count:
        raise DeviceUnavailable(
            f"The device `{name}` is not available on this machine with this build of torch; use auto or cpu."
        )
    return device


def gpu_count() -> int:
    """GPUs that this process sees."""
    return torch.cuda.device_count()
