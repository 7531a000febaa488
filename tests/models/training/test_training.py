"""Training: runs that repeat, a roll-out that learns and remembers, and a training that can be stopped."""

import json
import sys
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.features import load_trunk
from models.retint.colorizer import TRUNK_WEIGHTS
from models.retint.network import Fused, Offers, RetintNetwork, load_network
from models.training import main as training
from models.training.footage import MOVED_FRAMES, MOVED_SIDE, Footage, Library, move_photos, read_library
from models.training.objective import as_rgb, roll_out
from models.training.runs import CROP, Chunk, Runs, draw


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos and a clip of 12 frames, 200 lines high: less than a crop."""
    folder = tmp_path_factory.mktemp("footage")
    random = np.random.default_rng(0)
    for number in range(2):
        picture = cv2.resize(random.integers(0, 255, (12, 16, 3)).astype(np.uint8), (400, 340))
        cv2.imwrite(str(folder / f"photo{number}.jpg"), picture)
    scene = cv2.resize(random.integers(0, 255, (12, 20, 3)).astype(np.uint8), (400, 202))
    writer = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (302, 202))
    for index in range(12):
        writer.write(np.ascontiguousarray(scene[:, 4 * index : 4 * index + 302]))
    writer.release()
    return folder


@pytest.fixture(scope="module")
def library(folder: Path) -> Library:
    return read_library([folder])


def test_a_folder_is_read_and_what_is_held_out_is_not(folder: Path, library: Library, tmp_path: Path) -> None:
    [clip] = library.clips
    assert clip.luma.shape == (12, 200, 300)
    assert clip.chroma.shape == (12, 100, 150, 2)
    assert [path.stem for path in library.photos] == ["photo0", "photo1"]
    assert len(read_library([folder], hold_out=["photo0", "clip"]).photos) == 1
    with pytest.raises(ValueError, match="no clips and no photos"):
        read_library([tmp_path])


def test_photos_are_set_in_motion(library: Library) -> None:
    moving = move_photos(library.photos, random=np.random.default_rng(1))
    assert isinstance(moving, Footage)
    assert moving.luma.shape == (MOVED_FRAMES, MOVED_SIDE, MOVED_SIDE)
    changes = [np.abs(a.astype(float) - b).mean() for a, b in zip(moving.luma, moving.luma[1:], strict=False)]
    assert min(changes) > 0.5


def chunks_of(library: Library, count: int, *, lanes: int = 1, frames: int = 2, seed: int = 0) -> list[Chunk]:
    return list(islice(Runs(library, lanes=lanes, frames=frames, seed=(seed,)), count))


def test_runs_repeat_and_keep_their_shapes(library: Library) -> None:
    half = CROP // 2
    once, again = chunks_of(library, 8, lanes=2, frames=3), chunks_of(library, 8, lanes=2, frames=3)
    for one, other in zip(once, again, strict=True):
        assert one.luma.shape == (3, 1, CROP, CROP)
        assert one.direct.shape == (3, 5, half, half)
        assert torch.equal(one.luma, other.luma)
        assert torch.equal(one.direct, other.direct)
        assert 0 <= one.luma.min() <= one.luma.max() <= 1
        assert one.chroma.abs().max() <= 0.5
    assert [chunk.begins.item() for chunk in once[:2]] == [1, 1]
    assert not torch.equal(once[0].luma, once[1].luma)


def test_a_lane_goes_on_with_its_run_until_the_next_begins(library: Library) -> None:
    chunks = chunks_of(library, 16)
    assert 2 <= sum(int(chunk.begins.item()) for chunk in chunks) < 16
    for one, following in pairwise(chunks):
        same = torch.equal(one.reference_luma, following.reference_luma)
        assert same == (following.begins.item() == 0)


def test_flow_brings_the_reference_near_the_truth(library: Library) -> None:
    """Of the clip, which only pans: what is moved must be better than what is held still."""
    pans = Library(clips=library.clips, photos=[])
    moved, still = [], []
    for index in range(8):
        chunk = next(draw(pans, frames=2, random=np.random.default_rng(index)))
        if chunk.reference_in_shot.item():
            moved.append((chunk.direct[1, :2] - chunk.chroma[1]).abs().mean().item())
            still.append((chunk.reference_chroma - chunk.chroma[1]).abs().mean().item())
    assert sum(moved) < 0.7 * sum(still)


def test_chroma_errors_weigh_as_rgb_does() -> None:
    difference = torch.zeros(1, 2, 1, 1)
    difference[:, 1] = 0.1
    torch.testing.assert_close(as_rgb(difference)[0, :, 0, 0], torch.tensor([0.1402, -0.0714136, 0.0]))


def test_learning_lowers_the_loss_on_a_batch(library: Library) -> None:
    torch.manual_seed(0)
    batch = training.stack(chunks_of(library, 2, lanes=2))
    network, trunk = RetintNetwork(refined=True), load_trunk(TRUNK_WEIGHTS)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4)
    losses = []
    for _ in range(8):
        outcome = roll_out(network, trunk, batch, state=None, feature_side=96)
        optimizer.zero_grad()
        outcome.loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(outcome.loss.item())
    assert losses[-1] < 0.97 * losses[0]
    assert outcome.squares.shape == (5,)


class PaintsByAge(RetintNetwork):
    """Colors each frame with a tenth of how many it has colored; keeps what it was offered."""

    def __init__(self) -> None:
        super().__init__(refined=True)
        self.offers: list[Offers] = []
        self.fusion.register_forward_pre_hook(lambda _, given: self.offers.append(given[0]))
        self.fusion.register_forward_hook(lambda _, given, fused: self._paint(fused))

    def _paint(self, fused: Fused) -> Fused:
        return Fused(chroma=torch.full_like(fused.chroma, 0.01 * len(self.offers)), confidence=fused.confidence)


def test_a_run_goes_on_from_what_the_network_made_of_the_chunk_before(library: Library) -> None:
    network, trunk = PaintsByAge(), load_trunk(TRUNK_WEIGHTS)
    random = np.random.default_rng(0)
    pans = Library(library.clips, [])
    run: list[Chunk] = []
    while len(run) < 4:
        run = list(draw(pans, frames=2, random=random))
    state = None
    with torch.no_grad():
        for chunk in run[:4]:
            state = roll_out(network, trunk, training.stack([chunk]), state=state, feature_side=96).state
    assert state is not None
    previous = [offers.previous[:, :2].mean().item() for offers in network.offers if offers.previous is not None]
    assert previous[1:] == pytest.approx([0.01 * age for age in range(1, 8)], abs=1e-4)
    remembered = [offers.remembered[:, :2].mean().item() for offers in network.offers if offers.remembered is not None]
    assert remembered[4] != pytest.approx(remembered[5], abs=1e-4)  # the fifth frame is remembered
    begins = training.stack([next(draw(pans, frames=2, random=random))])
    anew = roll_out(network, trunk, begins, state=state, feature_side=96).state
    assert anew.age.tolist() == [2]


def test_a_training_logs_stops_and_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOGGED_EVERY", 1)
    monkeypatch.setattr(training, "SAVED_EVERY", 1)
    monkeypatch.setattr(training, "FEATURE_SIDE", 96)

    def run(output: Path, *, until: int) -> None:
        arguments = [str(folder), "--output", str(output), "--steps", "2", "--batch", "1", "--loaders", "0"]
        monkeypatch.setattr(sys, "argv", ["train", *arguments, "--device", "cpu"])
        with monkeypatch.context() as patched:
            if until < 2:
                patched.setattr(training, "average", stop_at(until))
            training.main()

    def stop_at(step_to_stop: int):  # type: ignore[no-untyped-def]
        real = training.average

        def average(mean: RetintNetwork, network: RetintNetwork, *, step: int) -> None:
            if step > step_to_stop:
                raise KeyboardInterrupt
            real(mean, network, step=step)

        return average

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", until=1)
    run(tmp_path / "parts", until=2)
    lines = [json.loads(line) for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[0].keys() >= {"seconds", "loss", "fused", "previous", "direct", "matched", "remembered"}
    load_network(tmp_path / "parts" / "network.safetensors")


def test_a_training_gives_the_same_weights_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "FEATURE_SIDE", 96)
    for name in ("one", "other"):
        arguments = [str(folder), "--output", str(tmp_path / name), "--steps", "2", "--batch", "1", "--loaders", "0"]
        monkeypatch.setattr(sys, "argv", ["train", *arguments, "--device", "cpu"])
        training.main()
    one, other = (load_network(tmp_path / name / "network.safetensors") for name in ("one", "other"))
    for weight, again in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(weight, again)


def test_the_rate_rises_and_falls() -> None:
    rates = [training.share_of_rate(step, steps=1000) for step in (1, 50, 500, 1000)]
    assert rates[0] < rates[1] > rates[2] > rates[3] > 0
