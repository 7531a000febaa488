"""The page in a real browser, against a real server with a real worker."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from npm_packages import give_up, installed
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.service.live_server import Server, eventually, running

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WORKER = [sys.executable, "-m", "cli", "worker"]
SIZE = (192, 112)
"""Width and height of the films here."""
SHOT_FRAMES = 14
RATE = 12


@pytest.fixture(scope="module")  # while Playwright is there, no test that is a coroutine can run in this thread
def browser() -> Iterator[Browser]:
    executable = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if executable is None:
        give_up("no Chromium found; Debian's package chromium brings one", needed="TESTS_NEED_BROWSER")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    folder = installed(Path(__file__).parent / "axe", into=tmp_path_factory.mktemp("axe"))
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@dataclass
class Visitor:
    """Somebody with a browser of their own, who sees all that goes wrong in it."""

    context: BrowserContext
    address: str
    axe: str
    wrongs: list[str] = field(default_factory=list)
    """Errors in the console, which those of the security policy are too, and exceptions."""
    expected: list[str] = field(default_factory=list)
    """What a test brings about: parts of such lines."""

    def open(self, place: str = "/") -> Page:
        page = self.context.new_page()
        page.on("console", lambda message: self._note(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self._note(str(error)))
        page.goto(self.address + place)
        return page

    def audit(self, page: Page) -> None:
        """Fail where axe-core finds anything, best practices included."""
        page.evaluate(self.axe)
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        told = [
            f"{violation['id']}: {violation['help']}: {[node['html'][:200] for node in violation['nodes']]}"
            for violation in found["violations"]
        ]
        assert told == []

    def _note(self, text: str) -> None:
        if not any(part in text for part in self.expected):
            self.wrongs.append(text)


@pytest.fixture
def visit(browser: Browser, axe: str) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors of a server; what went wrong in the browser of any fails the test."""
    visitors: list[Visitor] = []

    def make(server: Server, **options: Any) -> Visitor:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        visitors.append(Visitor(context, f"http://127.0.0.1:{server.port}", axe))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.context.close()
    assert [visitor.wrongs for visitor in visitors] == [[] for _ in visitors]


@contextmanager
def working(redis_url: str, folder: Path, **settings: int | str) -> Iterator[Server]:
    """A server with a worker."""
    environment = {
        **os.environ,
        "RETINT_REDIS_URL": redis_url,
        "RETINT_DATA_FOLDER": str(folder),
        "RETINT_QUEUE_NAME": f"live-{folder.name}",
        "RETINT_DEVICE": "cpu",
        "RETINT_THREADS": "2",
        **{f"RETINT_{name.upper()}": str(value) for name, value in settings.items()},
    }
    worker = subprocess.Popen(WORKER, env=environment)
    try:
        with running(redis_url, folder, **settings) as server:
            assert eventually(lambda: server.client.get("/readyz").is_success, seconds=90)
            yield server
    finally:
        worker.terminate()
        worker.wait(20)


@pytest.fixture(scope="module")
def server(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with working(redis_url, tmp_path_factory.mktemp("page")) as found:
        yield found


@dataclass(frozen=True)
class Film:
    path: Path
    colors: list[np.ndarray[Any, Any]]
    """Every frame in color, [H, W, 3] uint8, R'G'B'."""


def make_film(path: Path, *, shots: int = 3, seed: int = 0, aspect: Fraction = Fraction(1), rate: int = RATE) -> Film:
    """A gray film with sound, of shots that look nothing like each other: blobs of color that move. Its pixels are
    `aspect` times as wide as high."""
    width, height = SIZE
    colors = []
    for shot in range(shots):
        rng = np.random.default_rng(seed * 100 + shot)
        small = rng.integers(30, 226, (5, 8, 3)).astype(np.uint8)
        picture = cv2.resize(small, (width + SHOT_FRAMES, height), interpolation=cv2.INTER_CUBIC)
        colors += [np.ascontiguousarray(picture[:, step : step + width]) for step in range(SHOT_FRAMES)]
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=rate, options={"crf": "12"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.sample_aspect_ratio = aspect
        audio: Any = container.add_stream("aac", rate=16000)
        for color in colors:
            gray = cv2.cvtColor(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            container.mux(video.encode(av.VideoFrame.from_ndarray(gray, format="rgb24")))
        container.mux(video.encode(None))
        length = 16000 * len(colors) // rate
        wave = (0.1 * np.sin(np.arange(length) * 0.17)).astype(np.float32)[None]
        for start in range(0, length, 1024):
            sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[:, start : start + 1024]), "fltp", "mono")
            sound.rate, sound.pts = 16000, start
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return Film(path, colors)


def write_picture(path: Path, rgb: np.ndarray[Any, Any]) -> Path:
    assert cv2.imwrite(str(path), rgb[..., ::-1])
    return path
