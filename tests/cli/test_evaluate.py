"""`retint evaluate`: what it is told, and what it shows and writes."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from cli.errors import CommandError
from cli.evaluate import parse_input
from cli.evaluation_figures import report_of, table_of
from cli.main import app
from jobs.errors import ClipUnusable
from jobs.options import TuningOptions
from models.base import Example, Matrix, ModelDescription, Prediction, Reference
from models.errors import DeviceUnavailable
from models.retint.network import RetintNetwork
from models.tuning import TuningReport
from worker.evaluation_results import ClipResult, Scores, SeedResult


class Gray:
    """Colors nothing, and with its one weight learns nothing that helps."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.zeros(1))

    @property
    def description(self) -> ModelDescription:
        return ModelDescription(
            name="gray",
            title="",
            license="",
            source="",
            size_multiple=8,
            working_size=480,
            restores=False,
            propagates=True,
            references_must_be_frames=False,
            learning_rate=0.01,
        )

    def clone(self) -> Self:
        return type(self)()

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        for luma in lumas:
            yield Prediction(chroma=torch.zeros(2, *luma.shape), confidence=torch.ones_like(luma))

    def weights(self) -> Iterator[torch.Tensor]:
        return iter(self.tunable_parameters())

    def tunable_parameters(self) -> list[nn.Parameter]:
        return [self.weight]

    def example(self, reference: Reference, *, matrix: Matrix, variation: int) -> Example:
        truth = torch.full((3, *reference.luma.shape), 0.0)
        return lambda: (truth + self.weight, truth)


def scores(rgb_psnr_db: float) -> Scores:
    return Scores(rgb_psnr_db=rgb_psnr_db, ssim=0.9, ab_psnr_db=40.0, ciede2000=3.0, cdc=0.001, seconds_per_frame=0.25)


def result(clip: str, *, untuned: float, tuned: Sequence[float]) -> ClipResult:
    report = TuningReport(iterations=20, gain_db=0.5, seconds=12.0, stopped_early=False, curve=())
    seeds = tuple(SeedResult(seed=seed, scores=scores(value), tuning=report) for seed, value in enumerate(tuned))
    return ClipResult(clip, (0,), 9, scores(untuned), seeds, 512.0)


TWO_CLIPS = [result("beach", untuned=30.0, tuned=[31.0, 29.5]), result("city", untuned=20.0, tuned=[21.0, 21.5])]


def shown(results: list[ClipResult], *, width: int = 80) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table_of(results))
    return capture.get().splitlines()


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Five frames of 32x48 that get redder."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for index in range(5):
        picture = np.full((32, 48, 3), (60, 90, 120 + 20 * index), np.uint8)
        assert cv2.imwrite(str(folder / f"{index}.png"), picture)
    return folder


def test_where_figures_cannot_be_written_is_said_before_the_work(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr("models.registry.load", load)
    refused = CliRunner().invoke(app, ["evaluate", str(clip), "--json", str(tmp_path / "absent" / "figures.json")])
    assert isinstance(refused.exception, CommandError)
    assert "There is no folder" in str(refused.exception)


def test_a_clip_is_measured_with_references_and_seeds(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.registry.load", lambda *_, **__: Gray())
    figures = tmp_path / "figures.json"
    done = evaluate(
        clip, "--tuning", 1, "--frames", 4, "--references", 2, "--seeds", 2, "--device", "cpu", "--json", figures
    )
    assert done.exit_code == 0
    assert "+0.00" in done.stdout
    report = json.loads(figures.read_text())
    assert report["settings"] == {
        "model": "retint",
        "device": "cpu",
        "frames": 4,
        "references": 2,
        "keyframes": False,
        "seeds": 2,
        "input": None,
        "network": None,
        "tuning": TuningOptions(iterations=1).model_dump(),
    }
    (measured,) = report["clips"]
    assert measured["references"] == [0, 3]
    assert measured["frames"] == 2
    assert [seed["seed"] for seed in measured["seeds"]] == [0, 1]


def test_a_clip_that_is_too_short_is_refused_before_the_work(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.registry.load", lambda *_, **__: Gray())
    with pytest.raises(ClipUnusable, match="clip is too short: of 5 to color 5 would be references"):
        evaluate(clip, "--references", 5, "--device", "cpu")
    assert evaluate(clip, "--references", 0).exit_code == 2
    assert evaluate(clip, "--seeds", 0).exit_code == 2


def test_the_report_holds_clips_seeds_means_and_settings() -> None:
    report: dict[str, Any] = json.loads(json.dumps(report_of(TWO_CLIPS, {"seeds": 2})))
    assert report["settings"] == {"seeds": 2}
    beach, city = report["clips"]
    assert beach["tuned"]["rgb_psnr_db"] == pytest.approx(30.25)
    assert beach["gain"] == pytest.approx({"mean_db": 0.25, "lowest_db": -0.5, "highest_db": 1.0})
    assert city["seeds"][1] == {
        "seed": 1,
        "rgb_psnr_db": 21.5,
        "gain_db": 1.5,
        "held_out_gain_db": 0.5,
        "iterations": 20,
        "seconds": 12.0,
    }
    assert report["mean"]["untuned"]["rgb_psnr_db"] == 25
    assert report["mean"]["tuned"]["rgb_psnr_db"] == pytest.approx(25.75)
    # Seed by seed over the clips: 1.0 with seed 0, 0.5 with seed 1.
    assert report["mean"]["gain"] == pytest.approx({"mean_db": 0.75, "lowest_db": 0.5, "highest_db": 1.0})


def test_the_report_of_an_untuned_run_holds_no_gain() -> None:
    report = report_of([result("beach", untuned=30.0, tuned=[])], {})
    assert report["clips"][0]["tuned"] is None
    assert report["clips"][0]["gain"] is None
    assert report["clips"][0]["seeds"] == []
    assert set(report["mean"]) == {"untuned"}


def test_the_table_shows_gain_and_its_spread_in_80_columns() -> None:
    lines = [line.split() for line in shown(TWO_CLIPS)]
    tuned, lowest, highest = (next(line for line in lines if name in line) for name in ("tuned", "lowest", "highest"))
    assert tuned == ["tuned", "30.25", "0.9000", "40.00", "3.00", "0.001000", "0.250", "+0.25", "12.0", "512"]
    assert (lowest, highest) == (["lowest", "-0.50"], ["highest", "+1.00"])
    assert any(line[:2] == ["mean", "untuned"] for line in lines)
    assert ["highest", "+1.00"] in lines[lines.index(["lowest", "+0.50"]) :]


def test_the_table_of_one_seed_or_none_is_short() -> None:
    assert table_of([result("beach", untuned=30.0, tuned=[31.0])]).row_count == 4
    assert table_of([result("beach", untuned=30.0, tuned=[])]).row_count == 2
    assert not any("lowest" in line for line in shown([result("beach", untuned=30.0, tuned=[31.0])]))


def test_the_device_is_the_setting_unless_one_is_given(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.registry.load", lambda *_, **__: Gray())
    monkeypatch.setenv("RETINT_DEVICE", "cpu")
    figures = tmp_path / "figures.json"
    evaluate(clip, "--tuning", "off", "--json", figures)
    assert json.loads(figures.read_text())["settings"]["device"] == "cpu"
    monkeypatch.setenv("RETINT_DEVICE", "toaster")
    with pytest.raises(DeviceUnavailable, match="toaster"):
        evaluate(clip, "--tuning", "off")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--tuning", "much", "--tuning: there is no tuning `much`"),
        ("--tuning", "201", "--tuning: expected 200 or less"),
        ("--model", "none", "--model: expected 'retint', 'deepremaster' or 'exemplar'"),
        ("--input", "color", "--input: there is no input `color`; give luma or gray."),
    ],
)
def test_words_on_the_command_line_are_refused_by_the_name_of_their_option(
    clip: Path, option: str, value: str, message: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(message)):
        evaluate(clip, option, value, "--device", "cpu")


def test_an_input_may_be_left_to_the_clip() -> None:
    assert parse_input("gray") == "gray"
    assert parse_input(None) is None


def test_weights_of_a_training_run_are_measured_in_place_of_what_ships(tmp_path: Path) -> None:
    network = RetintNetwork()
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    clip = tmp_path / "clip"
    clip.mkdir()
    for index in range(3):
        cv2.imwrite(str(clip / f"{index}.png"), np.full((64, 96, 3), (40, 90 + index, 160), np.uint8))
    command = ["evaluate", str(clip), "--tuning", "off", "--network", str(tmp_path / "network.safetensors")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "clip" in result.output
    refused = CliRunner().invoke(app, [*command, "--model", "deepremaster"])
    assert isinstance(refused.exception, CommandError)
    assert "not of deepremaster" in str(refused.exception)
