"""What a user may ask of a job: the `options` part of `POST /v1/jobs`, checked here and nowhere else."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ModelName = Literal["retint", "deepremaster"]
TuningPreset = Literal["off", "fast", "quality"]
Objective = Literal["lab", "rgb", "l", "ab"]
Container = Literal["mp4", "mkv", "mov"]
Codec = Literal["h264", "ffv1", "prores"]
VariantName = Literal["video", "comparison", "preview", "report", "report_json"]

CODECS_BY_CONTAINER: dict[Container, tuple[Codec, ...]] = {
    "mp4": ("h264",),
    "mkv": ("h264", "ffv1"),
    "mov": ("prores",),
}
"""Which codecs a container carries; the first is its default."""


class StrictModel(BaseModel):
    """What every shape that users see is built on.

    Unknown fields are errors, so that a misspelt option is never ignored in silence; the sentence under a field is its
    description in the HTTP API's documentation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class TuningOptions(StrictModel):
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


class ReferenceOptions(StrictModel):
    """Where a reference stands in the video; a reference not named here is placed by matching luma."""

    name: Annotated[str, Field(min_length=1, max_length=255, description="File name of the uploaded reference.")]
    frame: Annotated[int | None, Field(ge=0, description="Frame number, counted from 0.")] = None
    time_seconds: Annotated[float | None, Field(ge=0, description="Or its time.")] = None

    @model_validator(mode="after")
    def one_place(self) -> Self:
        if self.frame is not None and self.time_seconds is not None:
            raise ValueError("give `frame` or `time_seconds`, not both")
        return self


class OutputOptions(StrictModel):
    """The colored video's file."""

    container: Annotated[Container, Field(description="mov carries ProRes, the others H.264; mkv FFV1 too.")] = "mp4"
    codec: Annotated[Codec | None, Field(description="Absent: the container's own (h264, or prores for mov).")] = None
    quality: Annotated[
        int, Field(ge=0, le=51, description="H.264 CRF: 0 lossless, 18 visually lossless; others ignore it.")
    ] = 18
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


class JobOptions(StrictModel):
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
        Field(max_length=64, description="Where references stand; those not named are placed by matching luma."),
    ] = []
    shots: Annotated[
        Literal["auto", "single"] | list[Annotated[int, Field(ge=1)]],
        Field(description="`auto`, `single`, or the first frame of every shot but the first."),
    ] = "auto"
    output: Annotated[OutputOptions, Field(description="The colored video's file.")] = OutputOptions()
    variants: Annotated[list[VariantName], Field(description="What to make beside the video.")] = [
        "video",
        "comparison",
        "preview",
        "report",
        "report_json",
    ]
    metadata: Annotated[dict[str, str], Field(max_length=32, description="Yours; returned with the job.")] = {}
    keep_input: Annotated[bool, Field(description="Keep the upload until the job expires.")] = True

    @property
    def resolved_tuning(self) -> TuningOptions:
        """The preset spelled out."""
        return self.tuning if isinstance(self.tuning, TuningOptions) else TUNING_PRESETS[self.tuning]
