"""`retint bench tuning`: the paper's Table 3 on this machine."""

import json
from pathlib import Path

import pytest
import torch
from random_checkpoints import random_deepremaster
from typer.testing import CliRunner, Result

from cli.errors import CommandError
from cli.main import app
from models.errors import WeightsMissing
from models.weights import import_files


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", "tuning", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(random_deepremaster(), tmp_path / "remasternet.pth.tar")
    import_files("deepremaster", [tmp_path / "remasternet.pth.tar"], tmp_path)
    monkeypatch.setenv("RETINT_WEIGHTS_FOLDER", str(tmp_path))


def test_every_step_is_taken_and_the_device_is_named() -> None:
    done = bench("--size", "64x96", "--iterations", 2, "--iterations", 7, "--json", "--device", "cpu")
    report = json.loads(done.stdout)
    assert (report["model"], report["device"]) == ("deepremaster", "cpu")
    assert report["device_name"].endswith("threads")
    assert [(row["height"], row["width"], row["steps"]) for row in report["tunings"]] == [(64, 96, 2), (64, 96, 7)]
    assert all(row["seconds"] > 0 for row in report["tunings"])
    assert {row["published_minutes"] for row in report["tunings"]} == {None}


def test_the_table_stands_beside_the_published_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.tuning_time.PUBLISHED_MINUTES", {(64, 70): {1: 0.53}})
    done = bench("--size", "64x70", "--iterations", 1, "--device", "cpu")
    title, _, head, _, row = done.stdout.strip().splitlines()
    assert title.startswith("Minutes of tuning, deepremaster, on ")
    assert head == "| size | 1 iteration | *published, 1* |"
    assert row.startswith("| 64x70 | ")
    assert row.endswith(" | 0.53 |")


@pytest.mark.parametrize("size", ["64", "x", "64x", "32x64"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(CommandError, match="give HEIGHTxWIDTH"):
        bench("--size", size)


def test_a_model_without_weights_is_refused_with_what_to_do() -> None:
    with pytest.raises(WeightsMissing, match="retint weights import exemplar"):
        bench("--model", "exemplar")
