"""Dense optical flow between luma planes, warping by it, and how far it is to be trusted."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Luma8 = NDArray[np.uint8]
"""[h, w] luma in 0..255."""
Flow = NDArray[np.float32]
"""[h, w, 2] in pixels: target (x, y) shows what the source shows at (x, y) + flow."""
Plane = NDArray[np.float32]
"""[h, w] or [h, w, c]."""

PATCH_STRIDE = 3
"""Pixels between the patches of planes at chroma's resolution; OpenCV's own."""
FINE_PATCH_STRIDE = 4
"""Pixels, of planes at luma's: 3 takes a third longer for colors no better."""
MIN_SIDE = 16
"""DIS needs a few of its 8-pixel patches along each side; smaller pictures are taken as still."""


@dataclass(frozen=True, slots=True)
class Motion:
    """How the source moves into the target, and the evidence for it."""

    flow: Flow
    backward: Flow
    """The same from the source's side, which starts the next frame's search."""
    residual: Plane
    """[h, w] signed luma of the target minus luma of the moved source, in units of full scale."""
    disagreement: Plane
    """[h, w] distance in pixels between a pixel and where forward and backward flow together bring it."""


def estimate_flow(
    target: Luma8, source: Luma8, *, initial: Flow | None = None, patch_stride: int = PATCH_STRIDE
) -> Flow:
    """Estimate where each pixel of `target` comes from in `source`, by dense inverse search (Kroeger et al. 2016).

    `initial` starts the search, such as the flow of the frame before. Patches lie `patch_stride` pixels apart. Safe to
    call from several threads.
    """
    if min(target.shape) < MIN_SIDE:
        return np.zeros((*target.shape, 2), np.float32)
    # An estimator holds buffers, so that one must not serve two threads; making one costs microseconds.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # Planes at chroma's resolution are half the working size already: there the finest scale gives 0.2 dB for 12 ms.
    search.setFinestScale(0)
    search.setPatchStride(patch_stride)
    if initial is None:
        return np.asarray(search.calc(target, source, None), np.float32)  # type: ignore[call-overload]
    # `calc` writes into the start that it is given, which is still the caller's.
    return np.asarray(search.calc(target, source, initial.copy()), np.float32)


def estimate_fine_flow(target: Luma8, source: Luma8, *, initial: Flow | None = None) -> Flow:
    """Estimate the flow between planes of luma's resolution, for those of chroma's.

    From [H, W], both even, it gives [H/2, W/2, 2] in pixels of that size, as is `initial`.
    """
    height, width = target.shape
    start = None if initial is None else 2.0 * cv2.resize(initial, (width, height), interpolation=cv2.INTER_LINEAR)
    flow = estimate_flow(
        target, source, initial=None if start is None else np.asarray(start, np.float32), patch_stride=FINE_PATCH_STRIDE
    )
    return np.asarray(cv2.resize(flow, (width // 2, height // 2), interpolation=cv2.INTER_AREA) / 2.0, np.float32)


def warp(plane: Plane, flow: Flow) -> Plane:
    """Sample `plane` [h, w] or [h, w, c] at every pixel's position plus `flow`; edges repeat outward."""
    positions = flow + pixel_grid(flow.shape[0], flow.shape[1])
    moved = cv2.remap(plane, positions[..., 0], positions[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def compose(first: Flow, second: Flow) -> Flow:
    """Chain two flows: from the target along `first`, then from there along `second`."""
    return np.asarray(first + warp(second, first), np.float32)


def pixel_grid(height: int, width: int) -> Flow:
    """[h, w, 2] float32 of every pixel's own (x, y)."""
    rows, columns = np.indices((height, width), dtype=np.float32)
    return np.stack([columns, rows], axis=-1)


def disagreement(forward: Flow, backward: Flow) -> Plane:
    """[h, w] distance in pixels between where a pixel is and where both flows together bring it."""
    return np.asarray(np.linalg.norm(compose(forward, backward), axis=-1), np.float32)


def luma_residual(target: Luma8, source: Luma8, *, flow: Flow) -> Plane:
    """[h, w] luma of `target` minus that of `source` moved by `flow`, in units of full scale."""
    return (target.astype(np.float32) - warp(source.astype(np.float32), flow)) / 255.0


def measure_motion(
    target: Luma8,
    source: Luma8,
    *,
    fine: tuple[Luma8, Luma8] | None = None,
    initial: Flow | None = None,
    initial_backward: Flow | None = None,
) -> Motion:
    """Estimate both flows between two planes, and the evidence that blending weighs.

    `fine` are the same two at twice the size: `flow`, not `backward`, is estimated from them, more precise for three
    times the time.
    """
    if fine is None or min(target.shape) < MIN_SIDE:
        flow = estimate_flow(target, source, initial=initial)
    else:
        flow = estimate_fine_flow(*fine, initial=initial)
    backward = estimate_flow(source, target, initial=initial_backward)
    return Motion(
        flow=flow,
        backward=backward,
        residual=luma_residual(target, source, flow=flow),
        disagreement=disagreement(flow, backward),
    )
