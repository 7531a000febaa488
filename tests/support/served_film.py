"""A job whose film is 300,000 bytes of noise, and a server that serves it, cut off where told."""

import hashlib
import random

from fake_server import Answer, Received, job_answer

CONTENT = random.Random(1).randbytes(300_000)


def job_with(content: bytes) -> Answer:
    variant = {
        "name": "video",
        "media_type": "video/mp4",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "href": "/v1/jobs/job_1/content?variant=video",
    }
    return job_answer(status="succeeded", variants=[variant])


class FilmServer:
    """Serves `content`, cut off after `cuts[n]` bytes the nth time."""

    def __init__(self, content: bytes, *, cuts: list[int] | None = None, ranges: bool = True) -> None:
        self.content = content
        self.cuts = cuts or []
        self.ranges = ranges
        self.asked: list[str | None] = []

    def __call__(self, request: Received) -> Answer:
        if not request.path.startswith("/v1/jobs/job_1/content"):
            return job_with(CONTENT)
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        cut = self.cuts.pop(0) if self.cuts else None
        return Answer(206 if start else 200, self.content[start:], cut_after=cut)
