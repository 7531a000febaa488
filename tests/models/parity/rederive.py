"""What the paper's networks compute, written out once more in NumPy from METHOD's description, in float64.

    python tests/models/parity/rederive.py              # writes expected.npz beside this file; some minutes
    python tests/models/parity/rederive.py exemplar     # of one model again, the other's kept

Nothing of the project is imported, nor torch: convolutions are sums over the taps of their kernels. The weights and the
inputs are those of tests/support/seeded_weights.py.
"""

import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))

from seeded_weights import picture, weight

Array = NDArray[np.float64]
Taps = tuple[int, ...]

FRAMES = (1, 5, 7)
RESTORED_SIZES = ((32, 48), (20, 28))
COLORED_SIZE = (32, 48)
REFERENCES: dict[str, tuple[int, int, int] | None] = {"none": None, "one": (1, 37, 50), "three": (3, 32, 48)}
EXEMPLAR_SIZES = ((32, 48), (40, 48))
"""The second is no multiple of 16, so that the coarsest features are padded."""


# Convolution, and what goes with it. [C, ...] throughout, no batches.


def convolved(x: Array, w: Array, b: Array | None, *, stride: Taps, padding: Taps, dilation: int = 1) -> Array:
    """Zero padding; a sum over the kernel's taps, each a plain product of matrices."""
    x = np.pad(x, [(0, 0), *((side, side) for side in padding)])
    kernel = w.shape[2:]
    sizes = [(x.shape[1 + d] - dilation * (kernel[d] - 1) - 1) // stride[d] + 1 for d in range(len(kernel))]
    out = np.zeros((w.shape[0], *sizes))
    for tap in np.ndindex(*kernel):
        places = tuple(
            slice(dilation * t, dilation * t + s * (n - 1) + 1, s) for t, s, n in zip(tap, stride, sizes, strict=True)
        )
        out += np.tensordot(w[(slice(None), slice(None), *tap)], x[(slice(None), *places)], axes=1)
    return out if b is None else out + b.reshape(-1, *[1] * len(kernel))


def instance_normed(x: Array) -> Array:
    axes = tuple(range(1, x.ndim))
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


def nearest_doubled(x: Array, times: int = 2) -> Array:
    return x.repeat(times, axis=-2).repeat(times, axis=-1)


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# DeepRemaster


def temp_conv(
    x: Array, net: str, name: str, channels: int, *, depth: int, halve: bool = False, padded: bool = True
) -> Array:
    """Conv3d, batch norm on stored statistics, ELU."""
    draw = partial(drawn, net, name)
    w = draw("conv3d.weight", channels, x.shape[0], depth, 3, 3)
    padding = (depth // 2, 1, 1) if padded else (0, 0, 0)
    stride = (1, 2, 2) if halve else (1, 1, 1)
    y = convolved(x, w, draw("conv3d.bias", channels), stride=stride, padding=padding)
    each = (-1, 1, 1, 1)
    y = (y - draw("bn.running_mean", channels).reshape(each)) / np.sqrt(
        draw("bn.running_var", channels).reshape(each) + 1e-5
    )
    y = y * draw("bn.weight", channels).reshape(each) + draw("bn.bias", channels).reshape(each)
    return np.where(y > 0, y, np.exp(np.minimum(y, 0)) - 1)


@cache
def drawn(net: str, layer: str, name: str, *shape: int) -> Array:
    return weight(net, f"{layer}.{name}", shape).astype(np.float64)


def last_conv(x: Array, net: str, name: str, channels: int) -> Array:
    w = drawn(net, name, "weight", channels, x.shape[0], 3, 3, 3)
    return convolved(x, w, drawn(net, name, "bias", channels), stride=(1, 1, 1), padding=(1, 1, 1))


def linear_doubled(x: Array) -> Array:
    """Height and width, each half a sample apart: a quarter of the neighbor, three quarters of its own."""
    for axis in (2, 3):
        x = np.moveaxis(x, axis, 0)
        before, after = np.concatenate([x[:1], x[:-1]]), np.concatenate([x[1:], x[-1:]])
        x = np.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis=1).reshape(-1, *x.shape[1:])
        x = np.moveaxis(x, 0, axis)
    return x


def attended(source: Array, reference: Array, name: str) -> Array:
    channels = source.shape[0]

    def projected(x: Array, part: str, outputs: int) -> Array:
        w = drawn("C", name, f"{part}.weight", outputs, channels, 1, 1, 1).reshape(outputs, channels)
        return w @ x.reshape(channels, -1) + drawn("C", name, f"{part}.bias", outputs)[:, None]

    query = projected(source, "query_conv", channels // 8)
    key = projected(reference, "key_conv", channels // 8)
    value = projected(reference, "value_conv", channels)
    found = value @ softmax(query.T @ key).T
    return drawn("C", name, "gamma", 1)[0] * found.reshape(source.shape) + source


def restored(x: Array) -> Array:
    """R; `x` [1, T, H, W] in 0..1."""
    conv = partial(temp_conv, net="R", depth=3)
    y = np.pad(x - 0.4462414, [(0, 0), (1, 1), (1, 1), (1, 1)], mode="edge")
    y = conv(y, name="layers.1", channels=64, halve=True, padded=False)
    y = conv(conv(y, name="layers.2", channels=128), name="layers.3", channels=128)
    y = conv(y, name="layers.4", channels=256, halve=True)
    for index in (5, 6, 7, 8):
        y = conv(y, name=f"layers.{index}", channels=256)
    y = conv(linear_doubled(y), name="layers.9", channels=128)
    y = conv(conv(y, name="layers.10", channels=64), name="layers.11", channels=64)
    y = conv(linear_doubled(y), name="layers.12", channels=16)
    return np.clip(x + np.tanh(last_conv(y, "R", "layers.13", 1)), 0, 1)


ENCODER = ((64, True), (128, False), (128, False), (256, True), (256, False), (256, False), (512, True))
ENCODER += ((512, False), (512, False))


def colored(x: Array, references: Array | None) -> Array:
    """C; `x` [1, T, H, W] is R's output, `references` [3, N, H', W']."""
    flat = partial(temp_conv, net="C", depth=1)
    deep = partial(temp_conv, net="C", depth=3)
    y = np.pad(x - 0.4462414, [(0, 0), (0, 0), (1, 1), (1, 1)], mode="edge")
    for index, (channels, halve) in enumerate(ENCODER):
        y = flat(y, name=f"down1.{index + 1}", channels=channels, halve=halve, padded=index > 0)
    if references is not None:
        r = references - 0.48
        for index, (channels, halve) in enumerate(ENCODER):
            r = flat(r, name=f"reffeatnet1.{index}", channels=channels, halve=halve)
        y = attended(y, r, "stattn1")
    x2 = flat(flat(y, name="flat.0", channels=512), name="flat.1", channels=512)
    y = flat(flat(y, name="down2.0", channels=512, halve=True), name="down2.1", channels=512)
    if references is not None:
        for index in range(3):
            r = flat(r, name=f"reffeatnet2.{index}", channels=512, halve=index == 0)
        y = attended(y, r, "stattn2")
    y = flat(y, name="conv1", channels=512)
    y = attended(y, y, "selfattn1")
    y = deep(np.concatenate([linear_doubled(y), x2]), name="up1.conv3d", channels=512)
    y = attended(y, y, "selfattn2")
    y = deep(y, name="conv2", channels=256)
    y = deep(deep(linear_doubled(y), name="up2.0", channels=128), name="up2.1", channels=64)
    y = deep(deep(linear_doubled(y), name="up3.0", channels=32), name="up3.1", channels=16)
    y = deep(linear_doubled(y), name="up4.0", channels=8)
    return 1 / (1 + np.exp(-last_conv(y, "C", "up4.1", 2)))


# Zhang et al. 2019


def conv2(
    x: Array, net: str, name: str, channels: int, *, stride: int = 1, dilation: int = 1, mirrored: bool = False
) -> Array:
    """3x3, zero padding, or mirrored by one."""
    if mirrored:
        x = np.pad(x, [(0, 0), (1, 1), (1, 1)], mode="reflect")
    w = drawn(net, name, "weight", channels, x.shape[0], 3, 3)
    padding = 0 if mirrored else dilation
    bias = drawn(net, name, "bias", channels)
    return convolved(x, w, bias, stride=(stride, stride), padding=(padding, padding), dilation=dilation)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def vgg_features(rgb: Array) -> list[Array]:
    mean = np.array([0.40760392, 0.45795686, 0.48501961]).reshape(3, 1, 1)
    x = (rgb[::-1] - mean) * 255
    taken = []
    for block, (channels, count) in enumerate([(64, 2), (128, 2), (256, 4), (512, 4), (512, 2)], start=1):
        if block > 1:
            height, width = x.shape[1] // 2, x.shape[2] // 2
            x = x[:, : 2 * height, : 2 * width].reshape(-1, height, 2, width, 2).max(axis=(2, 4))
        for index in range(1, count + 1):
            x = relu(conv2(x, "vgg19", f"conv{block}_{index}", channels))
            if index == 2:
                taken.append(x)
    return [x / (np.sqrt((x**2).sum(axis=0, keepdims=True)) + np.finfo(float).eps) for x in taken[1:]]


def prelu(x: Array, name: str) -> Array:
    return np.where(x > 0, x, drawn("nonlocal", name, "weight", 1)[0] * x)


def described(features: list[Array]) -> Array:
    """[256, H/4, W/4]."""

    def stage(x: Array, name: str, at: int, channels: int, stride: int = 1) -> Array:
        y = conv2(x, "nonlocal", f"{name}.{at}", channels, stride=stride, mirrored=True)
        return prelu(instance_normed(y), f"{name}.{at + 2}")

    second, third, fourth, fifth = features
    second = stage(stage(second, "layer2_1", 1, 128), "layer2_1", 5, 64, stride=2)
    third = stage(stage(third, "layer3_1", 1, 128), "layer3_1", 5, 64)
    fourth = nearest_doubled(stage(stage(fourth, "layer4_1", 1, 256), "layer4_1", 5, 64))
    fifth = nearest_doubled(stage(fifth, "layer5_1", 1, 256))
    fifth = nearest_doubled(stage(fifth, "layer5_1", 6, 64))
    if fifth.shape[1] != second.shape[1]:
        fifth = np.pad(fifth, [(0, 0), (1, 1), (0, 0)], mode="edge")
    x = np.concatenate([second, third, fourth, fifth])
    for index in range(3):
        name = f"layer.{index}"
        y = prelu(instance_normed(conv2(x, "nonlocal", f"{name}.conv1", 256, mirrored=True)), f"{name}.prelu")
        y = instance_normed(conv2(y, "nonlocal", f"{name}.conv2", 256, mirrored=True))
        x = prelu(x + y, f"{name}.prelu")
    return x


def directions(x: Array, name: str) -> Array:
    w = drawn("nonlocal", name, "weight", 256, 256, 1, 1).reshape(256, 256)
    flat = w @ x.reshape(256, -1) + drawn("nonlocal", name, "bias", 256)[:, None]
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / (np.sqrt((flat**2).sum(axis=0, keepdims=True)) + np.finfo(float).eps)


def color_net(x: Array) -> Array:
    net = "colornet"

    def chain(x: Array, *layers: tuple[str, int], dilation: int = 1) -> Array:
        for name, channels in layers:
            x = relu(conv2(x, net, name, channels, dilation=dilation))
        return x

    def halved(x: Array, name: str) -> Array:
        w = drawn(net, name, "weight", x.shape[0], 1, 1, 1).reshape(-1, 1, 1)
        return x[:, ::2, ::2] * w

    first = instance_normed(chain(x, ("conv1_1.0", 32), ("conv1_1.2", 64), ("conv1_2", 64)))
    second = instance_normed(chain(halved(first, "conv1_2norm_ss"), ("conv2_1", 128), ("conv2_2", 128)))
    third = halved(second, "conv2_2norm_ss")
    third = instance_normed(chain(third, ("conv3_1", 256), ("conv3_2", 256), ("conv3_3", 256)))
    y = halved(third, "conv3_3norm_ss")
    for block, dilation in ((4, 1), (5, 2), (6, 2), (7, 1)):
        y = chain(y, *((f"conv{block}_{index}", 512) for index in (1, 2, 3)), dilation=dilation)
        y = instance_normed(y)
    y = relu(conv2(nearest_doubled(y), net, "conv8_1.1", 256) + conv2(third, net, "conv3_3_short", 256))
    y = instance_normed(chain(y, ("conv8_2", 256), ("conv8_3", 256)))
    y = relu(conv2(nearest_doubled(y), net, "conv9_1.1", 128) + conv2(second, net, "conv2_2_short", 128))
    y = instance_normed(chain(y, ("conv9_2", 128)))
    y = relu(conv2(nearest_doubled(y), net, "conv10_1.1", 128) + conv2(first, net, "conv1_2_short", 128))
    y = conv2(y, net, "conv10_2", 128)
    y = np.where(y > 0, y, 0.2 * y)
    w = drawn(net, "conv10_ab", "weight", 2, 128, 1, 1).reshape(2, 128)
    y = (w @ y.reshape(128, -1)).reshape(2, *y.shape[1:]) + drawn(net, "conv10_ab", "bias", 2).reshape(2, 1, 1)
    return 128 * np.tanh(y)


def lab_of(rgb: Array) -> Array:
    """CIE Lab, D65, of sRGB [3, H, W]."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    xyz = np.tensordot(to_xyz / to_xyz.sum(axis=1, keepdims=True), linear, axes=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def exemplar_frames(lumas: Array, reference: Array, *, starts_on_it: bool) -> Iterator[Array]:
    """ab [2, H, W] of every frame, as the color net gives it. `lumas` [T, H, W], `reference` [3, H, W] in 0..1."""
    center = np.array([50.0, 0, 0]).reshape(3, 1, 1)
    known = lab_of(reference) - center
    phi = directions(described(vgg_features(reference)), "phi")
    height, width = lumas.shape[1:]
    pooled = known.reshape(3, height // 4, 4, width // 4, 4).mean(axis=(2, 4)).reshape(3, -1)
    before = known if starts_on_it else np.zeros_like(known)
    for luma in lumas:
        lightness = lab_of(np.stack([luma] * 3))[:1]
        theta = directions(described(vgg_features(np.concatenate([lightness] * 3) / 100)), "theta")
        similarity = theta.T @ phi
        second, nearest = np.sort(similarity, axis=1)[:, -2:].T
        # A tie would be decided by rounding, and no figure could be expected.
        assert (nearest - second).min() > 1e-6, f"two matches are {(nearest - second).min()} apart; take another seed"
        found = (pooled @ softmax(similarity / 1e-10).T).reshape(3, height // 4, width // 4)
        best = similarity.max(axis=1).reshape(1, height // 4, width // 4)
        lightness = lightness - 50
        told = [lightness, nearest_doubled(found, 4)[1:], nearest_doubled(best, 4), before]
        ab = color_net(np.concatenate(told))
        before = np.concatenate([lightness, ab])
        yield ab


def thinned(x: Array) -> NDArray[np.float32]:
    """Every second row and column: enough to compare, and a quarter of the bytes."""
    return x[..., ::2, ::2].astype(np.float32)


def deepremaster_figures() -> Iterator[tuple[str, Array]]:
    for frames in FRAMES:
        for height, width in RESTORED_SIZES:
            x = picture(f"mono {height}", (1, frames, height, width)).astype(np.float64)
            yield f"R {frames} {height}", restored(x)
        x = picture("mono", (1, frames, *COLORED_SIZE)).astype(np.float64)
        for name, shape in REFERENCES.items():
            pictures = None
            if shape is not None:
                count, *size = shape
                pictures = picture(f"references {name}", (count, 3, *size)).astype(np.float64).transpose(1, 0, 2, 3)
            yield f"C {frames} {name}", colored(x, pictures)


def exemplar_figures() -> Iterator[tuple[str, Array]]:
    for height, width in EXEMPLAR_SIZES:
        lumas = picture(f"film {height}", (max(FRAMES), height, width)).astype(np.float64)
        reference = picture(f"exemplar {height}", (3, height, width)).astype(np.float64)
        for starts in (True, False):
            yield f"exemplar {height} {starts}", np.stack(list(exemplar_frames(lumas, reference, starts_on_it=starts)))


def main() -> None:
    figures = {"deepremaster": deepremaster_figures, "exemplar": exemplar_figures}
    path = Path(__file__).with_name("expected.npz")
    expected = dict(np.load(path)) if path.exists() else {}
    for model in sys.argv[1:] or figures:
        expected |= {name: thinned(x) for name, x in figures[model]()}
    np.savez_compressed(path, **expected)


if __name__ == "__main__":
    main()
