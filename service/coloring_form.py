"""Colorings by strokes for the OpenAPI description: the form that asks for them, and an answer."""

from datetime import UTC, datetime
from typing import Any

from jobs.options import ColoringOptions
from jobs.record import Coloring, Progress, Variant

_ID = "coloring_5f1c9b2e7a4d60318c2b9e55"

COLORING_CONTENT: dict[str, Any] = {
    "application/json": {
        "example": Coloring(
            id=_ID,
            status="succeeded",
            progress=Progress(fraction=1),
            options=ColoringOptions(),
            variants=[
                Variant(
                    name="picture",
                    media_type="image/png",
                    bytes=701_224,
                    sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    href=f"/v1/colorings/{_ID}/content",
                )
            ],
            created_at=datetime(2026, 11, 25, 12, 0, tzinfo=UTC),
            started_at=datetime(2026, 11, 25, 12, 0, 0, 200_000, tzinfo=UTC),
            finished_at=datetime(2026, 11, 25, 12, 0, 2, tzinfo=UTC),
            expires_at=datetime(2026, 12, 2, 12, 0, 2, tzinfo=UTC),
        ).model_dump(mode="json")
    }
}
"""`content` of every answer that is a coloring; FastAPI adds the schema."""

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
            "description": "A PNG with transparency in the shape of the picture, at any size: where it is opaque, its "
            "color is wanted; gray keeps a place gray.",
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
