"""The demo's own parts; `make demo` is the test of the whole."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from cli.demo_clip import SIZE, find_footage, make_monochrome, true_frames
from cli.demo_figures import Distance, measure

STARTS_AND_WAITS = """
import sys
from pathlib import Path
from cli.demo import running_service
with running_service(Path("demo") / "service") as address:
    print(address, flush=True)
    sys.stdin.readline()
"""


def visible(plane: "av.video.plane.VideoPlane") -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    """[H, W]: without what lines are padded with."""
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


@pytest.fixture(scope="module")
def mono(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "mono.mp4"
    make_monochrome(find_footage(), path)
    return path


def test_the_film_loses_its_color_and_keeps_luma_and_sound(mono: Path) -> None:
    footage = find_footage()
    with av.open(str(mono)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == SIZE
        assert container.streams.video[0].frames == 132
        frame = next(container.decode(video=0))
        for plane in frame.planes[1:]:
            assert (visible(plane) == 128).all()
    with av.open(str(mono)) as copy, av.open(str(footage)) as source:
        sounds = [[bytes(packet) for packet in each.demux(audio=0) if packet.size] for each in (copy, source)]
        assert sounds[0] == sounds[1]
    true = next(islice(true_frames(footage), 1))
    assert true.shape == (SIZE[1], SIZE[0], 3)
    luma = visible(frame.planes[0])
    gray = true @ np.array([0.2126, 0.7152, 0.0722])
    assert np.abs(luma - (16 + gray * 219 / 255)).mean() < 2


def test_figures_tell_color_from_gray(mono: Path) -> None:
    gray = measure(mono, find_footage(), every=30)
    assert isinstance(gray, Distance)
    assert 10 < gray.rgb_psnr < 25
    assert gray.ab_psnr > gray.rgb_psnr


def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    demo = subprocess.Popen(
        [sys.executable, "-c", STARTS_AND_WAITS],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    with demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("http://127.0.0.1:")
        family = psutil.Process(demo.pid).children(recursive=True)
        assert len(family) == 5  # serve, API, worker, courier, Redis
        demo.kill()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
