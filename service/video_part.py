"""How a form brings its video, for OpenAPI: the same for jobs and for keyframes."""

from typing import Any

VIDEO_PARTS = ("video", "video_upload", "video_of")
ONE_VIDEO: dict[str, Any] = {"allOf": [{"oneOf": [{"required": [video]} for video in VIDEO_PARTS]}]}
"""Of a form. A bare `oneOf` is taken by generators of clients for two kinds of form, or for none that they know."""
ONE_VIDEO_OR_NONE: dict[str, Any] = {
    "oneOf": [
        *({"required": [video]} for video in VIDEO_PARTS),
        {"properties": {video: {"type": "null"} for video in VIDEO_PARTS}},
    ]
}
"""Of a form that may also bring none: no part of a form is null. The schema `false` would say it better, but generators
of clients do not read it."""


def video_properties(what: str) -> dict[str, Any]:
    return {
        "video": {
            "type": "string",
            "format": "binary",
            "description": f"{what}: mp4, mkv, mov, webm, avi or mpegts.",
        },
        "video_upload": {
            "type": "string",
            "pattern": "^upload_[0-9a-f]{24}$",
            "description": "In place of `video`: the id of a finished upload to `/v1/uploads`.",
        },
        "video_of": {
            "type": "string",
            "pattern": "^(job|keyframes)_[0-9a-f]{24}$",
            "description": "In place of `video`: the id of an earlier job or search for keyframes, for the same video "
            "again.",
        },
    }
