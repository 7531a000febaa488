import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.media.subtitles import packed_text, plain_text


@pytest.mark.parametrize(
    ("codec", "packet", "text"),
    [
        ("subrip", b"<i>Hello</i>,\r\nworld", "Hello,\nworld"),
        ("webvtt", b"<v Ann>Hello</v>", "Hello"),
        ("ass", b"0,0,Default,,0,0,0,,{\\i1}Hello{\\i0},\\Nworld", "Hello,\nworld"),
        ("mov_text", b"\x00\x05Hello\x00\x00\x00\x0cstyl", "Hello"),
    ],
)
def test_the_words_are_kept_and_the_markup_is_not(codec: str, packet: bytes, text: str) -> None:
    assert plain_text(packet, codec=codec) == text


@given(st.text(max_size=200))
def test_packed_words_come_out_again(text: str) -> None:
    encodable = text.encode("utf-8", errors="ignore").decode()
    assert plain_text(packed_text(encodable, codec="mov_text"), codec="mov_text") == encodable


def test_a_text_longer_than_a_sample_can_be_is_cut_between_characters() -> None:
    packet = packed_text("é" * 40_000, codec="mov_text")
    assert plain_text(packet, codec="mov_text") == "é" * (0xFFFF // 2)
