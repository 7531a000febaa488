"""Weights of full width and inputs that anyone can draw again, bit for bit, so that no large file is kept.

NumPy promises that PCG64 and SeedSequence give the same bits for ever; its distributions it does not, so these are
made here. Nothing of the project is imported.
"""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def uniform(name: str, shape: Sequence[int]) -> Array:
    """Even numbers in -1..1, the same for the same name; 24 bits of each."""
    raw = np.random.PCG64([2026, zlib.crc32(name.encode())]).random_raw(int(np.prod(shape, dtype=np.int64)))
    return ((raw >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)).reshape(shape)


def picture(name: str, shape: Sequence[int]) -> Array:
    """Inputs in 0..1."""
    return (uniform(name, shape) + np.float32(1)) / np.float32(2)


def weight(network: str, name: str, shape: Sequence[int]) -> Array:
    """A network's tensor by its published name, such that signals stay as strong as they are from layer to layer."""
    drawn = uniform(f"{network} {name}", shape)
    if name.endswith("gamma"):
        return np.full(shape, 0.7, np.float32)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.float32)
    if name.endswith(("running_var", "bn.weight", "norm_ss.weight")):
        return np.float32(1) + np.float32(0.5) * drawn
    # Three places where random weights would make of one rounding a figure that cannot be compared:
    if name.endswith("query_conv.weight"):
        # Soft attention: with scores of 100 and more, the nearest of two neighbors is a matter of the last bit.
        drawn = drawn * np.float32(0.15)
    if name == "conv10_ab.weight":
        # Faint colors: a frame before that outweighs this frame's luma is chaos from frame to frame.
        drawn = drawn * np.float32(0.02)
    if network == "colornet" and name.endswith("bias") and name != "conv10_ab.bias":
        # Rectifiers that mostly let through: instance norm makes a signal of the noise of channels that are shut.
        return np.float32(2) + np.float32(0.1) * drawn
    if len(shape) > 1:
        # Even numbers in -1..1 have a variance of a third; what rectifiers halve is given back.
        return drawn * np.float32(np.sqrt(3 * 2.0 / np.prod(shape[1:])))
    if name.endswith("weight"):  # PReLU
        return np.float32(0.25) + np.float32(0.1) * drawn
    return np.float32(0.1) * drawn
