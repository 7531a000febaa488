"""What pydantic finds wrong is said in words for users."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from jobs import wording
from jobs.wording import in_words


class Sample(BaseModel):
    """Has a field for every mistake that there are words for."""

    model_config = ConfigDict(strict=True)

    flag: bool = False
    finite: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    whole: int = 0
    ranged: Annotated[float, Field(ge=0.5, le=8.25)] = 1.0
    between: Annotated[float, Field(gt=0, lt=10**6)] = 1.0
    entries: Annotated[list[int], Field(min_length=1, max_length=2)] = [1]
    text: Annotated[str, Field(min_length=2, max_length=3)] = "ab"
    pattern: Annotated[str, Field(pattern="^[a-z]{2}$")] = "ab"
    choice: Literal["auto", "single"] = "auto"
    named: dict[str, str] = {}
    part: "Part | None" = None
    own: int = 0

    @field_validator("own")
    @classmethod
    def even(cls, own: int) -> int:
        if own % 2:
            raise ValueError("expected an even number")
        return own


class Part(BaseModel):
    needed: int = Field()


def mistake(data: Any, *, strict: bool = True) -> Any:
    with pytest.raises(ValidationError) as caught:
        Sample.model_validate(data, strict=strict)
    (error,) = caught.value.errors()
    return error


CASES: list[tuple[str, dict[str, Any], bool, str]] = [
    ("bool_parsing", {"flag": "maybe"}, False, "expected true or false"),
    ("bool_type", {"flag": 1}, True, "expected true or false"),
    ("dict_type", {"named": 1}, True, "expected an object"),
    ("finite_number", {"finite": float("inf")}, True, "expected a finite number"),
    ("float_parsing", {"finite": "x"}, False, "expected a number"),
    ("float_type", {"finite": "1"}, True, "expected a number"),
    ("greater_than", {"between": 0}, True, "expected more than 0"),
    ("greater_than_equal", {"ranged": 0}, True, "expected 0.5 or more"),
    ("int_from_float", {"whole": 1.5}, False, "expected a whole number"),
    ("int_parsing", {"whole": "x"}, False, "expected a whole number"),
    ("int_parsing_size", {"whole": "9" * 5000}, False, "expected a smaller number"),
    ("int_type", {"whole": "1"}, True, "expected a whole number"),
    ("less_than", {"between": 10**6}, True, "expected less than 1000000"),
    ("less_than_equal", {"ranged": 9}, True, "expected 8.25 or less"),
    ("list_type", {"entries": 1}, True, "expected a list"),
    ("literal_error", {"choice": "two"}, True, "expected 'auto' or 'single'"),
    ("missing", {"part": {}}, True, "it is missing"),
    ("model_type", {"part": 1}, True, "expected an object"),
    ("string_pattern_mismatch", {"pattern": "A"}, True, "expected text that matches the regular expression ^[a-z]{2}$"),
    ("string_too_long", {"text": "abcd"}, True, "expected at most 3 characters"),
    ("string_too_short", {"text": "a"}, True, "expected 2 or more characters"),
    ("string_type", {"text": 1}, True, "expected text"),
    ("too_long", {"entries": [1, 2, 3]}, True, "expected at most 2 entries"),
    ("too_short", {"entries": []}, True, "expected 1 or more entries"),
]


@pytest.mark.parametrize(("kind", "data", "strict", "words"), CASES, ids=[case[0] for case in CASES])
def test_a_mistake_is_said_with_what_was_expected(kind: str, data: dict[str, Any], strict: bool, words: str) -> None:
    error = mistake(data, strict=strict)
    assert error["type"] == kind
    assert in_words(error) == words


def test_every_mistake_that_has_words_is_tried() -> None:
    assert {kind for kind, *_ in CASES} == wording._WORDS.keys()


def test_a_mistake_without_words_of_its_own_is_said_as_pydantic_says_it() -> None:
    class Strange(BaseModel):
        part: bytes

    with pytest.raises(ValidationError) as caught:
        Strange.model_validate({"part": 1})
    (error,) = caught.value.errors()
    assert in_words(error) == error["msg"] == "Input should be a valid bytes"


def test_what_a_model_itself_says_is_taken_without_its_prefix() -> None:
    assert in_words(mistake({"own": 3})) == "expected an even number"
