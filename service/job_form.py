"""The multipart body of `POST /v1/jobs` for OpenAPI, which FastAPI cannot see since it is streamed past it."""

from typing import Any

JOB_FORM: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["references"],
                "oneOf": [{"required": ["video"]}, {"required": ["video_upload"]}],
                "additionalProperties": False,
                "properties": {
                    "video": {
                        "type": "string",
                        "format": "binary",
                        "description": "The video to color: mp4, mkv, mov, webm, avi or mpegts.",
                    },
                    "video_upload": {
                        "type": "string",
                        "pattern": "^upload_[0-9a-f]{24}$",
                        "description": "In place of `video`: the id of a finished upload to `/v1/uploads`.",
                    },
                    "references": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "minItems": 1,
                        "description": "Color images, one part each: frames of the video that were colored, or "
                        "pictures like them.",
                    },
                    "options": {
                        "$ref": "#/components/schemas/JobOptions",
                        "description": "JSON; absent: the defaults.",
                    },
                },
            },
            "encoding": {
                "video": {"contentType": "video/*, application/octet-stream"},
                "video_upload": {"contentType": "text/plain"},
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
