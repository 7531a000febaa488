import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import InvalidRequest, UnsupportedMediaType, UploadIncomplete
from service.multipart import (
    MAX_HEADER_BYTES,
    MAX_PART_HEADERS,
    MultipartReader,
    PartData,
    PartEnded,
    PartStarted,
    boundary_of,
)

Files = list[tuple[str, tuple[str, bytes, str]]]


def encode(files: Files) -> tuple[bytes, bytes]:
    request = httpx.Request("POST", "http://x", files=files)
    return boundary_of(request.headers["content-type"]), request.read()


def parts_of(reader: MultipartReader, pieces: list[bytes]) -> list[tuple[str, str | None, str | None, bytes]]:
    """Name, file name, content type and bytes of every part."""
    found: list[tuple[str, str | None, str | None, bytes]] = []
    for piece in pieces:
        for event in reader.feed(piece):
            match event:
                case PartStarted():
                    current, data = event, bytearray()
                case PartData():
                    data += event.data
                case PartEnded():
                    found.append((current.name, current.filename, current.content_type, bytes(data)))
    reader.close()
    return found


@given(
    contents=st.lists(st.binary(max_size=300) | st.just(b"\r\n--" * 20), min_size=1, max_size=4),
    size=st.integers(1, 64),
)
def test_parts_come_out_as_they_went_in_whatever_the_pieces(contents: list[bytes], size: int) -> None:
    files: Files = [(f"part{i}", (f"f{i}.bin", data, "video/mp4")) for i, data in enumerate(contents)]
    boundary, body = encode(files)
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    assert parts_of(MultipartReader(boundary), pieces) == [
        (name, filename, kind, data) for name, (filename, data, kind) in files
    ]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='%"\\'), min_size=1, max_size=40))
def test_file_names_of_any_script_survive(name: str) -> None:
    boundary, body = encode([("video", (name, b"x", "video/mp4"))])
    assert parts_of(MultipartReader(boundary), [body])[0][1] == name


def test_quotes_in_a_file_name_are_undone() -> None:
    boundary, body = encode([("video", ('a "b".mp4', b"x", "video/mp4"))])
    assert parts_of(MultipartReader(boundary), [body])[0][1] == 'a "b".mp4'


@given(st.integers(0, 200))
def test_a_body_cut_anywhere_before_its_end_is_incomplete(cut: int) -> None:
    boundary, body = encode([("video", ("a.mp4", b"x" * 50, "video/mp4"))])
    cut = min(cut, len(body) - 3)  # what follows the closing boundary's hyphens is only a line end
    with pytest.raises(UploadIncomplete):
        parts_of(MultipartReader(boundary), [body[:cut]])


def test_garbage_is_named_as_such() -> None:
    with pytest.raises(InvalidRequest, match="malformed"):
        MultipartReader(b"frontier").feed(b"no boundary at all")


def test_a_part_without_a_name_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="has no name"):
        MultipartReader(b"b").feed(b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n")


def body_with(*further: bytes) -> bytes:
    """A part with a name and `further` header lines."""
    headers = [b'Content-Disposition: form-data; name="video"', *further]
    return b"--b\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\nx\r\n--b--\r\n"


def test_headers_of_a_part_are_bounded_in_number_and_length() -> None:
    long = b"X-Note: ".ljust(MAX_HEADER_BYTES, b"x")
    assert parts_of(MultipartReader(b"b"), [body_with(long)]) == [("video", None, None, b"x")]
    with pytest.raises(InvalidRequest, match="header size"):
        MultipartReader(b"b").feed(body_with(long + b"x"))
    with pytest.raises(InvalidRequest, match="header count"):
        MultipartReader(b"b").feed(body_with(*[b"X-Note: x"] * MAX_PART_HEADERS))


def test_a_header_that_never_ends_is_refused_as_it_comes() -> None:
    reader = MultipartReader(b"b")
    reader.feed(b"--b\r\nX-Note: ")
    for _ in range(MAX_HEADER_BYTES - len("X-Note: ")):
        reader.feed(b"x")
    with pytest.raises(InvalidRequest, match="header size"):
        reader.feed(b"x")


@pytest.mark.parametrize("given", [None, "application/json", "multipart/form-data", "multipart/mixed; boundary=x"])
def test_other_content_types_are_refused(given: str | None) -> None:
    with pytest.raises(UnsupportedMediaType):
        boundary_of(given)


def test_an_endless_boundary_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        MultipartReader(b"x" * 5000)
