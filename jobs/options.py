"""What a user may ask of a job: the `options` part of `POST /v1/jobs`, checked here and nowhere else."""

import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    UrlConstraints,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError, Url

ModelName = Literal["retint", "deepremaster", "exemplar"]
TuningPreset = Literal["off", "fast", "quality"]
Objective = Literal["lab", "rgb", "l", "ab"]
Container = Literal["mp4", "mkv", "mov"]
Codec = Literal["h264", "ffv1", "prores"]
WebhookEvent = Literal["job.processing", "job.succeeded", "job.failed", "job.canceled"]
VariantName = Literal["video", "comparison", "preview", "frames", "report", "report_json"]
ResultName = VariantName | Literal["archive", "picture"]
"""What a task may have made; `archive` holds keyframes, `picture` is what was colored by strokes."""

CODECS_BY_CONTAINER: dict[Container, tuple[Codec, ...]] = {
    "mp4": ("h264",),
    "mkv": ("h264", "ffv1"),
    "mov": ("prores",),
}
"""Which codecs a container carries; the first is its default."""
DEFAULT_QUALITY = 18
"""Of H.264, as a constant rate factor (CRF)."""


class StrictModel(BaseModel):
    """What every shape that users see is built on.

    Unknown fields are errors, so that a misspelt option is never ignored in silence; the sentence under a field is its
    description in the HTTP API's documentation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class FiniteModel(StrictModel):
    """What every shape that users send is built on; JSON, in which it is shown again, has no infinite numbers."""

    model_config = ConfigDict(allow_inf_nan=False)


class TuningOptions(FiniteModel):
    """Explicit test-time tuning, for those who want more than a preset."""

    iterations: Annotated[int, Field(ge=0, le=200, description="Optimizer steps at most; 0 is off.")] = 20
    learning_rate: Annotated[
        float | None, Field(gt=0, le=0.1, description="Adam's learning rate; absent: the model's own.")
    ] = None
    objective: Annotated[Objective, Field(description="Which errors train: the paper's `lab`, or an ablation.")] = "lab"
    weight_noise: Annotated[
        float, Field(ge=0, le=1, description="Noise on the weights before tuning, relative to their spread.")
    ] = 0.0


TUNING_PRESETS: dict[TuningPreset, TuningOptions] = {
    "off": TuningOptions(iterations=0),
    "fast": TuningOptions(iterations=5),
    "quality": TuningOptions(iterations=20),
}


class ReferenceOptions(FiniteModel):
    """Where a reference stands in the video; one of which only the name is given is placed by matching luma."""

    name: Annotated[str, Field(min_length=1, max_length=255, description="File name of the uploaded reference.")]
    frame: Annotated[int | None, Field(ge=0, description="Frame number, counted from 0.")] = None
    time_seconds: Annotated[float | None, Field(ge=0, description="Or its time.")] = None
    within: Annotated[
        list[Annotated[int, Field(ge=0)]] | None,
        Field(
            min_length=2,
            max_length=2,
            description="Or where to look for it: the first and the last of these frames, such as those of a shot, "
            "counted from 0. Absent: in the whole video.",
            examples=[[240, 300]],
        ),
    ] = None
    is_frame: Annotated[
        bool,
        Field(
            description="False: it is no frame of the video (another take, a postcard). No place is searched for it; "
            "it colors the shots that none of the others looks like."
        ),
    ] = True

    @model_validator(mode="after")
    def one_place(self) -> Self:
        places = [place for place in (self.frame, self.time_seconds, self.within) if place is not None]
        if len(places) > 1:
            raise ValueError("give one of `frame`, `time_seconds` and `within`")
        if not self.is_frame and places:
            raise ValueError("a reference that is no frame of the video has no `frame`, `time_seconds` or `within`")
        if self.within is not None and self.within[0] > self.within[1]:
            raise ValueError("`within` is the first frame and the last; the first comes after the last")
        return self


class OutputOptions(FiniteModel):
    """The colored video's file."""

    container: Annotated[Container, Field(description="mov carries ProRes, the others H.264; mkv FFV1 too.")] = "mp4"
    codec: Annotated[Codec | None, Field(description="Absent: the container's own (h264, or prores for mov).")] = None
    quality: Annotated[
        int,
        Field(
            ge=0,
            le=51,
            description="H.264 CRF: 0 lossless, 18 visually lossless. Other codecs have no use for it; `warnings` says "
            "so where it is not the default.",
        ),
    ] = DEFAULT_QUALITY
    pixel_format: Annotated[
        Literal["420", "422", "444"] | None,
        Field(description="Chroma subsampling; absent: 420 (ProRes: 422). Bit depth is always the source's."),
    ] = None

    @model_validator(mode="after")
    def codec_fits_container(self) -> Self:
        allowed = CODECS_BY_CONTAINER[self.container]
        if self.codec is not None and self.codec not in allowed:
            raise ValueError(f"{self.container} carries {' or '.join(allowed)}, not {self.codec}")
        if self.resolved_codec == "prores" and self.pixel_format == "420":
            raise ValueError("prores carries 422 or 444, not 420")
        return self

    @property
    def resolved_codec(self) -> Codec:
        return self.codec or CODECS_BY_CONTAINER[self.container][0]

    @property
    def subsampling(self) -> Literal["420", "422", "444"]:
        return self.pixel_format or ("422" if self.resolved_codec == "prores" else "420")


_FOUR = "[A-Za-z0-9+/]{4}"
_LAST = ("[A-Za-z0-9+/]{3}=", "[A-Za-z0-9+/]{2}==")
WEBHOOK_SECRET_PATTERN = f"^whsec_(({_FOUR}){{8,20}}({_LAST[0]}|{_LAST[1]})?|({_FOUR}){{21}}({_LAST[1]})?)$"
"""Standard Webhooks 1.0, "Signature scheme": `whsec_` and base64 of 24 to 64 random bytes."""


WEB_ADDRESS_PATTERN = "^https?://[!-~]+$"
"""As it is sent: international names and paths encoded."""
_WEB_ADDRESS = TypeAdapter(Annotated[Url, UrlConstraints(allowed_schemes=["http", "https"], host_required=True)])


def _checked_web_address(text: str) -> str:
    """Kept as it was given: made into what it means it may become longer than is allowed."""
    try:
        _WEB_ADDRESS.validate_python(text)
    except ValidationError as error:
        raise _no_web_address() from error
    if re.fullmatch(WEB_ADDRESS_PATTERN, text) is None:
        raise _no_web_address()
    return text


def _no_web_address() -> PydanticCustomError:
    return PydanticCustomError("url", "give an address in ASCII that begins with http:// or https://")


def _checked_webhook_secret(secret: SecretStr) -> SecretStr:
    if re.fullmatch(WEBHOOK_SECRET_PATTERN, secret.get_secret_value()) is None:
        raise ValueError("give `whsec_` and the base64 of 24 to 64 random bytes")
    return secret


class WebhookOptions(FiniteModel):
    """Whom to tell how the job goes; docs/api.md says how to check the signature."""

    url: Annotated[
        str,
        AfterValidator(_checked_web_address),
        Field(
            max_length=2048,
            description="Gets a POST with the event; `http` or `https`.",
            json_schema_extra={"pattern": WEB_ADDRESS_PATTERN},
        ),
    ]
    secret: Annotated[
        SecretStr,
        AfterValidator(_checked_webhook_secret),
        Field(
            description="Signs every call: `whsec_` and the base64 of 24 to 64 random bytes. Never shown again.",
            json_schema_extra={"pattern": WEBHOOK_SECRET_PATTERN},
            examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        ),
    ]
    events: Annotated[
        list[WebhookEvent], Field(min_length=1, description="Which events to send; absent: those that end a job.")
    ] = ["job.succeeded", "job.failed", "job.canceled"]

    @model_serializer(mode="wrap")
    def without_secret(self, write: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, object]:
        """The secret is for Redis alone, which the context names; everywhere else it is left out."""
        written: dict[str, object] = write(self)
        del written["secret"]
        if (info.context or {}).get("for_redis"):
            written["secret"] = self.secret.get_secret_value()
        return written


Shots = Annotated[
    Literal["auto", "single"] | list[Annotated[int, Field(ge=1)]],
    Field(
        description="`auto` finds cuts and fades, no dissolves, between shots of 8 frames or more; `single` makes one "
        "shot of all; or the first frame of every shot but the first."
    ),
]


Metadata = Annotated[
    dict[str, str],
    Field(
        max_length=32,
        description="Yours; returned with the record. `title`, or else the record's `filename`, names its downloads.",
    ),
]


class JobOptions(FiniteModel):
    """Everything has a default: an empty object is a whole job."""

    model: Annotated[ModelName, Field(description="Which model colors; `GET /v1/models` tells of each.")] = "retint"
    tuning: Annotated[
        TuningPreset | TuningOptions,
        Field(
            description="How long the model is fitted to the references first: `off`, `fast` (5 steps at most), "
            "`quality` (20), or options."
        ),
    ] = "quality"
    restore: Annotated[bool, Field(description="Let a model that restores change the luma too.")] = False
    working_size: Annotated[
        int | None,
        Field(ge=64, le=2160, description="Short side at which color is predicted; absent: the model's."),
    ] = None
    references: Annotated[
        list[ReferenceOptions],
        Field(
            description="Where references stand; those not named stand where the job in `reuse` was told that they "
            "stand, or are placed by matching luma."
        ),
    ] = []
    shots: Shots = "auto"
    output: Annotated[OutputOptions, Field(description="The colored video's file.")] = OutputOptions()
    variants: Annotated[
        list[VariantName],
        Field(
            description="What to make beside the video. `frames`, not made unless asked for, is a zip of every frame "
            "as a PNG, with 16 bits where the video has more than 8: far larger than the video."
        ),
    ] = [
        "video",
        "comparison",
        "preview",
        "report",
        "report_json",
    ]
    webhook: Annotated[WebhookOptions | None, Field(description="Whom to tell how the job goes.")] = None
    reuse: Annotated[
        str | None,
        Field(
            max_length=64,
            description="Id of an earlier job of the same video. Its shots are taken over where nothing that they are "
            "made of has changed; its video where none is sent, and its references where none of their name are. What "
            "it was told of places holds, unless `references` says otherwise; what it found in this video is not "
            "searched for again.",
        ),
    ] = None
    omit_references: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=255)]],
        Field(description="Names of references of the job in `reuse` that are left out."),
    ] = []
    metadata: Metadata = {}
    keep_input: Annotated[bool, Field(description="Keep the upload until the job expires.")] = True

    @property
    def resolved_tuning(self) -> TuningOptions:
        """The preset spelled out."""
        return self.tuning if isinstance(self.tuning, TuningOptions) else TUNING_PRESETS[self.tuning]


class FrameOptions(FiniteModel):
    """One frame of the video, by its number or its time."""

    frame: Annotated[int | None, Field(ge=0, description="Frame number, counted from 0.")] = None
    time_seconds: Annotated[float | None, Field(ge=0, description="Or a time at which it is shown.")] = None

    @model_validator(mode="after")
    def one_place(self) -> Self:
        if (self.frame is None) == (self.time_seconds is None):
            raise ValueError("give `frame` or `time_seconds`")
        return self


MOST_PARTS = 1000
"""That one film is divided into by `every_seconds`: the pictures of so many parts of a 4K film are some 10 GB."""


class KeyframeOptions(FiniteModel):
    """Everything has a default here too."""

    frames: Annotated[
        list[FrameOptions],
        Field(max_length=64, description="These frames, in place of those worth coloring; nothing is searched then."),
    ] = []

    shots: Shots = "auto"
    every_seconds: Annotated[
        float | None,
        Field(
            ge=1,
            description="Long shots get more than one frame: they are divided into parts of about so many seconds, and "
            f"each part gets one. Absent: one frame a shot. If a film is more than {MOST_PARTS} times as long, the "
            "search fails with `too_many_frames`. Not together with `frames`.",
        ),
    ] = None
    metadata: Metadata = {}
    keep_input: Annotated[bool, Field(description="Keep the upload until the keyframes expire.")] = True

    @model_validator(mode="after")
    def searched_or_named(self) -> Self:
        if self.frames and self.every_seconds is not None:
            raise ValueError("give `frames` or `every_seconds`: where frames are named, none is searched")
        return self


class ColoringOptions(FiniteModel):
    """What belongs to a picture that is colored by strokes."""

    metadata: Metadata = {}
    keep_input: Annotated[bool, Field(description="Keep the picture and the strokes until the coloring expires.")] = (
        False
    )
