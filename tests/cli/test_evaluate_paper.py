"""`retint evaluate --table paper` from a folder of clips and one of weights, to tables that say what they know."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from random_checkpoints import random_deepremaster, random_exemplar, write_exemplar
from typer.testing import CliRunner, Result

from cli.errors import CommandError
from cli.main import app
from jobs.errors import ClipUnusable
from models.tuning import tune
from models.weights import import_files
from worker.paper_tables import PROTOCOLS, PUBLISHED, SYSTEMS

HEIGHT, WIDTH, COUNT = 48, 64, 4
TUNED = [system for system in SYSTEMS if system.tuning.iterations > 0]


def picture(index: int, *, seed: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 8, 3)).astype(np.uint8)
    wide = cv2.resize(coarse, (WIDTH + COUNT, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(wide[:, index : index + WIDTH])


def write_clip(folder: Path, *, seed: int, reference_folder: bool = False) -> None:
    pictures = [picture(index, seed=seed) for index in range(COUNT)]
    (folder / "truth").mkdir(parents=True)
    for index, rgb in enumerate(pictures):
        cv2.imwrite(str(folder / "truth" / f"{index}.png"), rgb[..., ::-1])
    with av.open(str(folder / "gray.mp4"), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for rgb in pictures:
            gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(gray, format="gray")))
        out.mux(stream.encode())
    target = folder / "references" / "0001.png" if reference_folder else folder / "reference.png"
    target.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(target), pictures[0][..., ::-1])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_clip(folder / "vid4" / "calendar", seed=1)
    write_clip(folder / "set8" / "beach", seed=2, reference_folder=True)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """deepremaster and exemplar, of random weights, a sixteenth as wide as published."""
    folder = tmp_path_factory.mktemp("weights")
    published = folder / "published"
    files = write_exemplar(published, random_exemplar())
    torch.save(random_deepremaster(), published / "remasternet.pth.tar")
    import_files("exemplar", files, folder)
    import_files("deepremaster", [published / "remasternet.pth.tar"], folder)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Small frames, and one step for every tuning; returns the objectives tuned with."""
    tuned: list[str] = []

    def one_step(*arguments: Any, settings: Any, **named: Any) -> Any:
        tuned.append(settings.objective)
        return tune(*arguments, settings=replace(settings, iterations=1), **named)

    small = tuple(replace(each, lines=each.lines and HEIGHT // 16 * 16) for each in PROTOCOLS)
    for module in ("worker.paper_tables", "cli.paper_report"):
        monkeypatch.setattr(f"{module}.PROTOCOLS", small)
    monkeypatch.setattr("worker.evaluation.tune", one_step)
    monkeypatch.setattr("models.deepremaster.colorizer.REFERENCE_SIZE", HEIGHT)
    return tuned


def evaluate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", "--table", "paper", *map(str, arguments)], catch_exceptions=False)


def rows_of(markdown: str, heading: str) -> dict[str, list[str]]:
    """The cells of a table by its first column."""
    part = markdown.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells}


def test_random_checkpoints_drive_all_of_the_tables(
    data: Path, weights: Path, tmp_path: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINT_WEIGHTS_FOLDER", str(weights))
    out = tmp_path / "tables"
    done = evaluate(data, "--out", out, "--device", "cpu", "--frames", 2)
    assert done.exit_code == 0
    markdown = (out / "paper.md").read_text()
    assert markdown.strip() in done.stdout
    assert "Only the first 2 frames" in markdown
    report = json.loads((out / "paper.json").read_text())
    # Every system, at both sizes, on both clips; every one measured by itself.
    assert len(report["measured"]) == len(SYSTEMS) * 2 * 2
    assert report["absent"] == {}
    assert all(record["frames"] == 1 for record in report["measured"])
    assert sum(record["tuning"] is not None for record in report["measured"]) == len(TUNED) * 4
    assert len(quick) == len(TUNED) * 4
    assert {record["clip"] for record in report["measured"] if record["dataset"] == "set8"} == {"beach"}
    at_320 = rows_of(markdown, "Table 1: Vid4, the paper's protocol")
    full = rows_of(markdown, "Table 1: Vid4, full size")
    assert at_320["*published: DeepRemaster 2019*"] == ["23.39 / 0.9127", "23.39 / 0.9127"]
    assert full["*published: test-time tuning*"] == ["23.81 / 0.9139", "23.81 / 0.9139"]
    found = {(r["dataset"], r["protocol"], r["system"]): r for r in report["measured"]}
    for rows, protocol in ((at_320, "320"), (full, "full")):
        for system in ("exemplar, untuned", "deepremaster, untuned", "deepremaster, lab, 20", "retint, untuned"):
            record = found["vid4", protocol, system]
            assert rows[system][0] == f"{record['psnr_db']:.2f} / {record['ssim']:.4f}"
    # A network's own luma counts at 320 lines alone: random restoration ruins it.
    assert (
        found["vid4", "320", "deepremaster, untuned"]["psnr_db"]
        < found["vid4", "full", "deepremaster, untuned"]["psnr_db"]
    )
    set8 = rows_of(markdown, "Table 2: Set8, full size")
    assert set8["*published: Zhang et al. 2019*"] == ["–", "–"], "the published average is of eight clips"
    ablation = rows_of(markdown, "Table 4: objectives of tuning, deepremaster, full size")
    assert ablation["without L_l (`ab`)"][-2:] == ["25.64 (all clips)", "25.01 (all clips)"]
    assert ablation["L_l + L_ab (`lab`)"][0].startswith(
        f"{found['vid4', 'full', 'deepremaster, lab, 5']['psnr_db']:.2f}"
    )
    drawn = ElementTree.parse(out / "paper.svg").getroot()
    bars = [each for each in drawn.iter("{http://www.w3.org/2000/svg}rect") if each.get("height") == "10.0"]
    assert len(bars) == len(SYSTEMS) * 2 * 2


def test_rows_without_weights_say_so_and_nothing_is_filled_in(
    data: Path, tmp_path: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETINT_WEIGHTS_FOLDER", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    done = evaluate(data, "--device", "cpu", "--frames", 2, "--json", tmp_path / "more.json")
    assert "retint weights import exemplar" in done.stderr
    markdown = (tmp_path / "paper-tables" / "paper.md").read_text()
    rows = rows_of(markdown, "Table 1: Vid4, the paper's protocol")
    assert rows["exemplar, untuned"] == rows["deepremaster, lab, 20"] == ["weights absent", ""]
    assert rows["retint, untuned"][0] != "–"
    assert set(rows_of(markdown, "Table 4: objectives of tuning, deepremaster, the")["RGB alone (`rgb`)"][:4]) == {
        "weights absent"
    }
    report = json.loads((tmp_path / "more.json").read_text())
    assert {record["system"].split(",")[0] for record in report["measured"]} == {"retint"}
    assert set(report["absent"]) == {"deepremaster", "exemplar"}
    assert (tmp_path / "paper-tables" / "paper.svg").read_text().count("weights absent") == 20


def test_a_folder_of_something_else_and_options_that_would_not_count_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ClipUnusable, match="neither a folder vid4 nor a folder set8"):
        evaluate(tmp_path)
    with pytest.raises(CommandError, match="--tuning does not go with --table paper"):
        evaluate(data, "--tuning", "off")
    with pytest.raises(CommandError, match="one folder"):
        evaluate(data, data)
    with pytest.raises(CommandError, match="no table `other`"):
        CliRunner().invoke(app, ["evaluate", "--table", "other", str(data)], catch_exceptions=False)


def test_published_averages_stand_beside_all_clips_or_the_same_ones() -> None:
    zhang = PUBLISHED[0]
    whole = zhang.average("vid4", ["walk", "foliage", "city", "calendar"])
    assert (whole.psnr_db, whole.ssim) == (24.12, 0.9372) if whole else False
    two = zhang.average("vid4", ["calendar", "foliage"])
    assert two is not None
    assert two.psnr_db == pytest.approx((18.98 + 19.13) / 2)
    assert zhang.average("vid4", ["calendar", "other"]) is None
    assert zhang.average("set8", ["one"]) is None
    eight = zhang.average("set8", list("abcdefgh"))
    assert eight is not None
    assert eight.psnr_db == 21.14


def test_the_mean_of_the_published_clips_is_the_published_average() -> None:
    """What was copied is copied right, up to the paper's own rounding."""
    for published in PUBLISHED:
        psnr = [figures.psnr_db for figures in published.clips.values()]
        ssim = [figures.ssim for figures in published.clips.values() if figures.ssim is not None]
        average = published.averages["vid4"]
        assert sum(psnr) / 4 == pytest.approx(average.psnr_db, abs=0.006)
        assert sum(ssim) / 4 == pytest.approx(average.ssim, abs=0.0001)
