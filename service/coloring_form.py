"""The multipart body of `POST /v1/colorings` for OpenAPI."""

from typing import Any

COLORING_FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A monochrome picture, and strokes of color on it.",
    "required": ["picture", "strokes"],
    "additionalProperties": False,
    "properties": {
        "picture": {
            "type": "string",
            "format": "binary",
            "description": "The picture to color: PNG, JPEG, WebP, TIFF.",
        },
        "strokes": {
            "type": "string",
            "format": "binary",
            "description": "A PNG with transparency in the shape of the picture: where it is opaque, its color is "
            "wanted; gray keeps a place gray.",
        },
        "options": {"$ref": "#/components/schemas/ColoringOptions", "description": "JSON; absent: the defaults."},
    },
}
COLORING_FORM: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"$ref": "#/components/schemas/ColoringForm"},
            "encoding": {
                "picture": {"contentType": "image/*, application/octet-stream"},
                "strokes": {"contentType": "image/png, application/octet-stream"},
                "options": {"contentType": "application/json"},
            },
        }
    },
}
