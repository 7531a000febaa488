import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from worker.media.matroska import UnknownLayout, state_shape

SEGMENT, SEEK_HEAD, SEEK, TRACKS, TRACK_ENTRY, VIDEO = "18538067", "114d9b74", "4dbb", "1654ae6b", "ae", "e0"
SEEK_ID, SEEK_POSITION, CHECKSUM = "53ab", "53ac", "bf"
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT = "54b0", "54ba", "54b2"


@pytest.fixture
def film(make_video: Any) -> Path:
    """An H.264 film that says nothing of its shape, with all that a Matroska file's table of contents can name."""
    made: Path = make_video(
        "film.mkv",
        width=352,
        height=288,
        audio="aac",
        subtitles=[(0.1, 0.3, "The words")],
        chapters=[(0, 0.2, "One"), (0.2, 0.4, "Two")],
        attachment=("font.ttf", "font/ttf", bytes(3000)),
        metadata={"title": "A film"},
    ).path
    return made


def elements(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Names, places and contents."""
    at = 0
    while at < len(data):
        size_at = at + 9 - data[at].bit_length()
        start = size_at + 9 - data[size_at].bit_length()
        length = int.from_bytes(data[size_at:start]) - (1 << 7 * (start - size_at))
        yield data[at:size_at].hex(), at, data[start : start + length]
        at = start + length


def content(data: bytes, *names: str) -> bytes:
    for name in names:
        data = next(held for found, _, held in elements(data) if found == name)
    return data


def shape(path: Path) -> dict[str, int]:
    facts = elements(content(path.read_bytes(), SEGMENT, TRACKS, TRACK_ENTRY, VIDEO))
    return {name: int.from_bytes(held) for name, _, held in facts if name.startswith("54")}


def packets(path: Path) -> list[tuple[int, int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.stream.index, packet.pts, bytes(packet)) for packet in container.demux()]


@pytest.mark.parametrize(
    ("aspect", "said"),
    [
        (Fraction(16, 11), {DISPLAY_WIDTH: 512, DISPLAY_HEIGHT: 288}),
        # 352 times 10:11 is 320; times 40:33 it is no whole number of pixels.
        (Fraction(10, 11), {DISPLAY_WIDTH: 320, DISPLAY_HEIGHT: 288}),
        (Fraction(40, 33), {DISPLAY_WIDTH: 40, DISPLAY_HEIGHT: 27, DISPLAY_UNIT: 3}),
    ],
)
def test_the_display_size_is_exact(film: Path, aspect: Fraction, said: dict[str, int]) -> None:
    state_shape(film, aspect)
    assert shape(film) == said
    with av.open(str(film)) as container:
        assert container.streams.video[0].sample_aspect_ratio == aspect


def test_nothing_but_the_head_of_the_file_changes(film: Path) -> None:
    before, bytes_before = packets(film), film.read_bytes()
    state_shape(film, Fraction(16, 11))
    assert packets(film) == before
    after = film.read_bytes()
    assert len(after) == len(bytes_before)
    end = after.rindex(bytes.fromhex("1043a770"))  # chapters, after what names their place
    assert after[end:] == bytes_before[end:]


def test_the_table_of_contents_and_the_checksums_stay_true(film: Path) -> None:
    state_shape(film, Fraction(40, 33))
    segment = content(film.read_bytes(), SEGMENT)
    places = {at: name for name, at, _ in elements(segment)}
    entries = [held for name, _, held in elements(content(segment, SEEK_HEAD)) if name == SEEK]
    assert len(entries) == 6
    for entry in entries:
        assert places[int.from_bytes(content(entry, SEEK_POSITION))] == content(entry, SEEK_ID).hex()
    for name in (SEEK_HEAD, TRACKS):
        held = content(segment, name)
        first, _, checksum = next(elements(held))
        assert first == CHECKSUM
        assert int.from_bytes(checksum, "little") == zlib.crc32(held[6:])


def test_a_shape_is_written_over_another(film: Path) -> None:
    for aspect in (Fraction(40, 33), Fraction(16, 11), Fraction(12, 11), Fraction(16, 11)):
        state_shape(film, aspect)
    assert shape(film) == {DISPLAY_WIDTH: 512, DISPLAY_HEIGHT: 288}


@pytest.mark.parametrize("name", ["film.mp4", "empty.mkv", "full.mkv"])
def test_a_file_laid_out_otherwise_stays_as_it_is(make_video: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "film.mp4":
        make_video(name)
    else:
        head = bytes.fromhex("1a45dfa380 1853806780") if name == "empty.mkv" else _without_padding(make_video)
        path.write_bytes(head)
    before = path.read_bytes()
    with pytest.raises(UnknownLayout):
        state_shape(path, Fraction(16, 11))
    assert path.read_bytes() == before


def _without_padding(make_video: Any) -> bytes:
    """A film's head, its padding gone."""
    whole = make_video("whole.mkv").path.read_bytes()
    at = whole.index(bytes.fromhex("1549a966"))
    return bytes.fromhex("1a45dfa380 18538067ff") + whole[at:]
