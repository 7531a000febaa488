"""Coloring a frame in the page, by strokes."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.service.live_server import Server
from tests.service.page.conftest import SIZE, Visitor, make_film, write_picture
from tests.service.page.test_flow import LONG, send_film


def opened(page: Page, film: Any) -> Locator:
    """The dialog that is painted in, over the frame of the first shot."""
    send_film(page, film)
    page.get_by_role("button", name="Color it here: the frame of shot 1").click(timeout=LONG)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def paper(dialog: Locator) -> Locator:
    return dialog.get_by_role("application")


def stroke(page: Page, dialog: Locator, *points: tuple[float, float]) -> None:
    box = paper(dialog).bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def expect_colored(dialog: Locator) -> None:
    expect(dialog.get_by_role("status")).to_have_text(re.compile("In color"), timeout=LONG)
    expect(dialog.get_by_role("button", name="Use this frame")).to_be_enabled()


def test_strokes_become_a_reference_and_are_gone_on_with(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "painted.mp4", shots=1, seed=5)
    visitor = visit(server)
    page = visitor.open()
    dialog = opened(page, film)
    expect(page.get_by_text("Color it in any program, keep its name, and drop it back here.")).to_be_attached()
    expect(dialog.get_by_role("button", name="Use this frame")).to_be_disabled()
    visitor.audit(page)

    dialog.get_by_role("button", name="Red", exact=True).click()
    stroke(page, dialog, (0.1, 0.2), (0.3, 0.4))
    dialog.get_by_role("button", name="Sky", exact=True).click()
    stroke(page, dialog, (0.7, 0.7), (0.9, 0.8))
    expect_colored(dialog)
    visitor.audit(page)
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    expect(dialog.get_by_role("button", name="Undo")).to_be_disabled()
    expect(dialog.get_by_role("button", name="Use this frame")).to_be_disabled()
    page.keyboard.press("Control+Shift+z")
    dialog.get_by_role("button", name="Redo").click()
    expect(dialog.get_by_role("button", name="Redo")).to_be_disabled()
    expect_colored(dialog)
    dialog.get_by_role("button", name="Use this frame").click()
    expect(page.get_by_text("1 of 1 shot has a colored frame")).to_be_visible()

    # Going on with the same strokes.
    page.get_by_role("button", name="Color it here: the frame of shot 1").click()
    expect(dialog.get_by_role("button", name="Undo")).to_be_enabled()
    expect_colored(dialog)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)

    page.get_by_label("None").check()
    page.get_by_role("button", name="Start coloring").click()
    expect(page.get_by_role("region", name="Before and after")).to_be_visible(timeout=LONG)
    job = server.client.get("/v1/jobs").json()["data"][0]
    assert [one["placed_by"] for one in job["references"]] == ["user"]
    preview = server.client.get(f"/v1/jobs/{job['id']}/stills/{job['stills'][0]}").content
    picture = cv2.imdecode(np.frombuffer(preview, np.uint8), cv2.IMREAD_COLOR).astype(float)
    left, right = picture[20:50, 20:55].mean((0, 1)), picture[75:95, 135:170].mean((0, 1))
    assert left[2] - left[0] > 15, "red where it was painted red"
    assert right[0] - right[2] > 8, "blue where it was painted blue"
    colorings = httpx.get(f"http://127.0.0.1:{server.port}/metrics").text
    assert 'retint_jobs_submitted_total{kind="colorings"}' in colorings


def test_what_is_painted_takes_the_place_of_a_picture_of_that_frame(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "repainted.mp4", shots=1, seed=22)
    page = visit(server).open()
    send_film(page, film)
    color = page.get_by_role("button", name="Color it here: the frame of shot 1")
    frame = int(re.search(r"frame (\d+)", page.locator(".shot-name").inner_text(timeout=LONG))[1])  # type: ignore[index]
    earlier = write_picture(tmp_path / f"shot-0001_frame-{frame:06}-earlier.png", film.colors[frame])
    page.get_by_label("Add colored frames").set_input_files(earlier)
    expect(page.get_by_role("button", name=f"Remove {earlier.name}")).to_be_visible()
    color.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Red", exact=True).click()
    stroke(page, dialog, (0.1, 0.2), (0.3, 0.4))
    expect_colored(dialog)
    dialog.get_by_role("button", name="Use this frame").click()
    expect(page.get_by_text(f"Added in place of {earlier.name}.")).to_be_visible()
    expect(page.get_by_role("button", name="Remove")).to_have_count(1)


def shape_of(locator: Locator) -> float:
    """Width over height."""
    box = locator.bounding_box()
    assert box is not None
    return box["width"] / box["height"]


INKED = """(paper) => {
    const { data, width, height } = paper.getContext("2d").getImageData(0, 0, paper.width, paper.height);
    const inked = [...Array(width * height).keys()].filter((place) => data[4 * place + 3] > 127);
    const reach = (places) => Math.max(...places) - Math.min(...places) + 1;
    return [reach(inked.map((place) => place % width)), reach(inked.map((place) => Math.floor(place / width)))];
}"""
"""How far the strokes reach across and down, in the picture's pixels."""


def test_an_anamorphic_film_is_seen_and_painted_in_the_shape_in_which_it_is_shown(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "pal.mp4", shots=1, seed=16, aspect=Fraction(64, 45))
    page = visit(server).open()
    dialog = opened(page, film)
    shown = pytest.approx(SIZE[0] * 64 / 45 / SIZE[1], rel=0.01)
    assert shape_of(paper(dialog)) == shown
    card = page.get_by_alt_text("Shot 1, frame")
    assert shape_of(card) == shown

    # A dot is round as it is shown; the strokes have the pixels of the film.
    dialog.get_by_role("slider", name="Brush").fill("30")
    dialog.get_by_role("button", name="Red", exact=True).click()
    stroke(page, dialog, (0.5, 0.5))
    across, down = paper(dialog).evaluate(INKED)
    assert (across * 64 / 45, down) == (pytest.approx(30, abs=2), pytest.approx(30, abs=1))
    expect_colored(dialog)
    dialog.get_by_role("button", name="Use this frame").click()
    expect(card).to_have_attribute("src", re.compile("^blob:"))
    assert card.evaluate("(image) => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [*SIZE]
    assert shape_of(card) == shown

    page.get_by_label("None").check()
    page.get_by_role("button", name="Start coloring").click()
    page.get_by_role("button", name="Add a colored frame here").click(timeout=LONG)
    expect(page.get_by_text("Loading the film")).to_be_hidden()
    assert shape_of(page.locator("canvas")) == shown
    picture = page.get_by_role("region", name="One more colored frame").get_by_role("img", name="Frame")
    expect(picture).to_be_visible(timeout=LONG)
    assert picture.evaluate("(image) => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [
        SIZE[0],
        round(SIZE[1] * 45 / 64),
    ]
    assert shape_of(picture) == shown


def test_it_is_painted_by_keyboard_and_with_a_color_from_a_picture(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "keys.mp4", shots=1, seed=6)
    page = visit(server).open()
    dialog = opened(page, film)
    sample = np.zeros((30, 60, 3), np.uint8)
    sample[:, :30], sample[:, 30:] = (20, 140, 60), (150, 30, 120)
    dialog.get_by_label("Colors from a picture").set_input_files(write_picture(tmp_path / "autochrome.png", sample))
    taken = dialog.get_by_role("img", name=re.compile("autochrome.png"))
    taken.click(position={"x": 20, "y": 10})
    expect(dialog.get_by_label("Own color")).to_have_value("#148c3c")
    paper(dialog).focus()
    page.keyboard.press("]")
    for key in ("ArrowLeft", "ArrowUp", "Space", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    expect_colored(dialog)
    for _ in range(3):
        dialog.get_by_role("button", name="Undo").click()
    expect(dialog.get_by_role("button", name="Undo")).to_be_disabled()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Go on painting").click()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Leave without it").click()
    expect(dialog).to_have_count(0)


def test_it_is_painted_by_touch(visit: Callable[..., Visitor], server: Server, tmp_path: Path) -> None:
    film = make_film(tmp_path / "touch.mp4", shots=1, seed=7)
    visitor = visit(server, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = visitor.open()
    dialog = opened(page, film)
    visitor.audit(page)
    box = paper(dialog).bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect_colored(dialog)
