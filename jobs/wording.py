"""What is wrong with a value, in words for users: pydantic finds it, and says it for programmers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_WORDS = {
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "dict_type": "expected an object",
    "finite_number": "expected a finite number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "greater_than": "expected more than {gt:.12g}",
    "greater_than_equal": "expected {ge:.12g} or more",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "expected a smaller number",
    "int_type": "expected a whole number",
    "less_than": "expected less than {lt:.12g}",
    "less_than_equal": "expected {le:.12g} or less",
    "list_type": "expected a list",
    "literal_error": "expected {expected}",
    "missing": "it is missing",
    "model_type": "expected an object",
    "string_pattern_mismatch": "expected text that matches the regular expression {pattern}",
    "string_too_long": "expected at most {max_length} characters",
    "string_too_short": "expected {min_length} or more characters",
    "string_type": "expected text",
    "too_long": "expected at most {max_length} entries",
    "too_short": "expected {min_length} or more entries",
}
"""By pydantic's types of errors, with what each tells of itself."""


def in_words(error: "ErrorDetails") -> str:
    """What was expected instead, as the part of a sentence, without the full stop."""
    words = _WORDS.get(error["type"])
    return error["msg"].removeprefix("Value error, ") if words is None else words.format(**error.get("ctx", {}))
