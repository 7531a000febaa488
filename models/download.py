"""One file over HTTP, going on where an earlier attempt was cut off."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from models.errors import DownloadFailed

ATTEMPTS = 3
"""How often one call connects before it gives up; each goes on where the last was cut off."""
TIMEOUT = httpx.Timeout(60.0, connect=15.0)


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    bytes_done: int
    bytes_total: int | None
    """Absent where the server does not say."""


OnProgress = Callable[[DownloadProgress], None]


def ignore(_: DownloadProgress) -> None:
    """The observer that does nothing."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """What an unfinished file is the beginning of; kept in a small file beside it."""

    url: str
    validator: str | None
    """Strong ETag or date, for If-Range: the rest of another version must not be appended."""
    total: int | None


def download(url: str, part: Path, *, at_most_bytes: int, on_progress: OnProgress = ignore) -> None:
    """Write what is at `url` to `part`, continuing the file of that name if it is the beginning of the same thing.

    On failure what has arrived stays in `part`, and the next call goes on from there. A server without ranges, or one
    whose file has changed, sends everything again. That the content is right is for a checksum to say.

    Raises:
        DownloadFailed: the server cannot be reached, refuses, breaks off each time, or sends more than `at_most_bytes`.
        OSError: `part` cannot be written.
    """
    try:
        with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    if _transferred(client, url, part, at_most_bytes=at_most_bytes, on_progress=on_progress):
                        return
                except httpx.TransportError:
                    if attempt == ATTEMPTS:
                        raise
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DownloadFailed(
            f"Downloading {url} failed: {error or type(error).__name__}. What has arrived is kept;"
            " run the same command again to go on."
        ) from error
    raise DownloadFailed(f"{url} kept changing while it was downloaded. Try again later.")


def discard(part: Path) -> None:
    """Forget an unfinished download."""
    part.unlink(missing_ok=True)
    _origin_file(part).unlink(missing_ok=True)


def _transferred(client: httpx.Client, url: str, part: Path, *, at_most_bytes: int, on_progress: OnProgress) -> bool:
    """One connection. False: what was there could not be continued and is discarded, so begin again."""
    origin = _beginning(part, url=url)
    done = part.stat().st_size if origin is not None else 0
    if origin is not None and done == origin.total:
        return True
    with client.stream("GET", url, headers=_headers(origin, done=done)) as response:
        if response.status_code == 206 and origin is not None:
            if _range(response) != (done, origin.total):
                discard(part)
                return False
        elif response.status_code == 416 and origin is not None:
            discard(part)
            return False
        elif response.status_code == 200:
            discard(part)
            done, origin = 0, _origin(response, url=url)
            _origin_file(part).write_text(json.dumps(asdict(origin)))
        else:
            raise DownloadFailed(
                f"{url} answered {response.status_code} {response.reason_phrase} instead of the file."
                " Look whether it has moved, and give its new address with --url."
            )
        with part.open("ab" if done else "wb") as file:
            on_progress(DownloadProgress(done, origin.total))
            # As the pieces come: gathered into larger ones, the last would be lost when the connection breaks.
            for chunk in response.iter_raw():
                done += len(chunk)
                if done > at_most_bytes:
                    discard(part)
                    raise DownloadFailed(f"{url} sends more than {at_most_bytes} bytes, so it is not the file.")
                file.write(chunk)
                on_progress(DownloadProgress(done, origin.total))
    return True


def _headers(origin: _Origin | None, *, done: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}  # Compressed ranges are ranges of something else.
    if origin is not None:
        headers["Range"] = f"bytes={done}-"
        if origin.validator is not None:
            headers["If-Range"] = origin.validator
    return headers


def _origin(response: httpx.Response, *, url: str) -> _Origin:
    etag = response.headers.get("ETag")
    # RFC 9110, 13.1.5: If-Range takes no weak ETag.
    strong = etag if etag is not None and not etag.startswith("W/") else None
    length = response.headers.get("Content-Length", "")
    return _Origin(
        url=url,
        validator=strong or response.headers.get("Last-Modified"),
        total=int(length) if length.isdecimal() else None,
    )


def _range(response: httpx.Response) -> tuple[int, int | None] | None:
    """First byte and total size that a 206 speaks of."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None:
        return None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _beginning(part: Path, *, url: str) -> _Origin | None:
    """What `part` is the beginning of, or None where there is nothing of `url` to continue."""
    try:
        origin = _Origin(**json.loads(_origin_file(part).read_text()))
        if origin.url == url and part.stat().st_size > 0:
            return origin
    except (FileNotFoundError, ValueError, TypeError):
        pass  # No unfinished download, or a note cut off while it was written: begin anew.
    discard(part)
    return None


def _origin_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")
