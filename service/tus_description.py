"""What the API's documentation says of the headers and bodies of tus."""

from typing import Annotated, Any

from fastapi import Header

from service.tus import ALGORITHMS, OFFSET_STREAM, VERSION

VERSION_PARAMETER: dict[str, Any] = {
    "name": "Tus-Resumable",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "enum": [VERSION]},  # not `const`, which some generators of clients refuse in headers
    "description": "The version that the client speaks.",
}
"""For OpenAPI, as FastAPI would answer 422 itself where it knew that the header is required."""
_BASE64 = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_PAIR = f"[!-+\\--~]+(?: {_BASE64})?"
METADATA_PATTERN = f"^(?:{_PAIR}(?:,{_PAIR})*)?$"
CHECKSUM_PATTERN = f"^(?:{'|'.join(ALGORITHMS)}) {_BASE64}$"
"""What the headers look like, for OpenAPI."""

MetadataHeader = Annotated[
    str,
    Header(
        description="Pairs of a key and its value in base64, with commas between; `filename` is used.",
        json_schema_extra={"pattern": METADATA_PATTERN},
    ),
]
ChecksumHeader = Annotated[
    str | None,
    Header(
        description="Of this call's bytes: the name of an algorithm, a space, and base64.",
        json_schema_extra={"pattern": CHECKSUM_PATTERN},
    ),
]
ContentType = Annotated[str, Header(include_in_schema=False)]

OFFSET: dict[str, Any] = {"schema": {"type": "integer"}, "description": "Bytes that are here."}
STANDING: dict[str, Any] = {
    "Upload-Offset": OFFSET,
    "Upload-Expires": {"schema": {"type": "string"}, "description": "When it goes, if nothing more comes."},
}
BODY: dict[str, Any] = {"content": {OFFSET_STREAM: {"schema": {"type": "string", "format": "binary"}}}}
