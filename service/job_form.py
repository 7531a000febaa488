"""The multipart body of `POST /v1/jobs` for OpenAPI, which FastAPI cannot see since it is streamed past it."""

from typing import Any

from service.video_part import ONE_VIDEO_OR_NONE, VIDEO_PARTS, video_properties

_OF_EARLIER_JOB: dict[str, Any] = {
    "required": ["options"],
    "properties": {"options": {"required": ["reuse"], "properties": {"reuse": {"type": "string"}}}},
}
JOB_FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A video, given in `video`, `video_upload` or `video_of`, and colored frames of it. With `reuse` in "
    "`options` both may be left out: what the earlier job has is taken then.",
    # In `allOf` for generators of clients, as `ONE_VIDEO` is.
    "allOf": [
        {"anyOf": [*({"required": ["references", video]} for video in VIDEO_PARTS), _OF_EARLIER_JOB]},
        ONE_VIDEO_OR_NONE,
    ],
    "additionalProperties": False,
    "properties": {
        **video_properties("The video to color"),
        "references": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "minItems": 1,
            "description": "Color images, one part each: frames of the video that were colored, or pictures like them.",
        },
        "options": {"$ref": "#/components/schemas/JobOptions", "description": "JSON; absent: the defaults."},
    },
}
"""A component, so that generators of clients name it."""

JOB_FORM: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"$ref": "#/components/schemas/JobForm"},
            "encoding": {
                "video": {"contentType": "video/*, application/octet-stream"},
                "video_upload": {"contentType": "text/plain"},
                "video_of": {"contentType": "text/plain"},
                "references": {"contentType": "image/*, application/octet-stream"},
                "options": {"contentType": "application/json"},
            },
            "examples": {
                "curl": {
                    "summary": "A video, one colored frame of it, and quick tuning",
                    "value": {
                        "video": "@film.mp4",
                        "references": ["@frame.png"],
                        "options": {"tuning": "fast"},
                    },
                }
            },
        }
    },
}
