"""A server that takes resumable uploads and makes jobs of them, and does so badly where told."""

import base64
import hashlib
from collections import Counter
from dataclasses import replace

from fake_server import JOB, Answer, Received, json_answer, problem


class UploadServer:
    """Answers a `FakeServer`'s calls. `refusals` are given in place of the next answers to the calls that they are for,
    such as `PATCH`; `damages` so many parts of uploads on their way in."""

    def __init__(self, *, damages: int = 0, **refusals: list[Answer]) -> None:
        self.uploads: dict[str, bytes] = {}
        """What is here, by id, deleted uploads too."""
        self.forms: dict[str, bytes] = {}
        """The forms that became jobs, by idempotency key."""
        self.checked: list[bytes] = []
        """The forms that came without a video."""
        self.calls: Counter[str] = Counter()
        self._lengths: dict[str, int] = {}
        self._refusals = refusals
        self._damages = damages

    def __call__(self, request: Received) -> Answer:
        self.calls[request.method] += 1
        refusals = self._refusals.get("JOB" if request.path == "/v1/jobs" else request.method)
        if refusals:
            return refusals.pop(0)
        if request.path in ("/v1/jobs", "/v1/keyframes"):
            return self._make(request)
        assert request.headers["Tus-Resumable"] == "1.0.0"
        if request.method == "POST":
            upload_id = f"upload_{len(self.uploads):024x}"
            self.uploads[upload_id], self._lengths[upload_id] = b"", int(request.headers["Upload-Length"])
            return json_answer({"id": upload_id, "length": self._lengths[upload_id], "offset": 0}, status=201)
        upload_id = request.path.rsplit("/", 1)[-1]
        if request.method == "PATCH":
            return self._append(upload_id, request)
        return Answer(204 if request.method == "DELETE" else 200, headers=self._standing(upload_id))

    def _append(self, upload_id: str, request: Received) -> Answer:
        assert request.headers["Content-Type"] == "application/offset+octet-stream"
        if int(request.headers["Upload-Offset"]) != len(self.uploads[upload_id]):
            return problem(409, "upload_offset_mismatch")
        if self._damages > 0:
            self._damages -= 1
            request = replace(request, body=b"?" + request.body[1:])
        algorithm, checksum = request.headers["Upload-Checksum"].split()
        assert algorithm == "sha256"
        if base64.b64decode(checksum) != hashlib.sha256(request.body).digest():
            return problem(460, "checksum_mismatch")
        self.uploads[upload_id] += request.body
        return Answer(204, headers=self._standing(upload_id))

    def _standing(self, upload_id: str) -> dict[str, str]:
        return {"Upload-Offset": str(len(self.uploads[upload_id]))}

    def _make(self, request: Received) -> Answer:
        if b'name="video_upload"' not in request.body:
            self.checked.append(request.body)
            errors = [{"pointer": "#/video", "detail": "Send the video."}]
            return json_answer({"code": "invalid_request", "detail": "It lacks a part.", "errors": errors}, status=422)
        self.forms.setdefault(request.headers["Idempotency-Key"], request.body)
        return json_answer({**JOB, "id": "job_1"}, status=202)
