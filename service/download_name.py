"""Under which name a finished file is saved."""

import re
from urllib.parse import quote

from jobs.options import ResultName
from jobs.record import Record

KINDS: dict[ResultName, str] = {"video": "color", "comparison": "before-after", "archive": "frames", "picture": "color"}
_MOST = 120
"""Characters of a title that a name keeps."""


def download_name(record: Record, variant: ResultName, *, suffix: str) -> str:
    """By the film's title, where `metadata` of its options has one, or else by its file name, or by the record's id:
    `summer-color.mp4`."""
    title = record.options.metadata.get("title") or record.filename or ""
    stem = re.sub(r"\.[A-Za-z0-9]{2,5}$", "", title)
    stem = re.sub(r"[^\w .()-]", "_", stem).strip(" .")[:_MOST]
    return f"{stem}-{KINDS.get(variant, variant)}{suffix}" if stem else f"{record.id}-{variant}{suffix}"


def disposition(name: str) -> str:
    """`Content-Disposition` (RFC 6266); what ASCII cannot say stands beside it in UTF-8."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    exact = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'inline; filename="{plain}"{exact}'
