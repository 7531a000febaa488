"""Splits the one labelled picture of a job into a part that trains and a part that judges."""

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCKS = 7
"""Blocks per side. Three of seven columns times four of seven rows: 24.5% of the area is held out."""
MARGIN_SHARE = 8
"""The margin is this fraction of a block's shorter side."""


@dataclass(frozen=True, slots=True)
class Split:
    """Two masks of one picture that share no pixel."""

    trained: Tensor
    """[H, W] bool: pixels whose errors train."""
    held_out: Tensor
    """[H, W] bool: pixels whose errors only measure."""


def split_picture(height: int, width: int, *, device: torch.device) -> Split:
    """Hold out a lattice of blocks, spread evenly over the picture, the same for every picture of this size.

    What could leak, and what is done about it:

    - A convolution's output depends on its surroundings. So a margin around each block belongs to neither part: an
      eighth of a block, and at least one pixel.
    - A training sample may be the picture moved. What comes from a block then trains nothing, wherever it lies, see
      `moved_reference.MovedReference`.
    - Colorizers are shown the whole reference as their reference, held-out blocks included, as they are when they
      color its frame. The held-out part therefore measures whether weights trained elsewhere in the picture carry
      the reference's color better here; it does not measure coloring without a reference.
    - Frames near the reference that were colored to learn from have some of its held-out colors. What is learned from
      them is judged by a rehearsal, too.

    Raises:
        ValueError: a side is shorter than three pixels per block.
    """
    if min(height, width) < 3 * BLOCKS:
        raise ValueError(f"A picture of {width}x{height} is too small to hold a part out; sides of 21 or more are not.")
    rows = torch.arange(height, device=device) * BLOCKS // height
    columns = torch.arange(width, device=device) * BLOCKS // width
    held_out = ((rows % 2 == 0)[:, None]) & ((columns % 2 == 1)[None, :])
    margin = max(1, min(height, width) // (BLOCKS * MARGIN_SHARE))
    window = 2 * margin + 1
    near = torch.nn.functional.max_pool2d(held_out[None, None].float(), window, stride=1, padding=margin)[0, 0] > 0
    return Split(trained=~near, held_out=held_out)
