"""Training: samples that repeat, a roll-out that learns, and a run that can be stopped and gone on with."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.features import load_trunk
from models.retint.colorizer import TRUNK_WEIGHTS
from models.retint.network import RetintNetwork, load_network
from models.training import main as training
from models.training.footage import MOVED_FRAMES, MOVED_SIDE, Footage, Library, move_photos, read_library
from models.training.objective import as_rgb, roll_out
from models.training.samples import CROP, Samples, draw


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


def test_a_sample_repeats_and_keeps_its_shapes(library: Library) -> None:
    samples = Samples(library, unrolled=3, seed=3, count=10)
    for index in range(6):
        one, again = samples[index], samples[index]
        half = CROP // 2
        assert one.luma.shape == (3, 1, CROP, CROP)
        assert one.direct.shape == (3, 5, half, half)
        assert one.start.shape == one.memory_chroma.shape == (3, half, half)
        assert torch.equal(one.luma, again.luma)
        assert torch.equal(one.direct, again.direct)
        assert 0 <= one.luma.min() <= one.luma.max() <= 1
        assert one.chroma.abs().max() <= 0.5
    assert not torch.equal(samples[0].luma, samples[1].luma)


def test_flow_brings_the_reference_near_the_truth(library: Library) -> None:
    """Of the clip, which only pans: what is moved must be better than what is held still."""
    pans = Library(clips=library.clips, photos=[])
    moved, still = [], []
    for index in range(8):
        sample = draw(pans, unrolled=2, random=np.random.default_rng(index))
        if bool(sample.direct[0, 4].any()):
            moved.append((sample.direct[0, :2] - sample.chroma[0]).abs().mean().item())
            still.append((sample.reference_chroma - sample.chroma[0]).abs().mean().item())
    assert sum(moved) < 0.7 * sum(still)


def test_chroma_errors_weigh_as_rgb_does() -> None:
    difference = torch.zeros(1, 2, 1, 1)
    difference[:, 1] = 0.1
    torch.testing.assert_close(as_rgb(difference)[0, :, 0, 0], torch.tensor([0.1402, -0.0714136, 0.0]))


def test_learning_lowers_the_loss_on_a_batch(library: Library) -> None:
    torch.manual_seed(0)
    samples = Samples(library, unrolled=2, seed=0, count=2)
    batch = training.stack([samples[0], samples[1]])
    network, trunk = RetintNetwork(refined=True), load_trunk(TRUNK_WEIGHTS)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4)
    losses = []
    for _ in range(8):
        outcome = roll_out(network, trunk, batch, feature_side=96)
        optimizer.zero_grad()
        outcome.loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(outcome.loss.item())
    assert losses[-1] < 0.97 * losses[0]
    assert outcome.squares.shape == (5,)


def test_a_run_logs_stops_goes_on_and_gives_the_same_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "LOGGED_EVERY", 1)
    monkeypatch.setattr(training, "SAVED_EVERY", 1)
    monkeypatch.setattr(training, "FEATURE_SIDES", (96, 96))

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

    run(tmp_path / "whole", until=2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", until=1)
    run(tmp_path / "parts", until=2)
    lines = [json.loads(line) for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert lines[0].keys() >= {"seconds", "loss", "fused", "previous", "direct", "matched", "remembered"}
    whole, parts = (load_network(tmp_path / name / "network.safetensors") for name in ("whole", "parts"))
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_rate_rises_and_falls() -> None:
    rates = [training.share_of_rate(step, steps=1000) for step in (1, 50, 500, 1000)]
    assert rates[0] < rates[1] > rates[2] > rates[3] > 0
