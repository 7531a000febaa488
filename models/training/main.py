"""Trains the default model: first what pictures are matched by, then what fuses the offered colors.

    python -m models.training.main FOLDER... --output run --hold-out 'v2v0-*' 'dvp-*'

FOLDER holds short color clips (.mp4, ...) and photos (.jpg, .png), at any depth; photos are used with `--photos-share`,
which sets them in motion. The run's folder gets `log.jsonl` (a line every 25 steps), `state.pt` (to go on from, with
the same command) and `network.safetensors`, the mean of the last weights, which `retint evaluate --network FILE`
measures.
"""

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.base import select_device
from models.features import load_trunk
from models.retint.colorizer import TRUNK_WEIGHTS
from models.retint.network import RetintNetwork, load_network
from models.training.describing import train_step as describe_step
from models.training.footage import SHORTEST_CLIP, Footages, NoFootage, read_library
from models.training.lanes import Lanes, decibels
from models.training.material import Runs

WEIGHT_DECAY = 1e-4
WARM_UP = 50
"""Steps."""
PAIRS, LANES = 2, 3
"""What a step of either stage learns from."""
AVERAGING = 0.99
"""Of the running mean of the weights, which is shipped."""
LOGGED_EVERY, SAVED_EVERY = 25, 100

Step = Callable[[], Tensor]
"""Adds gradients to the weights and gives what is logged, the loss first."""


class Training:
    """The network, the running mean of its weights, and where they are saved."""

    def __init__(self, network: RetintNetwork, folder: Path, *, rate: float) -> None:
        self.network = network
        self.mean = copy.deepcopy(network).requires_grad_(False)
        self._folder = folder
        self._rate = rate
        self._seconds = 0.0
        self._optimizer_state: dict[str, Any] | None = None
        self.stage, self.done = "description", 0
        if self._file.exists():
            self._load(next(network.parameters()).device)

    @property
    def _file(self) -> Path:
        return self._folder / "state.pt"

    def run(self, stage: str, part: nn.Module, *, steps: int, step: Step, log: TextIO) -> None:
        """Train `part` of the network for the steps of a stage that are not done yet."""
        parameters = list(part.parameters())
        optimizer = torch.optim.AdamW(parameters, lr=self._rate, weight_decay=WEIGHT_DECAY)
        if self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state)
            self._optimizer_state = None
        means = list(getattr(self.mean, stage).parameters())
        started = time.monotonic() - self._seconds
        logged: list[Tensor] = []
        for number in range(self.done + 1, steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = self._rate * share_of_rate(number, steps=steps)
            optimizer.zero_grad(set_to_none=True)
            logged.append(step())
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            average(means, parameters, step=number)
            self.done, self._seconds = number, time.monotonic() - started
            if number % LOGGED_EVERY == 0:
                log.write(json.dumps(line(stage, number, logged, seconds=self._seconds)) + "\n")
                log.flush()
                logged = []
            if number % SAVED_EVERY == 0 or number == steps:
                self._save(optimizer)

    def go_on_to(self, stage: str) -> None:
        """What was trained before goes on as its mean."""
        self.network.load_state_dict(self.mean.state_dict())
        self.stage, self.done, self._seconds = stage, 0, 0.0

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        state = {
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizer": optimizer.state_dict(),
            "stage": self.stage,
            "done": self.done,
            "seconds": self._seconds,
        }
        torch.save(state, self._file.with_suffix(".new"))
        self._file.with_suffix(".new").replace(self._file)
        weights = {name: tensor.contiguous() for name, tensor in self.mean.state_dict().items()}
        save_file(weights, self._folder / "network.safetensors")

    def _load(self, device: torch.device) -> None:
        state = torch.load(self._file, map_location=device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.mean.load_state_dict(state["mean"])
        self._optimizer_state = state["optimizer"]
        self.stage, self.done, self._seconds = state["stage"], state["done"], state["seconds"]
        print(f"going on after step {self.done} of the {self.stage}", flush=True)


def main() -> None:
    given = _parse()
    device = select_device(given.device)
    cv2.setNumThreads(1)
    try:
        library = read_library(given.folders, hold_out=given.hold_out)
    except NoFootage as error:
        sys.exit(str(error))
    if not library.clips and not given.photos_share:
        sys.exit(
            f"There are photos and no clips of {SHORTEST_CLIP} frames or more; --photos-share 1 trains on photos set in"
            " motion."
        )
    given.output.mkdir(parents=True, exist_ok=True)
    print(f"{len(library.clips)} clips, {len(library.photos)} photos", flush=True)
    torch.manual_seed(given.seed)
    network = (load_network(given.start).train() if given.start else RetintNetwork()).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    training = Training(network, given.output, rate=given.rate)
    trunk = load_trunk(TRUNK_WEIGHTS).to(device)
    footages = Footages(library, photos_share=given.photos_share)
    # Where training goes on after a stop, other samples follow than would have without it.
    seed = (given.seed, training.done, training.stage == "fusion")
    random = np.random.default_rng(seed)
    with (given.output / "log.jsonl").open("a") as log:
        if training.stage == "description":
            training.run(
                "description",
                network.description,
                steps=given.description_steps,
                step=lambda: describe_step(network.description, footages, trunk=trunk, pairs=PAIRS, random=random)[
                    None
                ],
                log=log,
            )
            training.go_on_to("fusion")
        network.description.requires_grad_(False)
        with Runs(footages, trunk=trunk, seed=seed) as coming:
            lanes = Lanes(coming, count=LANES, random=random)
            step = lambda: torch.stack(lanes.train_step(network))  # noqa: E731
            training.run("fusion", network.fusion, steps=given.fusion_steps, step=step, log=log)


def share_of_rate(step: int, *, steps: int) -> float:
    """Of the learning rate at a step: a short rise, then half a cosine down to a hundredth."""
    return min(1.0, step / WARM_UP) * (0.5 * (1 + math.cos(math.pi * step / steps)) * 0.99 + 0.01)


@torch.no_grad()
def average(means: list[nn.Parameter], parameters: list[nn.Parameter], *, step: int) -> None:
    """Move the running means toward the weights; early on they follow closely."""
    keep = min(AVERAGING, (step - 1) / (step + 9))
    for kept, current in zip(means, parameters, strict=True):
        kept.lerp_(current, 1 - keep)


def line(stage: str, step: int, logged: list[Tensor], *, seconds: float) -> dict[str, float | str]:
    """What the log says: the loss, and the PSNR in dB of R'G'B' of what is fused."""
    loss, *square = torch.stack(logged).mean(0).tolist()
    said: dict[str, float | str] = {"stage": stage, "step": step, "seconds": round(seconds, 1), "loss": round(loss, 5)}
    return said | ({"fused": round(decibels(square[0]), 3)} if square else {})


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--description-steps", type=int, default=1200)
    parser.add_argument("--fusion-steps", type=int, default=1500)
    parser.add_argument("--rate", type=float, default=2e-3, help="the learning rate at its highest, of both stages")
    parser.add_argument("--start", type=Path, help="weights to start from, such as a run's network.safetensors")
    parser.add_argument(
        "--photos-share", type=float, default=0.0, help="of what is drawn, photos set in motion; 0 to 1"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--hold-out", nargs="*", default=[], metavar="NAME", help="files not to train on; * stands for anything"
    )
    given = parser.parse_args()
    if not 0 <= given.photos_share <= 1:
        parser.error(f"--photos-share is a share of what is drawn, 0 to 1, not {given.photos_share:g}")
    return given


if __name__ == "__main__":
    main()
