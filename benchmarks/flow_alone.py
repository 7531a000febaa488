"""What optical flow alone makes of clips, to judge a model by: frame to frame, and straight from the reference.

    python benchmarks/flow_alone.py CLIPS
    retint evaluate CLIPS --json model.json && python benchmarks/flow_alone.py CLIPS --beside model.json

Prints one JSON object: both flows' figures clip by clip, measured as `retint evaluate` does, the better of the two, and
with `--beside` that model's own (tuned, where it was) less the better flow's. Luma is that of the true colors, or of
`--input`; the first frame is the only reference.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jobs.options import TuningOptions
from models.base import Example, Matrix, ModelDescription, Prediction, Reference
from models.color import rgb_to_ycbcr
from models.metrics import color_distribution_consistency
from models.motion import Luma8, Plane, estimate_fine_flow, estimate_flow, warp
from models.retint.colorizer import DESCRIPTION
from models.retint.frames import eight_bit, half_luma
from worker.clip_search import Clip, find_clips
from worker.evaluation import EvaluationSettings, evaluate_clip
from worker.evaluation_clips import open_clip
from worker.evaluation_results import Scores, mean_scores

COMPARED = ("rgb_psnr_db", "ssim", "ab_psnr_db", "ciede2000", "cdc")


class Flow:
    """Chroma moved by dense inverse search, as the default model's first offers are: from frame to frame at chroma's
    resolution, straight from the reference at luma's.

    One reference, the first frame.
    """

    def __init__(self, *, from_reference: bool) -> None:
        self._from_reference = from_reference
        self._codes: Callable[[Tensor], Luma8] = eight_bit if from_reference else half_luma
        self._estimate: Callable[..., Plane] = estimate_fine_flow if from_reference else estimate_flow

    @property
    def description(self) -> ModelDescription:
        return DESCRIPTION

    def clone(self) -> Self:
        return self

    def colorize(
        self,
        lumas: Iterable[Tensor],
        references: Sequence[Reference],
        *,
        matrix: Matrix,
        restore: bool = False,  # noqa: ARG002 - flow restores nothing
    ) -> Iterator[Prediction]:
        source: Luma8 = self._codes(references[0].luma)
        chroma: Plane = _planes_last(F.avg_pool2d(rgb_to_ycbcr(references[0].rgb, matrix=matrix)[None, 1:], 2)[0])
        last = None
        for index, luma in enumerate(lumas):
            target, colored = self._codes(luma), chroma
            if index > 0:
                flow = self._estimate(target, source, initial=last)
                colored = warp(chroma, flow)
                if self._from_reference:
                    last = flow
                else:
                    source, chroma = target, colored
            planes = torch.from_numpy(np.ascontiguousarray(colored.transpose(2, 0, 1)))
            yield Prediction(chroma=planes, confidence=torch.ones_like(planes[0]))

    def tunable_parameters(self) -> list[nn.Parameter]:
        return []

    def weights(self) -> Iterator[Tensor]:
        return iter(())

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        raise NotImplementedError("Flow has no weights to tune, so that nothing asks for examples.")


def _planes_last(planes: Tensor) -> Plane:
    return np.ascontiguousarray(planes.permute(1, 2, 0).numpy())


def measured(clip: Clip, *, frames: int | None) -> dict[str, Scores]:
    """Figures of both flows."""
    settings = EvaluationSettings(tuning=TuningOptions(iterations=0), frames=frames)
    flows = {"frame_to_frame": Flow(from_reference=False), "from_the_reference": Flow(from_reference=True)}
    return {name: evaluate_clip(clip, flow, settings=settings).untuned for name, flow in flows.items()}


def cdc_of_truth(clip: Clip, *, frames: int | None) -> float:
    with open_clip(clip, frames=frames) as opened:
        pictures = opened.truth.pictures(0, opened.frames - 1)
        return round(color_distribution_consistency(torch.from_numpy(one).permute(2, 0, 1) for one in pictures), 6)


def told(scores: Scores) -> dict[str, float]:
    return {name: round(getattr(scores, name), 6) for name in COMPARED}


def less(model: dict[str, float], flow: Scores) -> dict[str, float]:
    return {name: round(model[name] - getattr(flow, name), 6) for name in COMPARED}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--input", choices=("luma", "gray"), help="as of `retint evaluate`")
    parser.add_argument("--frames", type=int, help="the first so many of each clip only")
    parser.add_argument("--beside", nargs="*", type=Path, default=[], help="reports of `retint evaluate --json`")
    given = parser.parse_args()
    reports = [json.loads(path.read_text()) for path in given.beside]
    models = {clip["clip"]: clip["tuned"] or clip["untuned"] for report in reports for clip in report["clips"]}
    asked = {"frames": given.frames, "references": 1, "input": given.input}
    for path, report in zip(given.beside, reports, strict=True):
        if any(report["settings"][name] != value for name, value in asked.items()):
            parser.error(f"{path} was measured otherwise: expected {asked}. Give both the same options.")
    flows: dict[str, dict[str, Scores]] = {}
    better: dict[str, Scores] = {}
    truths: dict[str, float] = {}
    clips = find_clips(given.clips, source=given.input)
    if missing := {clip.name for clip in clips} - models.keys() if models else set():
        parser.error(f"The reports lack {', '.join(sorted(missing))}: measure the same clips.")
    for clip in clips:
        flows[clip.name] = measured(clip, frames=given.frames)
        truths[clip.name] = cdc_of_truth(clip, frames=given.frames)
        better[clip.name] = max(flows[clip.name].values(), key=lambda scores: scores.rgb_psnr_db)
        print(clip.name, told(better[clip.name]), file=sys.stderr, flush=True)
    result: dict[str, Any] = {
        "clips": {clip: {name: told(scores) for name, scores in both.items()} for clip, both in flows.items()},
        "mean": {
            name: told(mean_scores([both[name] for both in flows.values()])) for name in next(iter(flows.values()))
        },
        "mean_of_the_better": told(mean_scores([*better.values()])),
        "cdc_of_the_true_colors": truths,
    }
    if models:
        result["model_less_the_better"] = {name: less(models[name], scores) for name, scores in better.items()}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
