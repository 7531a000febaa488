"""How long a job may take before it is held for hung: far longer than any machine should need, but not for ever."""

from jobs.options import ColoringOptions, JobOptions, KeyframeOptions, ModelName
from jobs.record import VideoFacts

BEFORE_FACTS_SECONDS = 2 * 3600.0
"""Until the video's facts are known: counting the packets of the largest upload on a slow disk."""
OVERHEAD_SECONDS = 1800.0
LONGEST_SECONDS = 28 * 24 * 3600.0
"""Below the queue's own last resort, so that the user reads our sentence."""

# About twenty times what two cores of 2020 need at some 480 lines for a frame, and for a step of tuning with its share
# of what tuning colors.
SECONDS_PER_FRAME: dict[ModelName, float] = {"retint": 6.0, "deepremaster": 60.0, "exemplar": 120.0}
SECONDS_PER_STEP: dict[ModelName, float] = {"retint": 50.0, "deepremaster": 300.0, "exemplar": 600.0}
LARGEST_DEFAULT_SIDE = 576
"""Of the models' own working sizes."""
SECONDS_PER_MEGAPIXEL = 6.0
"""Of every frame stored: decoding, filling in the color at full size, encoding."""


def seconds_allowed(
    options: JobOptions | KeyframeOptions | ColoringOptions, video: VideoFacts, *, references: int
) -> float:
    """Seconds from the start of an execution to its deadline."""
    megapixels = video.width * video.height / 1e6
    if not isinstance(options, JobOptions):
        return min(LONGEST_SECONDS, OVERHEAD_SECONDS + video.frames * SECONDS_PER_MEGAPIXEL * megapixels)
    # Work grows with the area fed.
    area = max(1.0, ((options.working_size or LARGEST_DEFAULT_SIDE) / 480) ** 2)
    frames = video.frames * (SECONDS_PER_FRAME[options.model] * area + SECONDS_PER_MEGAPIXEL * megapixels)
    steps = options.resolved_tuning.iterations * max(1, references)
    return min(LONGEST_SECONDS, OVERHEAD_SECONDS + frames + steps * SECONDS_PER_STEP[options.model] * area)
