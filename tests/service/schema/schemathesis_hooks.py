"""What schemathesis has to be told: how the bytes of an upload, and what stands in a form for a film, are sent."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/offset+octet-stream", "video/*")
def raw_bytes(_: Any, value: Any) -> Any:
    return value if isinstance(value, bytes) else b""
