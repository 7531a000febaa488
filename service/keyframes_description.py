"""Keyframes for the OpenAPI description: the form that asks for them, and an answer."""

from datetime import UTC, datetime
from typing import Any

from jobs.options import KeyframeOptions
from jobs.record import Keyframe, Keyframes, Progress, Variant
from service.examples import FILM, content_of
from service.video_part import ONE_VIDEO, video_properties

_ID = "keyframes_5f1c9b2e7a4d60318c2b9e55"

_FOUND = Keyframes(
    id=_ID,
    status="succeeded",
    filename="film.mkv",
    progress=Progress(fraction=1, frames_done=240, frames_total=240, fps=160.0, eta_seconds=0),
    options=KeyframeOptions(),
    video=FILM,
    keyframes=[
        Keyframe(
            shot=0,
            first_frame=0,
            last_frame=239,
            frame=7,
            time_seconds=0.28,
            name="shot-0001_frame-000007.png",
            href=f"/v1/keyframes/{_ID}/frames/7",
        )
    ],
    variants=[
        Variant(
            name="archive",
            media_type="application/zip",
            bytes=301_224,
            sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            href=f"/v1/keyframes/{_ID}/content",
        )
    ],
    created_at=datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
    started_at=datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC),
    finished_at=datetime(2026, 11, 23, 12, 0, 3, tzinfo=UTC),
    expires_at=datetime(2026, 11, 30, 12, 0, 3, tzinfo=UTC),
)
KEYFRAMES_CONTENT = content_of(_FOUND)
CANCELED_KEYFRAMES_CONTENT = content_of(
    _FOUND.model_copy(update={"status": "canceled", "progress": Progress(), "keyframes": [], "variants": []})
)

KEYFRAMES_FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A video, given in `video`, `video_upload` or `video_of`.",
    **ONE_VIDEO,
    "additionalProperties": False,
    "properties": {
        **video_properties("The video to look through"),
        "options": {"$ref": "#/components/schemas/KeyframeOptions", "description": "JSON; absent: the defaults."},
    },
}

KEYFRAMES_FORM: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"$ref": "#/components/schemas/KeyframesForm"},
            "encoding": {
                "video": {"contentType": "video/*, application/octet-stream"},
                "video_upload": {"contentType": "text/plain"},
                "video_of": {"contentType": "text/plain"},
                "options": {"contentType": "application/json"},
            },
            "examples": {"curl": {"summary": "A video", "value": {"video": "@film.mp4"}}},
        }
    },
}
