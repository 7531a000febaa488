"""Takes the pictures of the web page in docs/page/: `python docs/screenshots.py`, with Debian's chromium and the demo's
film (Big Buck Bunny, (c) Blender Foundation, CC BY 3.0), cut into three shots by cropping."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

from cli.demo_clip import FRAME_RATE, SIZE, find_footage, true_frames

FOLDER = Path(__file__).parent / "page"
LONG = 600_000
"""Milliseconds that a busy machine may take for the film."""
CROPS = ((0.0, 0.0, 1.0), (0.32, 0.28, 0.62), (0.0, 0.35, 0.55))
"""Left, top and size of what each shot shows of the footage."""
SCREENS: dict[str, dict[str, Any]] = {
    "": {"viewport": {"width": 1280, "height": 880}, "color_scheme": "light"},
    "-dark": {"viewport": {"width": 1280, "height": 880}, "color_scheme": "dark"},
    "-phone": {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": "light",
        "is_mobile": True,
        "has_touch": True,
    },
    "-phone-dark": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "is_mobile": True},
}
STROKES = (
    ("Sky", ((0.86, 0.06), (0.96, 0.2))),
    ("Leaves", ((0.55, 0.1), (0.66, 0.3), (0.74, 0.2))),
    ("Grass", ((0.05, 0.9), (0.5, 0.95), (0.95, 0.85))),
    ("Grass", ((0.1, 0.2), (0.25, 0.35))),
    ("Grass", ((0.45, 0.3), (0.6, 0.6))),
    ("Gray, no color", ((0.28, 0.52), (0.29, 0.68), (0.34, 0.75))),
    ("Gray, no color", ((0.13, 0.65), (0.16, 0.5))),
    ("Sand", ((0.72, 0.5), (0.85, 0.48))),
    ("Wood", ((0.4, 0.79), (0.42, 0.84))),
)

Rgb = NDArray[np.uint8]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as address, sync_playwright() as playwright:
        film, colors = make_film(Path(folder))
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--headless", "--no-sandbox"])
        walk(browser, address, film=film, colors=colors, folder=Path(folder))


def walk(browser: Browser, address: str, *, film: Path, colors: list[Rgb], folder: Path) -> None:
    """From the empty page to the result, a picture of each state."""
    page = open_page(browser, address, "")
    page.wait_for_selector(".drop")
    take(page, "start")
    page.get_by_label("Choose a film").set_input_files(film)
    page.wait_for_selector(".shot", timeout=LONG)
    page.get_by_role("button", name="Color it here: the frame of shot 1").click()
    paint(page)
    take(page, "painting")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Leave without it").click()
    add_colored(page, colors, folder)
    take(page, "frames")
    page.get_by_label("Quick").check()
    page.get_by_role("button", name="Start coloring").click()
    page.wait_for_selector(".strip li:nth-child(24)", timeout=LONG)
    take(page, "coloring")
    page.wait_for_selector(".player", timeout=LONG)
    job = page.url.rpartition("/")[2]
    for screen in SCREENS:
        page = open_page(browser, f"{address}/#/job/{job}", screen)
        page.get_by_text("Loading the film").wait_for(state="hidden", timeout=LONG)
        page.get_by_label("Place in the film").fill("13")
        page.wait_for_timeout(2500)
        page.evaluate("scrollTo(0, 0)")
        take(page, f"result{screen}")
    for screen in ("-dark", "-phone"):
        page = open_page(browser, address, screen)
        page.wait_for_selector(".films li")
        page.wait_for_timeout(700)
        take(page, f"films{screen}")


def open_page(browser: Browser, address: str, screen: str) -> Page:
    page = browser.new_context(**SCREENS[screen]).new_page()
    page.goto(address)
    return page


def add_colored(page: Page, colors: list[Rgb], folder: Path) -> None:
    """Color the frames as somebody with much time would: as they were."""
    pictures = []
    for link in page.locator(".shot a[download]").all()[:2]:
        name = link.get_attribute("download") or ""
        path = folder / name
        cv2.imwrite(str(path), colors[int(name[-10:-4])][..., ::-1])
        pictures.append(path)
    page.get_by_label("Add colored frames").set_input_files(pictures)
    page.wait_for_selector(".shot.has:nth-child(2)")
    page.wait_for_timeout(6500)  # until what was said in passing is gone


def paint(page: Page) -> None:
    box = page.locator(".paper").bounding_box()
    assert box is not None
    for color, points in STROKES:
        page.get_by_role("button", name=color, exact=True).click()
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=8)
        page.mouse.up()
    page.wait_for_selector(".paint-bar .main:not([disabled])", timeout=LONG)
    page.wait_for_timeout(300)


def take(page: Page, name: str) -> None:
    shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    quality = 80
    path = FOLDER / f"{name}.webp"
    while True:
        cv2.imwrite(str(path), shot, [cv2.IMWRITE_WEBP_QUALITY, quality])
        if path.stat().st_size < 60_000 or quality <= 30:
            return
        quality -= 10


def make_film(folder: Path) -> tuple[Path, list[Rgb]]:
    """The film in black and white, and its frames in color."""
    frames = list(true_frames(find_footage()))[::3]
    width, height = SIZE
    colors = []
    for index, frame in enumerate(frames):
        left, top, size = CROPS[index * len(CROPS) // len(frames)]
        x, y = int(left * width), int(top * height)
        part = frame[y : y + int(size * height), x : x + int(size * width)]
        colors.append(np.asarray(cv2.resize(part, SIZE, interpolation=cv2.INTER_CUBIC), np.uint8))
    path = folder / "big-buck-bunny.mp4"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=FRAME_RATE // 3, options={"crf": "14", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for color in colors:
            gray = cv2.cvtColor(cv2.cvtColor(color, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            container.mux(video.encode(av.VideoFrame.from_ndarray(gray, format="rgb24")))
        container.mux(video.encode(None))
    return path, colors


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a service of its own."""
    environment = {**os.environ, "RETINT_DATA_FOLDER": str(folder / "data")}
    command = [sys.executable, "-m", "cli", "serve", "--port", "0", "--json"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["address"])
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main()
