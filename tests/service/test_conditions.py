import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.conditions import ByteRange, OutsideFile, matches, requested_range

TAG = '"abc"'


def ask(header: str | None, *, size: int = 100, if_range: str | None = None) -> ByteRange | None:
    return requested_range(header, size=size, if_range=if_range, etag=TAG)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-9", ByteRange(0, 9)),
        ("bytes=90-", ByteRange(90, 99)),
        ("bytes=90-1000", ByteRange(90, 99)),
        ("bytes=-10", ByteRange(90, 99)),
        ("bytes=-1000", ByteRange(0, 99)),
        ("Bytes = 5-5", ByteRange(5, 5)),
        (None, None),
        ("bytes=9-0", None),
        ("bytes=0-1,5-6", None),
        ("frames=0-1", None),
        ("bytes=a-b", None),
        ("bytes=-", None),
    ],
)
def test_a_range_is_read_or_ignored(header: str | None, expected: ByteRange | None) -> None:
    assert ask(header) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(OutsideFile):
        ask(header)


def test_if_range_keeps_the_range_only_for_the_same_strong_tag() -> None:
    assert ask("bytes=0-9", if_range=TAG) == ByteRange(0, 9)
    assert ask("bytes=0-9", if_range='"other"') is None
    assert ask("bytes=0-9", if_range=f"W/{TAG}") is None


@given(first=st.integers(0, 300), last=st.integers(0, 300), size=st.integers(1, 200))
def test_every_range_given_lies_inside_the_file(first: int, last: int, size: int) -> None:
    try:
        found = ask(f"bytes={first}-{last}", size=size)
    except OutsideFile:
        assert first >= size
        return
    if found is not None:
        assert 0 <= found.first <= found.last < size
        assert found.length == len(range(size)[first : last + 1])


def test_if_none_match_compares_lists_weakly() -> None:
    assert matches('"x", W/"abc"', etag=TAG)
    assert matches("*", etag=TAG)
    assert not matches('"x"', etag=TAG)
    assert not matches(None, etag=TAG)
