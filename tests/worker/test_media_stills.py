import struct
import tracemalloc
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from swapped_profile import swapped_profile
from video_info import video_info

from jobs.errors import ReferenceUndecodable, StorageFull
from models.base import Matrix
from models.color import quantize_chroma, quantize_luma, rgb_to_ycbcr
from worker.media.frames import VideoInfo
from worker.media.stills import as_shown, read_image, still_of, to_rgb, write_png


def info(*, bit_depth: int = 8, full_range: bool = False, matrix: Matrix = "bt709") -> VideoInfo:
    return VideoInfo(
        width=8,
        height=6,
        frames=1,
        duration_seconds=1.0,
        frame_rate=Fraction(25),
        codec="ffv1",
        pixel_format="yuv420p",
        bit_depth=bit_depth,
        full_range=full_range,
        matrix=matrix,
        has_audio=False,
    )


@given(
    color=st.tuples(*[st.integers(0, 255)] * 3),
    bit_depth=st.sampled_from([8, 10]),
    full_range=st.booleans(),
    matrix=st.sampled_from(["bt601", "bt709", "bt2020"]),
)
def test_a_color_comes_back_from_its_codes(
    color: tuple[int, int, int], bit_depth: int, full_range: bool, matrix: Matrix
) -> None:
    rgb = torch.tensor(color, dtype=torch.float32).view(3, 1, 1).expand(3, 6, 8) / 255
    ycbcr = rgb_to_ycbcr(rgb, matrix=matrix)
    luma = quantize_luma(ycbcr[0], bit_depth=bit_depth, full_range=full_range).numpy()
    chroma = quantize_chroma(ycbcr[1:, ::2, ::2], bit_depth=bit_depth, full_range=full_range).numpy()
    back = to_rgb(luma, chroma, info=info(bit_depth=bit_depth, full_range=full_range, matrix=matrix))
    assert back.shape == (6, 8, 3)
    assert np.abs(back.astype(int) - np.asarray(color)).max() <= 2


def test_without_chroma_a_still_is_gray_over_the_whole_range() -> None:
    luma = np.array([[16, 235], [126, 235]], dtype=np.uint8)
    assert to_rgb(luma, info=info())[..., 0].tolist() == [[0, 255], [128, 255]]


def test_a_picture_is_shown_with_square_pixels_and_upright() -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24] = 255
    wide = as_shown(picture, info=video_info(sample_aspect=Fraction(3, 2)))
    assert wide.shape == (32, 64, 3)
    assert [int(row) for row in wide[[0, -1], 32, 0]] == [255, 0]
    upright = as_shown(picture, info=video_info(sample_aspect=Fraction(3, 2), quarter_turns=1))
    assert upright.shape == (64, 32, 3)
    assert [int(column) for column in upright[32, [0, -1], 0]] == [255, 0]
    assert np.array_equal(as_shown(picture, info=video_info(quarter_turns=2)), picture[::-1])


@pytest.mark.parametrize(("aspect", "shape"), [(8, (30, 320)), (Fraction(1, 8), (240, 40))])
def test_a_picture_is_never_enlarged_to_be_shown(aspect: Fraction, shape: tuple[int, int]) -> None:
    picture = np.zeros((240, 320, 3), np.uint8)
    assert as_shown(picture, info=video_info(sample_aspect=Fraction(aspect))).shape[:2] == shape


@pytest.mark.parametrize("turns", [0, 1])
def test_a_small_picture_has_the_shape_of_a_large_one(turns: int) -> None:
    picture = np.zeros((1440, 1920, 3), np.uint8)
    info = video_info(sample_aspect=Fraction(4, 3), quarter_turns=turns)
    small = cv2.imdecode(np.frombuffer(still_of(picture, info=info), np.uint8), cv2.IMREAD_COLOR)
    assert small is not None
    assert small.shape[:2] == ((270, 480) if turns == 0 else (853, 480))
    assert as_shown(picture, info=info).shape[:2] == ((1080, 1920) if turns == 0 else (1920, 1080))


def test_a_written_picture_reads_back(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "still.png", rgb)
    assert np.array_equal(read_image(tmp_path / "still.png"), rgb)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    full = tmp_path / "full.png"
    full.symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        write_png(full, np.zeros((64, 64, 3), np.uint8))


def save(path: Path, picture: np.ndarray[Any, Any]) -> Path:
    assert cv2.imwrite(str(path), picture)
    return path


@pytest.mark.parametrize("ending", ["png", "jpg", "tiff", "webp", "bmp"])
def test_every_format_is_read(tmp_path: Path, ending: str) -> None:
    bgr = np.zeros((40, 60, 3), np.uint8)
    bgr[:, :30] = (200, 40, 20)
    rgb = read_image(save(tmp_path / f"picture.{ending}", bgr))
    assert rgb.shape == (40, 60, 3)
    assert np.abs(rgb[20, 10].astype(int) - (20, 40, 200)).max() <= 12


def test_sixteen_bits_alpha_and_gray_become_eight_bit_rgb(tmp_path: Path) -> None:
    deep = np.full((4, 4, 3), 65535, np.uint16)
    deep[0, 0] = 257 * 77
    assert read_image(save(tmp_path / "deep.png", deep))[0, 0].tolist() == [77, 77, 77]
    alpha = np.zeros((4, 4, 4), np.uint8)
    alpha[..., 2] = 90
    assert read_image(save(tmp_path / "alpha.png", alpha))[0, 0].tolist() == [90, 0, 0]
    gray = np.full((4, 4), 33, np.uint8)
    assert read_image(save(tmp_path / "gray.png", gray)).tolist() == [[[33] * 3] * 4] * 4


def test_sixteen_bits_are_rounded_in_little_memory(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (500, 700, 3), dtype=np.uint16)
    path = save(tmp_path / "deep.png", deep)
    tracemalloc.start()
    rgb = read_image(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size + 2 * deep.nbytes
    exact = deep[..., ::-1] * (255 / 65535)
    assert np.abs(rgb - exact).max() <= 0.5 + 1e-4


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    upright = np.zeros((20, 40, 3), np.uint8)
    upright[:, 20:] = 255
    data = save(tmp_path / "plain.jpg", upright).read_bytes()
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + bytes(4)
    exif = b"Exif\x00\x00" + tiff
    turned = tmp_path / "turned.jpg"
    turned.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    rgb = read_image(turned)
    assert rgb.shape == (40, 20, 3)
    assert rgb[5, 10, 0] < 20
    assert rgb[35, 10, 0] > 235


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_a_color_profile_is_converted(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"reference.{ending}"
    colors = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    Image.fromarray(colors).save(path, quality=95)
    plain = read_image(path)
    Image.fromarray(colors).save(path, quality=95, icc_profile=swapped_profile())
    assert np.abs(read_image(path).astype(int) - plain[..., [1, 0, 2]]).max() <= 1


def test_profiles_that_change_nothing_or_cannot_be_used_leave_colors_as_they_are(tmp_path: Path) -> None:
    colors = np.random.default_rng(3).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for number, profile in enumerate((srgb, lab, b"no profile", swapped_profile()[:200])):
        path = tmp_path / f"{number}.png"
        Image.fromarray(colors).save(path, icc_profile=profile)
        assert np.array_equal(read_image(path), colors)


def test_strokes_keep_their_transparency_beside_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "strokes.png"
    colors = np.random.default_rng(3).integers(0, 256, (24, 32, 4), dtype=np.uint8)
    Image.fromarray(colors).save(path, icc_profile=swapped_profile())
    read = read_image(path, transparent=True)
    assert np.array_equal(read[..., 3], colors[..., 3])
    assert np.abs(read[..., :3].astype(int) - colors[..., [1, 0, 2]]).max() <= 1


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tiff"])
def test_a_cut_picture_is_refused(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"picture.{ending}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ReferenceUndecodable, match=r"damaged|not a picture"):
        read_image(path)


def test_a_damaged_png_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / "picture.png", noise)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(ReferenceUndecodable, match="damaged"):
        read_image(path)


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"II*\x00"]
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "reference.png"
    path.write_bytes(content)
    with pytest.raises(ReferenceUndecodable, match=r"reference\.png"):
        read_image(path)


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_an_animation_is_refused(tmp_path: Path, ending: str) -> None:
    animation = cv2.Animation()
    animation.frames = [np.full((16, 16, 3), level, np.uint8) for level in (0, 120, 250)]
    animation.durations = np.asarray([100, 100, 100])
    path = tmp_path / f"moving.{ending}"
    assert cv2.imwriteanimation(str(path), animation)
    with pytest.raises(ReferenceUndecodable, match="holds 3 pictures"):
        read_image(path)


def test_a_still_gif_is_accepted(tmp_path: Path) -> None:
    bgr = np.full((8, 8, 3), 128, np.uint8)
    assert read_image(save(tmp_path / "still.gif", bgr)).shape == (8, 8, 3)


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(ReferenceUndecodable, match="60000x60000"):
        read_image(path)
