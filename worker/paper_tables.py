"""The paper's Tables 1, 2 and 4 measured again (Zhao et al., ICIP 2023), beside what was published."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from jobs.errors import ClipUnusable
from jobs.options import ModelName, Objective, TuningOptions
from models.base import Colorizer
from worker.clip_search import Clip, find_clips
from worker.evaluation import EvaluationSettings, compare_tunings, frames_fed
from worker.evaluation_results import Tuned

Dataset = Literal["vid4", "set8"]
DATASETS: tuple[Dataset, ...] = ("vid4", "set8")
ITERATIONS = (5, 20)
"""METHOD: the paper takes 20; 5 give most of the gain."""
OBJECTIVES: tuple[Objective, ...] = ("rgb", "ab", "l", "lab")
"""In the order of Table 4: RGB only, without L_l, without L_ab, all."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a clip is fed and compared."""

    name: Literal["320", "full"]
    title: str
    lines: int | None
    restore: bool


PROTOCOLS = (
    # METHOD, section 3: how the public evaluation feeds them. The networks' own luma counts, as it did in the paper.
    Protocol("320", "the paper's protocol, 320 lines", lines=320, restore=True),
    Protocol("full", "full size, the film's luma kept", lines=None, restore=False),
)


@dataclass(frozen=True, slots=True)
class System:
    """One row: a model and how it is tuned."""

    model: ModelName
    tuning: TuningOptions

    @property
    def name(self) -> str:
        if self.tuning.iterations == 0:
            return f"{self.model}, untuned"
        return f"{self.model}, {self.tuning.objective}, {self.tuning.iterations}"


_OFF = TuningOptions(iterations=0)
SYSTEMS = (
    System("exemplar", _OFF),
    System("deepremaster", _OFF),
    *(
        System("deepremaster", TuningOptions(iterations=iterations, objective=objective))
        for objective in OBJECTIVES
        for iterations in ITERATIONS
    ),
    System("retint", _OFF),
    *(System("retint", TuningOptions(iterations=iterations)) for iterations in ITERATIONS),
)


@dataclass(frozen=True, slots=True)
class Figures:
    psnr_db: float
    ssim: float | None
    """None: not published."""


@dataclass(frozen=True, slots=True)
class Published:
    """What the paper gives for one system (METHOD, section 2)."""

    title: str
    beside: System
    """Ours that it is compared with."""
    clips: Mapping[str, Figures]
    """Vid4, clip by clip."""
    averages: Mapping[Dataset, Figures]

    def average(self, dataset: Dataset, clips: Sequence[str]) -> Figures | None:
        """The published average where `clips` are all of the data set, else the mean of their published figures; None
        where these are not known."""
        if is_whole(dataset, clips):
            return self.averages[dataset]
        known = [self.clips[clip] for clip in clips if clip in self.clips] if dataset == "vid4" else []
        if not known or len(known) < len(clips):
            return None
        ssim = [figures.ssim for figures in known if figures.ssim is not None]
        return Figures(sum(figures.psnr_db for figures in known) / len(known), sum(ssim) / len(ssim))


VID4_CLIPS = ("calendar", "city", "foliage", "walk")
SET8_CLIPS = 8
"""How many there are; METHOD does not name them."""


def is_whole(dataset: Dataset, clips: Sequence[str]) -> bool:
    """Whether `clips` are all that the published averages are of."""
    return len(clips) == SET8_CLIPS if dataset == "set8" else sorted(clips) == sorted(VID4_CLIPS)


def _published(
    title: str,
    beside: System,
    clips: Sequence[tuple[float, float]],
    vid4: tuple[float, float],
    set8: tuple[float, float],
) -> Published:
    named = zip(VID4_CLIPS, clips, strict=True)
    return Published(
        title=title,
        beside=beside,
        clips={name: Figures(*figures) for name, figures in named},
        averages={"vid4": Figures(*vid4), "set8": Figures(*set8)},
    )


_TUNED = System("deepremaster", TuningOptions(iterations=20, objective="lab"))
PUBLISHED = (
    _published(
        "Zhang et al. 2019",
        System("exemplar", _OFF),
        [(18.98, 0.9126), (32.18, 0.9676), (19.13, 0.9181), (26.17, 0.9507)],
        (24.12, 0.9372),
        (21.14, 0.8798),
    ),
    _published(
        "DeepRemaster 2019",
        System("deepremaster", _OFF),
        [(23.39, 0.9127), (28.49, 0.9662), (19.52, 0.9220), (27.16, 0.9504)],
        (24.64, 0.9378),
        (24.90, 0.8942),
    ),
    _published(
        "test-time tuning",
        _TUNED,
        [(23.81, 0.9139), (33.06, 0.9725), (26.47, 0.9441), (28.10, 0.9544)],
        (27.86, 0.9462),
        (25.91, 0.9028),
    ),
)
"""Tables 1 and 2."""
PUBLISHED_ABLATION: Mapping[Objective, Mapping[Dataset, Figures]] = MappingProxyType(
    {
        "rgb": {"vid4": Figures(27.65, None), "set8": Figures(25.63, None)},
        "ab": {"vid4": Figures(25.64, None), "set8": Figures(25.01, None)},
        "l": {"vid4": Figures(27.35, None), "set8": Figures(25.40, None)},
        "lab": {"vid4": Figures(27.86, None), "set8": Figures(25.91, None)},
    }
)
"""Table 4, averages."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the tables a figure stands."""

    dataset: Dataset
    protocol: str
    system: str
    clip: str


Data = Mapping[Dataset, Sequence[Clip]]


def find_data(folder: Path) -> Data:
    """The clips of every data set in `folder`: `vid4/NAME` and `set8/NAME`, as `find_clips` finds them.

    Raises:
        ClipUnusable: there is neither, or one of them holds something else.
    """
    found = {name: find_clips([folder / name], source=None) for name in DATASETS if (folder / name).is_dir()}
    if not found:
        raise ClipUnusable(
            f"{folder} has neither a folder vid4 nor a folder set8. Each holds a folder per clip, with gray.mp4, the "
            "true colors as truth.* or truth/, and reference.png or references/."
        )
    return found


def systems_of(model: str) -> list[System]:
    return [system for system in SYSTEMS if system.model == model]


def measure(
    data: Data,
    colorizer: Colorizer,
    *,
    frames: int | None,
    on_clip: Callable[[str, int], None] = lambda *_: None,
    on_frame: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Place, Tuned]]:
    """Yield every figure of the rows of one model.

    `on_clip` is told before each clip what it is and how many frames will be fed, `on_frame` before each frame.

    Raises what `worker.evaluation.evaluate_clip` does.
    """
    systems = systems_of(colorizer.description.name)
    for protocol in PROTOCOLS:
        settings = EvaluationSettings(tuning=_OFF, frames=frames, lines=protocol.lines, restore=protocol.restore)
        for dataset, clips in data.items():
            for clip in clips:
                total = len(systems) * frames_fed(clip, colorizer.description, settings=settings)
                on_clip(f"{colorizer.description.name} {dataset} {clip.name} {protocol.name}", total)
                tunings = [system.tuning for system in systems]
                outcomes = compare_tunings(clip, colorizer, tunings, settings=settings, on_frame=on_frame)
                for system, outcome in zip(systems, outcomes, strict=True):
                    yield Place(dataset, protocol.name, system.name, clip.name), outcome
