"""Trains the default model.

    python -m models.training.main FOLDER... --output run --steps 3000
    python -m models.training.main FOLDER... --output longer --start run/network.safetensors --steps 500 --unrolled 3

FOLDER holds photos (.jpg, .png) and short color clips (.mp4, ...), at any depth. The run's folder gets `log.jsonl` (a
line every 25 steps), `state.pt` (to go on from, with the same command) and `network.safetensors`, the mean of the
last weights, which `retint evaluate --network FILE` measures.
"""

import argparse
import copy
import json
import math
import time
from dataclasses import fields
from pathlib import Path

import cv2
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from models.base import select_device
from models.features import load_trunk
from models.retint.colorizer import TRUNK_WEIGHTS
from models.retint.network import RetintNetwork, load_network
from models.training.footage import read_library
from models.training.objective import RunState, roll_out
from models.training.runs import Chunk, Runs

WEIGHT_DECAY = 1e-4
WARM_UP = 50
"""Steps."""
FEATURE_SIDE = 192
"""Side to which the crop is shrunk for its features, about as frames of 480 lines are."""
AVERAGING = 0.995
"""Of the running mean of the weights, which is shipped."""
LOGGED_EVERY, SAVED_EVERY = 25, 100


def stack(chunks: list[Chunk]) -> Chunk:
    """A batch: every field with a leading dimension."""
    return Chunk(**{f.name: torch.stack([getattr(chunk, f.name) for chunk in chunks]) for f in fields(Chunk)})


def main() -> None:
    given = _parse()
    device = select_device(given.device)
    # Before any picture is read: the processes that make runs are forked, and a pool of threads is not.
    cv2.setNumThreads(1)
    given.output.mkdir(parents=True, exist_ok=True)
    library = read_library(given.folders, hold_out=given.hold_out)
    print(f"{len(library.clips)} clips, {len(library.photos)} photos", flush=True)
    torch.manual_seed(given.seed)
    network = (load_network(given.start).train() if given.start else RetintNetwork(refined=True)).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = copy.deepcopy(network).requires_grad_(False)
    trunk = load_trunk(TRUNK_WEIGHTS).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=given.rate, weight_decay=WEIGHT_DECAY)
    state_file = given.output / "state.pt"
    done, seconds = 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        mean.load_state_dict(state["mean"])
        optimizer.load_state_dict(state["optimizer"])
        done, seconds = state["step"], state["seconds"]
        print(f"going on after step {done}", flush=True)
    # Where training goes on after a stop, other runs begin: what the network had made of the last ones is not kept.
    runs = Runs(library, lanes=given.batch, frames=given.unrolled, seed=(given.seed, done))
    loader = DataLoader(
        runs,
        batch_size=given.batch,
        num_workers=given.loaders,
        collate_fn=stack,
        pin_memory=device.type == "cuda",
    )
    started = time.monotonic() - seconds
    logged: list[torch.Tensor] = []
    # Each process that makes chunks has runs of its own, and the loader asks them by turns.
    states: list[RunState | None] = [None] * max(given.loaders, 1)
    with (given.output / "log.jsonl").open("a") as log:
        for step, batch in zip(range(done + 1, given.steps + 1), loader, strict=False):
            lanes = (step - done - 1) % len(states)
            for group in optimizer.param_groups:
                group["lr"] = given.rate * share_of_rate(step, steps=given.steps)
            moved = Chunk(**{f.name: getattr(batch, f.name).to(device) for f in fields(Chunk)})
            outcome = roll_out(network, trunk, moved, state=states[lanes], feature_side=FEATURE_SIDE)
            states[lanes] = outcome.state
            optimizer.zero_grad(set_to_none=True)
            outcome.loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            average(mean, network, step=step)
            logged.append(torch.cat([outcome.loss.detach()[None], outcome.squares]))
            if step % LOGGED_EVERY == 0:
                log.write(json.dumps(line(step, logged, seconds=time.monotonic() - started)) + "\n")
                log.flush()
                logged = []
            if step % SAVED_EVERY == 0 or step == given.steps:
                state = {
                    "network": network.state_dict(),
                    "mean": mean.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step,
                    "seconds": time.monotonic() - started,
                }
                torch.save(state, state_file.with_suffix(".new"))
                state_file.with_suffix(".new").replace(state_file)
                weights = {name: tensor.contiguous() for name, tensor in mean.state_dict().items()}
                save_file(weights, given.output / "network.safetensors")


def share_of_rate(step: int, *, steps: int) -> float:
    """Of the learning rate at a step: a short rise, then half a cosine down to a hundredth."""
    return min(1.0, step / WARM_UP) * (0.5 * (1 + math.cos(math.pi * step / steps)) * 0.99 + 0.01)


@torch.no_grad()
def average(mean: RetintNetwork, network: RetintNetwork, *, step: int) -> None:
    """Move the running mean toward the weights; early on it follows them closely."""
    keep = min(AVERAGING, (step - 1) / (step + 9))
    for kept, current in zip(mean.parameters(), network.parameters(), strict=True):
        kept.lerp_(current, 1 - keep)


def line(step: int, logged: list[torch.Tensor], *, seconds: float) -> dict[str, float]:
    """What the log says: the loss, and the PSNR in dB of R'G'B' of what is fused and of each offer."""
    means = torch.stack(logged).mean(0).tolist()
    names = ("fused", "previous", "direct", "matched", "remembered")
    decibels = {
        name: round(-10 * math.log10(max(square, 1e-10)), 3) for name, square in zip(names, means[1:], strict=True)
    }
    return {"step": step, "seconds": round(seconds, 1), "loss": round(means[0], 6), **decibels}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="learning rate at its highest")
    parser.add_argument("--unrolled", type=int, default=2, help="frames that a step learns from, in a row")
    parser.add_argument("--start", type=Path, help="weights to start from, such as a run's network.safetensors")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--loaders", type=int, default=1, help="processes that make runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--hold-out", nargs="*", default=[], metavar="STEM", help="files not to train on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
