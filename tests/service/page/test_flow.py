"""From the empty page to the film in color, as somebody does it who has read nothing."""

import base64
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from playwright.sync_api import Locator, Page, Route, expect

from tests.service.live_server import Server, eventually
from tests.service.page.conftest import RATE, SHOT_FRAMES, Film, Visitor, make_film, write_picture

LONG = 120_000
"""Milliseconds that a worker may take on a busy machine."""


def send_film(page: Page, film: Film) -> None:
    page.get_by_label("Choose a film").set_input_files(film.path)
    expect(page.get_by_role("heading", name=film.path.name)).to_be_visible()


def colored(film: Film, frame: int, path: Path) -> Path:
    return write_picture(path, film.colors[frame])


LOSE_FIRST_ANSWER = """(address) => {
    const { open, setRequestHeader } = XMLHttpRequest.prototype;
    const keys = ((window.keysOf ??= {})[address] = []);
    XMLHttpRequest.prototype.open = function (method, to, ...rest) {
        this.asks = `${method} ${to}`;
        open.call(this, method, to, ...rest);
    };
    XMLHttpRequest.prototype.setRequestHeader = function (name, value) {
        if (this.asks === `POST ${address}` && name === "Idempotency-Key") {
            keys.push(value);
            const answer = { status: { value: 504 }, responseText: { value: "" } };
            if (keys.length === 1) Object.defineProperties(this, answer);
        }
        setRequestHeader.call(this, name, value);
    };
}"""


def lose_first_answer(page: Page, address: str) -> Callable[[], list[str]]:
    """What is sent to the address arrives, but a proxy gives up before the first answer; returns what tells the
    idempotency keys that came with it."""
    page.evaluate(LOSE_FIRST_ANSWER, address)
    return lambda: page.evaluate("(address) => keysOf[address]", address)  # type: ignore[no-any-return]


def test_a_film_is_colored_from_the_empty_page_to_the_download(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "summer 1931.mp4")
    visitor = visit(server)
    page = visitor.open()
    expect(page.get_by_role("heading", name="Drop a black-and-white film here")).to_be_visible()
    visitor.audit(page)

    let_fall(page.get_by_role("region", name="Begin with a film"), [film.path])
    shots = shots_of(page)
    expect(shots).to_have_count(3, timeout=LONG)
    start = page.get_by_role("button", name="Start coloring")
    expect(start).to_be_disabled()
    visitor.audit(page)

    # The frames are taken home, colored, and come back under the names they had.
    pictures = []
    for number in range(3):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download the frame of shot {number + 1}").click()
        name = download.value.suggested_filename
        frame = int(re.fullmatch(rf"shot-000{number + 1}_frame-(\d+)\.png", name)[1])  # type: ignore[index]
        assert SHOT_FRAMES * number <= frame < SHOT_FRAMES * (number + 1)
        pictures.append(colored(film, frame, tmp_path / name))
    # One has lost its name on the way, and is known by its looks.
    pictures[1] = pictures[1].rename(tmp_path / "Untitled-1.png")
    # Anywhere on the page will do.
    let_fall(page.get_by_role("complementary", name="How"), pictures[::-1])
    for number, picture in enumerate(pictures):
        expect(shots.nth(number)).to_contain_text(picture.name)
    expect(page.get_by_text("3 of 3 shots have a colored frame")).to_be_visible()
    place = page.get_by_label("Where Untitled-1.png belongs")
    place.select_option("Shot 3")
    expect(shots.nth(2)).to_contain_text("Untitled-1.png")
    expect(page.get_by_text("2 of 3 shots have a colored frame")).to_be_visible()
    expect(place).to_be_focused()
    place.select_option("Shot 2")
    expect(shots.nth(1)).to_contain_text("Untitled-1.png")
    visitor.audit(page)

    # All of it is still there for who comes back.
    page.close()
    page = visitor.open()
    page.get_by_role("link", name=film.path.name).click()
    expect(shots_of(page).nth(1)).to_contain_text("Untitled-1.png")
    page.get_by_label("Quick").check()
    page.get_by_role("button", name="Start coloring").click()

    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    visitor.audit(page)
    page.close()
    page = visitor.open()
    page.get_by_role("link", name=film.path.name).click()
    expect(page.get_by_role("region", name="Before and after")).to_be_visible(timeout=LONG)
    visitor.audit(page)

    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("Download the color film")).click()
    assert download.value.suggested_filename == "summer 1931-color.mp4"
    result = tmp_path / "color.mp4"
    download.value.save_as(result)
    check_film(result, film)
    page.get_by_role("link", name="Color it again with other settings").click()
    expect(page.get_by_text("3 of 3 shots have a colored frame")).to_be_visible()
    expect(page.get_by_label("Quick")).to_be_checked()
    (job,) = server.client.get("/v1/jobs").json()["data"]
    assert job["options"]["tuning"] == "fast"
    assert sorted(one["placed_by"] for one in job["references"]) == ["user"] * 3
    assert sorted(one["shot"] for one in job["references"]) == [0, 1, 2]


def let_fall(place: Locator, paths: Sequence[Path]) -> None:
    """Drop files on a place, as from a window of files."""
    files = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in paths]
    transfer = place.page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const [name, text] of files) {
                const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
                const type = name.endsWith(".png") ? "image/png" : "video/mp4";
                transfer.items.add(new File([bytes], name, { type }));
            }
            return transfer;
        }""",
        files,
    )
    for event in ("dragenter", "dragover", "drop"):
        place.dispatch_event(event, {"dataTransfer": transfer})


def shots_of(page: Page) -> Locator:
    return page.get_by_role("listitem", name=re.compile(r"^Shot \d+$"))


def check_film(path: Path, film: Film) -> None:
    """It is as long as the film, has its sound, and nearly its colors."""
    with av.open(str(path)) as container:
        assert container.streams.audio
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == len(film.colors)
    for found, true in zip(frames, film.colors, strict=True):
        gray = np.repeat(true.mean(axis=2, keepdims=True), 3, axis=2)
        error, without = np.abs(found - true.astype(float)).mean(), np.abs(gray - true).mean()
        assert error < without / 3, (error, without)


def canvas_pixel(page: Page, x: float, y: float) -> list[int]:
    """R'G'B' of the picture shown, at shares of its size."""
    found: list[int] = page.evaluate(
        """([x, y]) => {
            const canvas = document.querySelector(".player canvas");
            const at = [Math.floor(x * (canvas.width - 1)), Math.floor(y * (canvas.height - 1))];
            return [...canvas.getContext("2d").getImageData(at[0], at[1], 1, 1).data].slice(0, 3);
        }""",
        [x, y],
    )
    return found


def shows(page: Page, x: float, expected: np.ndarray[Any, Any], *, within: float) -> bool:
    """Whether the picture comes to show a color at a share of its width: a browser seeks and draws when it can."""
    deadline = time.monotonic() + 10
    while difference(canvas_pixel(page, x, 0.5), expected) >= within:
        if time.monotonic() > deadline:
            return False
        page.wait_for_timeout(50)
    return True


def difference(one: list[int], two: np.ndarray[Any, Any]) -> float:
    return float(np.abs(np.array(one, float) - two).max())


def test_before_and_after_are_the_same_frame_and_steps_are_single_frames(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    job = server.client.get("/v1/jobs").json()["data"][0]
    film = make_film(tmp_path / "same.mp4")
    visitor = visit(server)
    visitor.expected.append("willReadFrequently")  # of this test's own looking
    page = visitor.open(f"/#/job/{job['id']}")
    frame = page.get_by_label("Frame", exact=True)
    expect(page.get_by_text("Loading the film")).to_be_hidden(timeout=LONG)

    def expect_frame(number: int) -> None:
        expect(frame).to_have_value(str(number))
        true = film.colors[number]
        height, width = true.shape[:2]
        for split, x in ((0, 0.2), (0, 0.8), (1000, 0.2), (1000, 0.8)):
            page.get_by_label("Line between before and after").fill(str(split))
            color = true[int(0.5 * (height - 1)), int(x * (width - 1))].astype(float)
            gray = color @ [0.299, 0.587, 0.114]
            if split:  # the line is at the right: all is before
                assert shows(page, x, np.full(3, gray), within=14), (number, canvas_pixel(page, x, 0.5), gray)
            else:
                assert shows(page, x, color, within=50), (number, canvas_pixel(page, x, 0.5), color)

    expect_frame(0)
    for number in (1, 2, 3):
        page.get_by_role("button", name="Next frame").click()
        expect_frame(number)
    page.keyboard.press(",")
    expect_frame(2)
    frame.fill("33")
    frame.press("Enter")
    expect_frame(33)
    page.get_by_label("Place in the film").fill("41")
    expect_frame(41)
    page.get_by_role("button", name="Next frame").click()
    expect_frame(41)
    frame.fill("0")
    frame.press("Enter")
    expect_frame(0)
    frame.fill("9999")
    frame.press("Enter")
    expect_frame(41)
    frame.fill("0")
    frame.press("Enter")
    expect_frame(0)
    frame.blur()
    page.keyboard.press("f")
    page.wait_for_selector(".player:fullscreen")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sound = page.get_by_role("button", name="Sound")
    expect(sound).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("m")
    expect(sound).to_have_attribute("aria-pressed", "false")
    assert page.locator("video").evaluate("(video) => video.muted")
    page.keyboard.press("m")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible(timeout=10_000 + 1000 * 3 * SHOT_FRAMES // RATE)
    expect_frame(41)
    assert page.locator("video").evaluate("(video) => !video.muted && video.webkitAudioDecodedByteCount > 0")
    visitor.audit(page)
    page.keyboard.press("f")
    expect(page.locator(".player:fullscreen")).to_have_count(0)


def test_one_more_frame_is_taken_colored_and_the_film_colored_again_with_it(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    job = server.client.get("/v1/jobs").json()["data"][0]
    film = make_film(tmp_path / "same.mp4")
    visitor = visit(server)
    page = visitor.open(f"/#/job/{job['id']}")
    expect(page.get_by_text("Loading the film")).to_be_hidden(timeout=LONG)
    # The colored frames that it was started from are in another browser, or here.
    expect(page.get_by_role("link", name="Color it again with other settings")).to_have_count(0)
    search = job["options"]["metadata"]["keyframes"]
    keep_draft(page, search)
    page.get_by_label("Frame", exact=True).fill("20")
    page.get_by_label("Frame", exact=True).press("Enter")
    expect(page.get_by_label("Place in the film")).to_have_value("20")
    page.get_by_role("button", name="Add a colored frame here").click()
    expect(page.get_by_role("heading", name="A colored frame at 0:01, frame 20")).to_be_visible(timeout=LONG)
    visitor.audit(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download it").click()
    assert download.value.suggested_filename == "frame-000020.png"
    download.value.save_as(tmp_path / "frame.png")
    gray = film.colors[20].astype(float) @ [0.299, 0.587, 0.114]
    found = cv2.imread(str(tmp_path / "frame.png"))[..., 0]
    assert np.abs(found - gray).mean() < 3, "out of the film, at its size"
    page.get_by_label("Add it colored").set_input_files(colored(film, 20, tmp_path / "mine.png"))
    keys = lose_first_answer(page, "/v1/jobs")
    page.get_by_role("button", name="Color again with it").click()
    expect(page.get_by_role("alert")).to_contain_text("answered with status 504")
    page.get_by_role("button", name="Color again with it").click()
    page.wait_for_url(re.compile(rf"#/job/(?!{job['id']})"))
    expect(page.get_by_role("region", name="Before and after")).to_be_visible(timeout=LONG)
    again = server.client.get("/v1/jobs").json()["data"][0]
    assert again["options"]["reuse"] == job["id"]
    assert {(one["name"], one["frame"]) for one in again["references"]} == {
        ("frame-000020.png", 20),
        *((one["name"], one["frame"]) for one in job["references"]),
    }
    first, second = keys()
    assert first == second
    page.get_by_role("link", name="Color it again with other settings").click()
    expect(shots_of(page).nth(1)).to_contain_text("frame-000020.png")
    assert search_of(page) == search
    page.go_back()
    expect(page.get_by_role("region", name="Before and after")).to_be_visible()
    # What another tab has deleted meanwhile.
    visitor.expected.append("Failed to load resource")
    server.client.delete(f"/v1/jobs/{again['id']}").raise_for_status()
    page.get_by_role("button", name="Add a colored frame here").click()
    expect(page.get_by_role("alert")).to_contain_text("This film was deleted")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    expect(page.get_by_role("alert").get_by_role("link", name="All films")).to_be_visible()


def keep_draft(page: Page, search: str) -> None:
    """As if the film had been prepared in this browser."""
    draft = {"id": search, "title": "", "created": 0, "references": [], "choices": {}, "started": True}
    page.evaluate("async (draft) => (await import('/page/drafts.js')).save(draft)", draft)


def test_a_shot_that_is_chosen_for_a_picture_does_not_say_which_of_its_frames_it_is(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "chosen.mp4", shots=2, seed=15)
    visitor = visit(server)
    page = visitor.open()
    send_film(page, film)
    shots = shots_of(page)
    expect(shots).to_have_count(2, timeout=LONG)
    shown = [int(re.search(r"frame (\d+)", shots.nth(n).inner_text())[1]) for n in range(2)]  # type: ignore[index]
    others = [SHOT_FRAMES * n if shown[n] > SHOT_FRAMES * n + 6 else SHOT_FRAMES * (n + 1) - 1 for n in range(2)]
    add = page.get_by_label("Add colored frames")

    def which(picture: Path) -> Locator:
        return page.get_by_label(f"Which frame {picture.name} is")

    # Browsers read no TIFF, so that its looks say nothing.
    found = colored(film, others[0], tmp_path / "found.tiff")
    add.set_input_files(found)
    tray = page.get_by_role("region", name="Colored frames whose place is not known yet")
    expect(tray).to_contain_text("found.tiff")
    page.get_by_label("Where found.tiff belongs").select_option("Shot 1")
    expect(which(found)).to_have_value("Somewhere in it")
    said = colored(film, others[1], tmp_path / "said.tiff")
    page.get_by_label("Add a colored frame to shot 2").set_input_files(said)
    expect(which(said)).to_have_value("Somewhere in it")
    which(said).select_option("The frame shown")
    expect(which(said)).to_be_focused()

    # The frame shown is known by its looks, and by its name beyond doubt.
    looks = colored(film, shown[0], tmp_path / "looks.png")
    page.get_by_label("Add a colored frame to shot 1").set_input_files(looks)
    expect(which(looks)).to_have_value("The frame shown")
    named = colored(film, shown[0], tmp_path / f"shot-0001_frame-{shown[0]:06}.tiff")
    page.get_by_label("Add a colored frame to shot 1").set_input_files(named)
    expect(shots.nth(0)).to_contain_text(named.name)
    expect(which(named)).to_have_count(0)
    expect(page.get_by_text("Added in place of looks.png.")).to_be_visible()
    expect(which(looks)).to_have_count(0)
    noise = np.random.default_rng(0).integers(0, 256, (14, 24, 3)).astype(np.uint8)
    stranger = write_picture(tmp_path / "stranger.png", cv2.resize(noise, (192, 112)))
    add.set_input_files(stranger)
    thumbnail = tray.locator("img")
    assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    page.get_by_label("Where stranger.png belongs").select_option("No frame of the film")
    examples = page.get_by_role("region", name="Pictures that are no frames of the film")
    expect(examples).to_contain_text("stranger.png")
    expect(tray).to_be_hidden()
    expect(page.get_by_text("2 of 2 shots have a colored frame")).to_be_visible()
    visitor.audit(page)
    page.get_by_role("button", name=f"Remove {named.name}").click()

    page.get_by_label("None").check()
    page.get_by_role("button", name="Start coloring").click()
    expect(page.get_by_role("region", name="Before and after")).to_be_visible(timeout=LONG)
    job = server.client.get("/v1/jobs").json()["data"][0]
    places = {one["name"]: (one["placed_by"], one["frame"]) for one in job["references"]}
    assert places == {
        "found.tiff": ("matching", others[0]),
        "said.tiff": ("user", shown[1]),
        "stranger.png": ("user", None),
    }
    asked = {one["name"]: (one["within"], one["frame"], one["is_frame"]) for one in job["options"]["references"]}
    assert asked == {
        "found.tiff": ([0, SHOT_FRAMES - 1], None, True),
        "said.tiff": (None, shown[1], True),
        "stranger.png": (None, None, False),
    }


def test_long_shots_may_have_more_frames_to_color(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "slow.mp4", shots=2, seed=7, rate=2)  # of seven seconds each
    visitor = visit(server)
    page = visitor.open()
    send_film(page, film)
    shots = shots_of(page)
    expect(shots).to_have_count(2, timeout=LONG)
    frame = int(re.search(r"frame (\d+)", shots.first.inner_text())[1])  # type: ignore[index]
    page.get_by_label("Add colored frames").set_input_files(colored(film, frame, tmp_path / "first.png"))
    expect(shots.first).to_contain_text("first.png")

    density = page.get_by_label("How many")
    assert density.locator("option").all_inner_texts() == ["One of each shot", "One every 3 seconds"]
    first = search_of(page)
    density.select_option("One every 3 seconds")
    cards = frames_of(page)
    expect(cards).to_have_count(4, timeout=LONG)
    second = search_of(page)
    assert eventually(lambda: not is_there(server, first)), "nothing needs it any more"
    visitor.audit(page)
    expect(page.get_by_role("heading", name="Frames to color")).to_be_visible()
    expect(page.get_by_text("1 of 2 shots has a colored frame")).to_be_visible()
    expect(cards.filter(has_text="first.png")).to_have_count(1)
    # One that is given to a frame by hand stands there, though it is of another one of the same shot.
    other = colored(film, 15, tmp_path / "second.png")
    page.get_by_label(re.compile("Add a colored frame to shot 2")).last.set_input_files(other)
    expect(cards.last).to_contain_text("second.png")
    expect(page.get_by_label("Where second.png belongs").locator("option:checked")).to_have_text(
        re.compile("Shot 2, frame")
    )
    # Another picture of that name to another frame is another one; to the same frame, a better one.
    (folder := tmp_path / "other").mkdir()
    namesake = colored(film, 16, folder / "second.png")
    page.get_by_label(re.compile("Add a colored frame to shot 2")).first.set_input_files(namesake)
    expect(cards.nth(2)).to_contain_text("second-2.png")
    expect(cards.last).to_contain_text("second.png")
    page.get_by_role("button", name="Remove second-2.png").click()
    page.get_by_label(re.compile("Add a colored frame to shot 2")).last.set_input_files(other)
    expect(page.get_by_role("button", name="Remove second")).to_have_count(1)

    page.close()
    page = visitor.open()
    expect(page.get_by_role("link", name="slow.mp4")).to_have_count(1)
    page.get_by_role("link", name="slow.mp4").click()
    page.get_by_label("None").check()
    page.get_by_role("button", name="Start coloring").click()
    expect(page.get_by_role("region", name="Before and after")).to_be_visible(timeout=LONG)
    job = server.client.get("/v1/jobs").json()["data"][0]
    assert {one["name"]: one["frame"] for one in job["references"]} == {"first.png": frame, "second.png": 15}

    # The frames that a job was started from stay for it, however many are offered then.
    again = page.get_by_role("link", name="Color it again with other settings")
    again.click()
    page.get_by_label("How many").select_option("One of each shot")
    expect(shots_of(page)).to_have_count(2, timeout=LONG)
    third = search_of(page)
    # A frame that is not offered now is known by the name that it was downloaded with.
    page.get_by_label("Add colored frames").set_input_files(colored(film, 1, tmp_path / "shot-0001_frame-000001.tiff"))
    expect(shots_of(page).first).to_contain_text("shot-0001_frame-000001.tiff")
    expect(page.get_by_label("Which frame shot-0001_frame-000001.tiff is")).to_have_value("Frame 1")
    elsewhere = colored(film, 2, tmp_path / "shot-0002_frame-000002.tiff")
    page.get_by_label("Add colored frames").set_input_files(elsewhere)
    tray = page.get_by_role("region", name="Colored frames whose place is not known yet")
    expect(tray).to_contain_text(elsewhere.name)
    visitor.audit(page)
    page.get_by_role("button", name="Remove second.png").click()
    page.get_by_role("link", name="retint").click()
    row = page.get_by_role("listitem").filter(has_text="slow.mp4").filter(has_text="Not started")
    delete(row)
    assert eventually(lambda: not is_there(server, third))
    page.get_by_role("link", name="slow.mp4").click()
    again.click()
    expect(frames_of(page)).to_have_count(4)
    expect(frames_of(page).last).to_contain_text("second.png")
    assert search_of(page) == second


def frames_of(page: Page) -> Locator:
    """Where a shot has several."""
    return page.get_by_role("listitem", name=re.compile(r"^Shot \d+, frame \d+$"))


def search_of(page: Page) -> str:
    """The id of the search whose frames are shown."""
    return page.url.rpartition("/")[2]


def is_there(server: Server, search: str) -> bool:
    return server.client.get(f"/v1/keyframes/{search}").is_success


def delete(row: Locator) -> None:
    row.get_by_role("button", name=re.compile("Delete")).click()
    row.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)


def test_where_no_more_frames_are_found_those_that_are_there_stay(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "stay.mp4", shots=2, seed=17, rate=2)
    visitor = visit(server)
    page = visitor.open()
    send_film(page, film)
    shots = shots_of(page)
    expect(shots).to_have_count(2, timeout=LONG)
    page.get_by_label("Add colored frames").set_input_files(colored(film, 20, tmp_path / "mine.tiff"))
    tray = page.get_by_role("region", name="Colored frames whose place is not known yet")
    expect(tray).to_contain_text("mine.tiff")
    first = search_of(page)
    told: dict[str, Any] = {}
    waited_for = re.compile(r"/v1/keyframes/\w+\?wait")
    page.route(waited_for, lambda route: route.fulfill(json={**route.fetch().json(), **told}))

    def look_again() -> str:
        with page.expect_response("**/v1/keyframes") as answer:
            page.get_by_label("How many").select_option("One every 3 seconds")
        made: str = answer.value.json()["id"]
        return made

    told |= {"status": "failed", "error": {"code": "worker_lost", "title": "It is lost", "detail": "Begin again."}}
    failed = look_again()
    expect(page.get_by_role("alert")).to_contain_text("It is lost")
    expect(shots).to_have_count(2)
    expect(tray).to_contain_text("mine.tiff")
    expect(page.get_by_label("How many").locator("option:checked")).to_have_text("One of each shot")
    assert eventually(lambda: not is_there(server, failed))

    # It goes on while other views are shown, until somebody stops it.
    def cancel(route: Route) -> None:
        told["status"] = "canceled"
        route.fulfill(json={})

    page.route("**/cancel", cancel)
    told |= {"status": "processing", "error": None}
    stopped = look_again()
    stop = page.get_by_role("button", name="Keep the frames as they were")
    expect(stop).to_be_visible()
    page.get_by_role("link", name="retint").click()
    page.get_by_role("link", name="stay.mp4").click()
    expect(stop).to_be_visible()
    visitor.audit(page)
    stop.click()
    expect(shots).to_have_count(2)
    expect(tray).to_contain_text("mine.tiff")
    assert eventually(lambda: not is_there(server, stopped))

    # Who comes back late finds the first frames expired; the others are there.
    told["status"] = "processing"
    second = look_again()
    expect(stop).to_be_visible()
    page.get_by_role("link", name="retint").click()
    visitor.expected.append("the server responded with a status of 404")
    server.client.delete(f"/v1/keyframes/{first}").raise_for_status()
    assert eventually(lambda: bool(server.client.get(f"/v1/keyframes/{second}").json()["keyframes"]), seconds=60)
    page.get_by_role("link", name="stay.mp4").click()
    expect(frames_of(page)).to_have_count(4)
    expect(tray).to_contain_text("mine.tiff")
    assert search_of(page) == second

    # What is deleted is gone, with the search under way.
    with page.expect_response("**/v1/keyframes") as answer:
        page.get_by_label("How many").select_option("One of each shot")
    expect(stop).to_be_visible()
    page.get_by_role("link", name="retint").click()
    delete(page.get_by_role("listitem").filter(has_text="stay.mp4"))
    for search in (second, answer.value.json()["id"]):
        assert eventually(lambda search=search: not is_there(server, search))  # type: ignore[misc]


def test_of_many_frames_none_is_looked_at_more_than_once_for_each_reference(
    visit: Callable[..., Visitor], server: Server
) -> None:
    frames, references = 600, 10
    video = {"width": 192, "height": 112, "display_width": 192, "display_height": 112, "quarter_turns": 0}
    record = {
        "id": "keyframes_many",
        "status": "succeeded",
        "video": {**video, "frames": frames, "duration_seconds": frames, "frame_rate": 1, "has_audio": False},
        "options": {"metadata": {"title": "many.mp4"}},
        "warnings": [],
        "keyframes": [
            {"shot": n, "first_frame": n, "last_frame": n, "frame": n, "time_seconds": n, "name": f"frame-{n}.png"}
            for n in range(frames)
        ],
    }
    visitor = visit(server)
    visitor.expected.append("the server responded with a status of 404")  # no picture is there
    page = visitor.open()
    page.route("**/v1/keyframes/keyframes_many", lambda route: route.fulfill(json=record))
    page.evaluate(
        """async (references) => {
            const drafts = await import("/page/drafts.js");
            const placed = Array.from({ length: references }, (_, shot) => {
                const name = `ref-${shot}.png`;
                return { name, original: name, shot, frame: null, near: shot, blob: new Blob() };
            });
            await drafts.save({ id: "keyframes_many", title: "many.mp4", created: 0, choices: {}, references: placed });
            location.hash = "#/film/keyframes_many";
        }""",
        references,
    )
    expect(page.get_by_text("10 of 600 shots have a colored frame")).to_be_visible()
    page.evaluate(
        """() => {
            const { filter } = Array.prototype;
            window.looked = 0;
            Array.prototype.filter = function (...rest) {
                window.looked += this.length;
                return filter.apply(this, rest);
            };
        }"""
    )
    page.get_by_role("button", name="Remove ref-3.png").click()
    expect(page.get_by_text("9 of 600 shots have a colored frame")).to_be_visible()
    assert page.evaluate("looked") < 5 * frames * references
    page.evaluate("import('/page/drafts.js').then(({ remove }) => remove('keyframes_many'))")


def test_pictures_of_a_film_that_is_shown_turned_are_known_by_their_pixels(
    visit: Callable[..., Visitor], server: Server
) -> None:
    page = visit(server).open()

    def shape_of(width: int, height: int, *, film: Sequence[int]) -> float:
        names = ("width", "height", "display_width", "display_height", "quarter_turns")
        found: float = page.evaluate(
            "async ([picture, film]) => (await import('/page/shape.js')).shapeOf(...picture, film)",
            [(width, height), dict(zip(names, film, strict=True))],
        )
        return found

    turned = (480, 640, 640, 640, 1)  # its pixels are four thirds as wide as high
    assert shape_of(640, 480, film=turned) == 1
    assert shape_of(640, 360, film=turned) == 640 / 360
    assert shape_of(640, 480, film=(640, 480, 640, 480, 2)) == 640 / 480
    assert shape_of(500, 490, film=(500, 490, 490, 600, 3)) == 490 / 600, "too nearly square to be turned"


def test_a_picture_that_only_looks_like_a_shot_is_looked_for_in_the_whole_film(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "guessed.mp4", shots=2, seed=15)
    page = visit(server).open()
    send_film(page, film)
    shots = shots_of(page)
    expect(shots).to_have_count(2, timeout=LONG)
    shown = int(re.search(r"frame (\d+)", shots.nth(1).inner_text())[1])  # type: ignore[index]
    blurred = cv2.GaussianBlur(film.colors[shown].astype(np.float32), (0, 0), 20)
    picture = write_picture(tmp_path / "guess.png", blurred)
    page.get_by_label("Add colored frames").set_input_files(picture)
    expect(shots.nth(1)).to_contain_text("guess.png")
    place = page.get_by_label("Where guess.png belongs")
    expect(place).to_have_value("Let it be found")
    which = page.get_by_label("Which frame guess.png is")
    expect(which).to_have_count(0)
    place.select_option("Shot 2")
    expect(place).to_have_value("Shot 2")
    expect(which).to_have_value("Somewhere in it")


def test_what_another_tab_has_added_stays(visit: Callable[..., Visitor], server: Server, tmp_path: Path) -> None:
    film = make_film(tmp_path / "tabs.mp4", shots=3, seed=21)
    visitor = visit(server)
    page = visitor.open()
    send_film(page, film)
    expect(shots_of(page)).to_have_count(3, timeout=LONG)
    other = visitor.open(f"/#/film/{search_of(page)}")
    expect(shots_of(other)).to_have_count(3)
    for number, (tab, name) in enumerate([(page, "one.png"), (other, "two.png"), (page, "three.png")]):
        picture = colored(film, SHOT_FRAMES * number, tmp_path / name)
        tab.get_by_label(f"Add a colored frame to shot {number + 1}").set_input_files(picture)
        expect(shots_of(tab).nth(number)).to_contain_text(name)
    for number, name in enumerate(["one.png", "two.png", "three.png"]):
        expect(shots_of(page).nth(number)).to_contain_text(name)
    # The other tab is turned to again.
    expect(shots_of(other).nth(2)).not_to_contain_text("three.png")
    other.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(shots_of(other).nth(2)).to_contain_text("three.png")
    other.get_by_label("None").check()
    other.get_by_role("button", name="Remove one.png").click()
    expect(shots_of(other).first).not_to_contain_text("one.png")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(shots_of(page).first).not_to_contain_text("one.png")
    expect(page.get_by_label("None")).to_be_checked()


def test_a_name_that_is_taken_gets_a_number_and_keeps_that_of_its_frame(
    visit: Callable[..., Visitor], server: Server
) -> None:
    page = visit(server).open()
    name, frame = page.evaluate(
        """async () => {
            const { frameInName, freeName } = await import("/page/matching.js");
            const name = freeName("frame-000240.png", ["frame-000240.png", "frame-000240-2.png"]);
            return [name, frameInName(name)];
        }"""
    )
    assert (name, frame) == ("frame-000240-3.png", 240)


def test_what_a_suggested_frame_may_do_is_told_of_the_mean_of_its_shot(
    visit: Callable[..., Visitor], server: Server
) -> None:
    shot = {"first_frame": 14, "last_frame": 25, "confidence": 0.54}
    surer = "async ([shot, gain]) => (await import('/page/result.js')).surer(shot, gain)"
    page = visit(server).open()
    assert page.evaluate(surer, [shot, 2.04]) == "shot 54 % sure, with it about 71 %"
    assert page.evaluate(surer, [shot, 9]).endswith("with it about 100 %")


def test_a_line_of_values_that_hardly_differ_is_nearly_level(visit: Callable[..., Visitor], server: Server) -> None:
    scaled = "async ([values, least]) => (await import('/page/charts.js')).scaled(values, { least })"
    page = visit(server).open()
    level, falling = (page.evaluate(scaled, [values, 0.5]) for values in ([35.494, 35.486], [35, 33]))
    assert np.allclose(level, 0.5, atol=0.01)
    assert np.allclose(falling, [0.94, 0.06])
