"""Training: runs drawn afresh, colored from what the network made, and a training that can be stopped."""

import json
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.features import FeatureTrunk, load_trunk
from models.motion import estimate_fine_flow, estimate_flow
from models.retint.colorizer import EARLIER, REMEMBERED_EVERY, TRUNK_WEIGHTS
from models.retint.frames import half_luma, unit_luma
from models.retint.fusion import Fused
from models.retint.network import RetintNetwork, load_network
from models.retint.offers import OFFERS, Offers
from models.training import main as training
from models.training import material
from models.training.describing import draw_pair, train_step
from models.training.footage import (
    MOVED_FRAMES,
    MOVED_SIDE,
    Footage,
    Footages,
    Library,
    NoFootage,
    aged,
    move_photos,
    read_library,
)
from models.training.lanes import Lane, Lanes, Recoloring, decibels
from models.training.material import LONGEST_RUN, Run, Runs, changed, draw_frames, material_of, run_of
from models.training.objective import as_rgb, frame_loss

CPU = torch.device("cpu")


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
    assert len(read_library([folder], hold_out=["photo0", "cl*"]).photos) == 1
    assert not read_library([folder], hold_out=["cl*"]).clips
    with pytest.raises(NoFootage, match="no clips of 5 frames or more and no photos"):
        read_library([tmp_path])


def test_photos_are_set_in_motion(library: Library) -> None:
    moving = move_photos(library.photos, random=np.random.default_rng(1))
    assert isinstance(moving, Footage)
    assert moving.luma.shape == (MOVED_FRAMES, MOVED_SIDE, MOVED_SIDE)
    changes = [np.abs(a.astype(float) - b).mean() for a, b in zip(moving.luma, moving.luma[1:], strict=False)]
    assert min(changes) > 0.5


def test_an_aged_clip_differs_in_luma_alone(library: Library) -> None:
    old = aged(library.clips[0], random=np.random.default_rng(0))
    assert old.luma.shape == library.clips[0].luma.shape
    assert np.abs(old.luma.astype(float) - library.clips[0].luma).mean() > 2
    assert np.array_equal(old.chroma, library.clips[0].chroma)


@pytest.fixture(scope="module")
def trunk() -> FeatureTrunk:
    return load_trunk(TRUNK_WEIGHTS)


@pytest.fixture(scope="module")
def footages(library: Library) -> Footages:
    return Footages(library, photos_share=0.5)


@pytest.fixture(scope="module")
def pan(library: Library, trunk: FeatureTrunk) -> Run:
    """The clip as it is, whose scene moves by four pixels a frame, two of chroma's."""
    return run_of(library.clips[0], trunk=trunk)


class Again(Runs):
    """One run, over and over."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def next(self) -> Run:
        return self._run


def test_footage_is_taken_scaled_and_has_features(library: Library, trunk: FeatureTrunk) -> None:
    [clip] = library.clips
    part = clip.taken([4, 2, 0])
    assert np.array_equal(part.luma[1], clip.luma[2])
    assert np.array_equal(part.chroma[1], clip.chroma[2])
    small = part.scaled(0.84)
    assert small.luma.shape == (3, 168, 252)
    assert small.chroma.shape == (3, 84, 126, 2)
    assert abs(small.luma.mean() - part.luma.mean()) < 3
    made = material_of(part, trunk=trunk)
    assert made.luma.shape == (3, 200, 300)
    assert made.chroma.shape == (3, 2, 100, 150)
    assert [plane.shape[0] for plane in made.features] == [3] * 3
    assert made.chroma_of(0, CPU).abs().max() <= 0.5


def test_clips_and_moved_photos_are_drawn(library: Library, footages: Footages) -> None:
    random = np.random.default_rng(0)
    drawn = {footages.draw(random).luma.shape for _ in range(12)}
    assert drawn == {(12, 200, 300), (MOVED_FRAMES, MOVED_SIDE, MOVED_SIDE)}
    clips_alone = Footages(library, photos_share=0.0)
    assert {clips_alone.draw(random).luma.shape for _ in range(12)} == {(12, 200, 300)}
    photos_alone = Footages(Library(clips=[], photos=library.photos), photos_share=0.0)
    assert len(photos_alone.draw(random).luma) == MOVED_FRAMES


def test_the_frames_of_a_run_go_both_ways_by_several_strides() -> None:
    random = np.random.default_rng(0)
    seen = [draw_frames(120, random=random) for _ in range(100)]
    assert {frames[1] - frames[0] for frames in seen} == {1, 2, 3, -1, -2, -3}
    assert all(0 <= frame < 120 for frames in seen for frame in frames)
    assert {len(frames) for frames in seen} == {LONGEST_RUN, 40}
    assert {len(draw_frames(9, random=random)) for _ in range(20)} == {9}


def test_footage_is_changed_in_size_and_some_of_it_aged(library: Library) -> None:
    part = library.clips[0].taken([0, 1])
    drawn = [changed(part, random=np.random.default_rng(seed)) for seed in range(20)]
    assert len({footage.luma.shape for footage in drawn}) > 10
    # Blur and grain: what is left of a picture that is made as fine as it was.
    noisy = [cv2.Laplacian(footage.luma[0], cv2.CV_32F).std() for footage in drawn]
    assert max(noisy) > 2 * np.median(noisy)


def test_runs_are_drawn_afresh_and_by_seed(
    footages: Footages, trunk: FeatureTrunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(material, "AHEAD", 1)
    shapes = []
    for seed in ([1], [1], [2]):
        with Runs(footages, trunk=trunk, seed=seed) as coming:
            shapes.append([tuple(coming.next().previous.shape) for _ in range(3)])
    assert shapes[0] == shapes[1] != shapes[2]
    assert len(set(shapes[0])) > 1


def test_the_flow_of_a_run_leads_to_its_reference(pan: Run) -> None:
    assert pan.previous.shape == pan.direct.shape == pan.earlier.shape == (11, 4, 100, 150)
    middle = pan.direct[:3, 0, 30:-30, 40:-40].float().mean((-2, -1)).abs()
    torch.testing.assert_close(middle, torch.tensor([2.0, 4.0, 6.0]), atol=0.3, rtol=0)
    # As the colorizer does it: at luma's resolution straight from the reference, at chroma's from the frame before.
    asked, known = (pan.material.luma[index].numpy() for index in (1, 0))
    fine, coarse = (
        estimate_fine_flow(asked, known),
        estimate_flow(*(half_luma(unit_luma(one)) for one in (asked, known))),
    )
    assert np.allclose(pan.direct[0, :2].permute(1, 2, 0), fine, atol=0.01)
    assert np.allclose(pan.previous[0, :2].permute(1, 2, 0), coarse, atol=0.01)
    assert not np.allclose(fine, coarse, atol=0.01)
    middle = pan.earlier[EARLIER - 2 : EARLIER + 1, 0, 30:-30, 40:-40].float().mean((-2, -1)).abs()
    torch.testing.assert_close(middle, torch.tensor([8.0, 10.0, 10.0]), atol=0.3, rtol=0)


def test_a_pair_is_of_two_frames() -> None:
    random = np.random.default_rng(0)
    pairs = [draw_pair(5, random=random) for _ in range(200)]
    assert all(0 <= one < 5 and 0 <= other < 5 and one != other for one, other in pairs)
    assert len(set(pairs)) == 20


def test_chroma_errors_weigh_as_rgb_does() -> None:
    difference = torch.zeros(1, 2, 1, 1)
    difference[:, 1] = 0.1
    torch.testing.assert_close(as_rgb(difference)[0, :, 0, 0], torch.tensor([0.1402, -0.0714136, 0.0]))


def test_a_frame_costs_less_where_it_is_nearer_to_the_truth_and_says_so() -> None:
    truth = torch.zeros(1, 2, 8, 8)
    good, bad = truth + 0.01, truth + 0.1
    sure, unsure = torch.full((1, 1, 8, 8), 0.9), torch.full((1, 1, 8, 8), 0.1)
    losses = [
        frame_loss(Fused(c, q, q), truth)[0].item()
        for c, q in ((good, sure), (good, unsure), (bad, unsure), (bad, sure))
    ]
    assert losses == sorted(losses)


def test_learning_to_describe_lowers_the_loss(footages: Footages, trunk: FeatureTrunk) -> None:
    torch.manual_seed(0)
    network = RetintNetwork()
    optimizer = torch.optim.AdamW(network.description.parameters(), lr=2e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        random = np.random.default_rng(3)
        losses.append(train_step(network.description, footages, trunk=trunk, pairs=1, random=random).item())
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


@torch.no_grad()
def psnr(network: RetintNetwork, run: Run) -> float:
    lane = Lane(run, network.description)
    measured = []
    while not lane.is_done:
        measured.append(decibels(lane.learn(network)[1].item()))
    return sum(measured) / len(measured)


def test_learning_to_fuse_raises_the_psnr_of_a_run(pan: Run) -> None:
    torch.manual_seed(0)
    network = RetintNetwork()
    before = psnr(network, pan)
    lanes = Lanes(Again(pan), count=1, random=np.random.default_rng(0))
    optimizer = torch.optim.AdamW(network.fusion.parameters(), lr=2e-3)
    for _ in range(30):
        optimizer.zero_grad()
        lanes.train_step(network)
        optimizer.step()
    assert psnr(network, pan) > before + 0.1


class PaintsByAge(RetintNetwork):
    """Colors each frame with a hundredth of how many it has colored; keeps what it was offered."""

    def __init__(self) -> None:
        super().__init__()
        self.offers: list[Offers] = []
        self.fusion.register_forward_pre_hook(lambda _, given: self.offers.append(given[0]))
        self.fusion.register_forward_hook(lambda _, given, fused: self._paint(fused))

    def _paint(self, fused: Fused) -> Fused:
        # Not a constant, so that the loss has a gradient.
        return Fused(chroma=0 * fused.chroma + 0.01 * len(self.offers), trust=fused.trust, confidence=fused.confidence)


def offered(network: PaintsByAge, name: str) -> list[float]:
    return [offers.chromas[:, OFFERS.index(name)].mean().item() for offers in network.offers]


def test_a_run_goes_on_from_what_the_network_made_and_remembers_it(pan: Run) -> None:
    network = PaintsByAge()
    lane = Lane(pan, network.description)
    while not lane.is_done:
        lane.learn(network)
    assert offered(network, "previous")[1:] == pytest.approx([0.01 * age for age in range(1, 11)], abs=1e-4)
    assert offered(network, "earlier")[EARLIER:] == pytest.approx([0.01 * age for age in range(1, 7)], abs=1e-4)
    remembered = offered(network, "remembered")
    changes = [not np.isclose(one, other, atol=2e-3) for one, other in pairwise(remembered)]
    assert changes.index(True) == REMEMBERED_EVERY - 1


def test_a_run_in_other_colors_and_mirrored_comes_back_as_it_was(pan: Run) -> None:
    random = np.random.default_rng(0)
    recolorings = [Recoloring.draw(random, CPU) for _ in range(8)]
    assert {recoloring.mirrored for recoloring in recolorings} == {True, False}
    lane = Lane(pan, RetintNetwork().description)
    offers, truth, _ = lane._next()
    for recoloring in recolorings:
        turned, _ = recoloring.apply(offers, truth)
        mean = Fused(chroma=turned.chromas.mean(1), trust=turned.planes[:, 0, 4:5], confidence=turned.planes[:, 0, 4:5])
        back = recoloring.undo(mean)
        torch.testing.assert_close(back.chroma, offers.chromas.mean(1), atol=1e-5, rtol=0)
        torch.testing.assert_close(back.trust, offers.planes[:, 0, 4:5])


def train(folder: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = ["--description-steps", "2", "--fusion-steps", "2", "--photos-share", "0.5"]
    monkeypatch.setattr(sys, "argv", ["train", str(folder), "--output", str(output), *steps, "--device", "cpu"])
    training.main()


def test_what_there_is_nothing_to_train_on_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    monkeypatch.setattr(sys, "argv", ["train", str(photos), "--output", str(tmp_path / "run")])
    (photos / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(SystemExit, match="no clips of 5 frames or more and no photos"):
        training.main()
    cv2.imwrite(str(photos / "one.jpg"), np.zeros((40, 60, 3), np.uint8))
    with pytest.raises(SystemExit, match="no clips of 5 frames or more; --photos-share 1"):
        training.main()
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--photos-share", "100"])
    with pytest.raises(SystemExit):
        training.main()
    assert "0 to 1, not 100" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_training_logs_stops_and_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOGGED_EVERY", 1)
    monkeypatch.setattr(training, "SAVED_EVERY", 1)
    real, taken = training.average, []

    def stop(*given: object, **named: int) -> None:
        taken.append(named["step"])
        if len(taken) == 4:
            raise KeyboardInterrupt
        real(*given, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(training, "average", stop)
        with pytest.raises(KeyboardInterrupt):
            train(folder, tmp_path, monkeypatch)
    train(folder, tmp_path, monkeypatch)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == [
        ("description", 1),
        ("description", 2),
        ("fusion", 1),
        ("fusion", 2),
    ]
    assert lines[-1].keys() >= {"seconds", "loss", "fused"}
    load_network(tmp_path / "network.safetensors")


def test_a_training_gives_the_same_weights_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "other"):
        train(folder, tmp_path / name, monkeypatch)
    one, other = (load_network(tmp_path / name / "network.safetensors") for name in ("one", "other"))
    for weight, again in zip(one.parameters(), other.parameters(), strict=True):
        # Libraries may add in another order where memory lies otherwise; Adam turns that into a part of a step.
        torch.testing.assert_close(weight, again, atol=1e-4, rtol=1e-4)


def test_the_rate_rises_and_falls() -> None:
    rates = [training.share_of_rate(step, steps=1000) for step in (1, 50, 500, 1000)]
    assert rates[0] < rates[1] > rates[2] > rates[3] > 0
