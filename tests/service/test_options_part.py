import pytest

from jobs.errors import InvalidRequest
from jobs.options import JobOptions, KeyframeOptions
from service.options_part import parse_options, require_uploaded


def places(data: bytes, *, of: type[JobOptions | KeyframeOptions] = JobOptions) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        parse_options(data, of=of)
    return {error.pointer: error.detail for error in caught.value.errors}


@pytest.mark.parametrize("data", [b"", b"  \n", b"{}"])
def test_nothing_is_the_defaults(data: bytes) -> None:
    assert parse_options(data, of=JobOptions) == JobOptions()


def test_an_unknown_field_is_pointed_at() -> None:
    assert places(b'{"tunning": "fast"}') == {
        "#/options/tunning": "There is no field `tunning`; did you mean `tuning`?"
    }
    assert places(b'{"xyz": 1}') == {"#/options/xyz": "There is no field `xyz` here."}


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        (b'{"keep_input": 0}', "keep_input"),
        (b'{"working_size": "320"}', "working_size"),
        (b'{"restore": "no"}', "restore"),
    ],
)
def test_a_value_of_another_type_is_not_guessed_at(data: bytes, pointer: str) -> None:
    assert list(places(data)) == [f"#/options/{pointer}"]


@pytest.mark.parametrize("number", [b"1e999", b"Infinity", b"NaN"])
def test_a_time_that_is_not_finite_is_refused(number: bytes) -> None:
    in_references = b'{"references": [{"name": "a.png", "time_seconds": ' + number + b"}]}"
    assert list(places(in_references)) == ["#/options/references/0/time_seconds"]
    in_frames = b'{"frames": [{"time_seconds": ' + number + b"}]}"
    assert list(places(in_frames, of=KeyframeOptions)) == ["#/options/frames/0/time_seconds"]


def test_a_union_is_one_mistake_in_one_place() -> None:
    found = places(b'{"tuning": "best"}')
    assert list(found) == ["#/options/tuning"]
    assert "'off', 'fast' or 'quality'" in found["#/options/tuning"]


def test_a_mistake_inside_a_union_has_the_users_own_path() -> None:
    assert "#/options/tuning/iterations" in places(b'{"tuning": {"iterations": 1000}}')


def test_a_mistake_in_a_list_has_its_index() -> None:
    found = places(b'{"references": [{"name": "a.png"}, {"frame": 1}]}')
    assert list(found) == ["#/options/references/1/name"]


def test_several_mistakes_come_at_once() -> None:
    assert set(places(b'{"model": "x", "output": {"container": "mkv", "codec": "prores"}}')) == {
        "#/options/model",
        "#/options/output",
    }


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"tuning": "best"}', "expected 'off', 'fast' or 'quality'; or: expected an object."),
        (b'{"tuning": {"weight_noise": 2}}', "expected 1 or less."),
        (b'{"output": {"quality": 18.5}}', "expected a whole number."),
        (b'{"working_size": 10}', "expected 64 or more."),
        (b'{"references": {}}', "expected a list."),
        (b'{"references": [{}]}', "it is missing."),
        (b'{"references": [{"name": ""}]}', "expected 1 or more characters."),
        (b'{"restore": "yes"}', "expected true or false."),
        (b'{"metadata": {"a": 1}}', "expected text."),
        (b'{"output": {"container": "mp4", "codec": "ffv1"}}', "mp4 carries h264, not ffv1."),
    ],
)
def test_what_was_expected_is_said_in_plain_words(data: bytes, expected: str) -> None:
    assert expected in places(data).values()


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[1]", b'"fast"', b"null", b"[" * 100_000])
def test_what_is_no_json_object_is_an_error_of_the_whole_part(data: bytes) -> None:
    assert list(places(data)) == ["#/options"]


def test_slashes_in_keys_are_escaped() -> None:
    assert list(places(b'{"a/b~c": 1}')) == ["#/options/a~1b~0c"]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ('"within": [2, 1]', "the first comes after the last"),
        ('"within": [1, 2], "frame": 1', "give one of `frame`, `time_seconds` and `within`"),
        ('"frame": 1, "time_seconds": 1', "give one of `frame`, `time_seconds` and `within`"),
        ('"within": [1, 2], "is_frame": false', "has no `frame`, `time_seconds` or `within`"),
        ('"frame": 1, "is_frame": false', "has no `frame`, `time_seconds` or `within`"),
    ],
)
def test_a_reference_has_one_place(place: str, told: str) -> None:
    [(pointer, detail)] = places(b'{"references": [{"name": "a.png", %s}]}' % place.encode()).items()
    assert pointer == "#/options/references/0"
    assert told in detail


@pytest.mark.parametrize(
    ("within", "place"), [("[]", ""), ("[1]", ""), ("[1, 2, 3]", ""), ("[-1, 2]", "/0"), ("[1, 2.5]", "/1")]
)
def test_a_range_is_two_frame_numbers(within: str, place: str) -> None:
    found = places(b'{"references": [{"name": "a.png", "within": %s}]}' % within.encode())
    assert list(found) == [f"#/options/references/0/within{place}"]


def test_references_must_be_uploaded_and_come_once() -> None:
    options = parse_options(b'{"references": [{"name": "a.png"}, {"name": "b.png"}, {"name": "a.png"}]}', of=JobOptions)
    with pytest.raises(InvalidRequest) as caught:
        require_uploaded(options, names={"a.png"})
    assert [error.pointer for error in caught.value.errors] == [
        "#/options/references/1/name",
        "#/options/references/2/name",
    ]
    require_uploaded(parse_options(b'{"references": [{"name": "a.png"}]}', of=JobOptions), names={"a.png"})
