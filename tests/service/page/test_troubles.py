"""What the page does where something is wrong, and behind a key."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from object_storage import ObjectStorage
from playwright.sync_api import Page, Route, expect
from redis import Redis

from jobs.keys import KeyRing
from tests.service.cutting_proxy import cutting_proxy
from tests.service.http_checks import job_files
from tests.service.live_server import Server
from tests.service.page.conftest import Visitor, make_film, working, write_picture
from tests.service.page.test_flow import LONG, lose_first_answer, send_film, shots_of

REFUSED = "the server responded with a status of 401"


@pytest.fixture(scope="module")
def locked(
    redis_url: str, object_storage: ObjectStorage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str]]:
    """A server with a worker that asks for keys and keeps its films in a bucket, and a key."""
    folder = tmp_path_factory.mktemp("locked")
    with Redis.from_url(redis_url) as redis:
        _, token = KeyRing(redis, f"live-{folder.name}").create("ann")
    with working(redis_url, folder, auth="on", **object_storage.settings()) as server:
        yield server, token


def start(page: Page, film_path: Path, frame: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], folder: Path) -> None:
    expect(shots_of(page)).to_have_count(1, timeout=LONG)
    page.get_by_label("Add colored frames").set_input_files(write_picture(folder / f"{film_path.stem}.png", frame))
    page.get_by_label("None").check()
    page.get_by_role("button", name="Start coloring").click()


def test_behind_a_key_and_with_films_in_a_bucket_all_of_it_works_and_no_script_sees_the_key(
    visit: Callable[..., Visitor], locked: tuple[Server, str], tmp_path: Path
) -> None:
    server, token = locked
    film = make_film(tmp_path / "locked.mp4", shots=1, seed=8)
    visitor = visit(server)
    visitor.expected.append(REFUSED)
    page = visitor.open()
    key = page.get_by_label("Key", exact=True)
    visitor.audit(page)
    key.fill(token[:-3])
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_text("The service does not know this key")).to_be_visible()
    key.fill(token)
    page.get_by_role("button", name="Open").click()
    send_film(page, film)
    start(page, film.path, film.colors[0], tmp_path)
    expect(page.get_by_role("region", name="Before and after")).to_be_visible(timeout=LONG)
    expect(page.get_by_text("Loading the film")).to_be_hidden(timeout=LONG)
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("Download the color film")).click()
    assert "X-Amz-Signature" in download.value.url
    assert download.value.path().stat().st_size > 1000
    kept = page.evaluate("JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }])")
    assert token not in kept
    assert "retint_session" not in kept
    # Another tab needs no key; and once it is forgotten, every tab does.
    other = visitor.open()
    expect(other.get_by_role("link", name=film.path.name)).to_be_visible()
    other.get_by_role("button", name="Forget my key").click()
    expect(other.get_by_label("Key", exact=True)).to_be_visible()


def test_an_upload_goes_on_after_broken_connections(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "large.mp4", shots=1, seed=9)
    # Behind its end a film may have what is no film: enough bytes to break off in the middle of.
    with film.path.open("ab") as file:
        size = 24_000_000
        file.write((size).to_bytes(4, "big") + b"free" + bytes(size - 8))
    with cutting_proxy(server.port, cuts=[4_000_000, 9_000_000]) as proxy:
        visitor = visit(server)
        visitor.address = f"http://127.0.0.1:{proxy.port}"
        visitor.expected += ["net::ERR", "Failed to load resource"]
        page = visitor.open()
        send_film(page, film)
        expect(shots_of(page)).to_have_count(1, timeout=LONG)
        assert proxy.cut == 2


def test_after_a_closed_tab_the_same_file_goes_on_where_it_was(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "left.mp4", shots=1, seed=12)
    before = set((server.folder / "store" / "uploads").iterdir())
    visitor = visit(server)
    visitor.expected.append("net::ERR_FAILED")
    page = visitor.open()
    page.route("**/v1/uploads/*", lambda route: route.abort() if route.request.method == "PATCH" else route.continue_())
    send_film(page, film)
    expect(page.get_by_text("the connection is lost; trying again")).to_be_visible()
    (begun,) = set((server.folder / "store" / "uploads").iterdir()) - before
    page.close()
    page = visitor.open()
    expect(page.get_by_text("left.mp4 was not sent to its end")).to_be_visible()
    visitor.audit(page)
    send_film(page, film)
    expect(shots_of(page)).to_have_count(1, timeout=LONG)
    assert set((server.folder / "store" / "uploads").iterdir()) - before == {begun}
    assert (begun / "data").read_bytes() == film.path.read_bytes()


def test_what_is_no_film_is_said_at_once_and_what_turns_out_to_be_none_later(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    visitor = visit(server)
    page = visitor.open()
    notes = tmp_path / "notes.txt"
    notes.write_text("no film")
    page.get_by_label("Choose a film").set_input_files(notes)
    expect(page.get_by_role("alert")).to_contain_text("notes.txt does not look like a film")
    visitor.audit(page)
    (empty := tmp_path / "empty.mp4").touch()
    page.get_by_label("Choose a film").set_input_files(empty)
    expect(page.get_by_role("alert")).to_contain_text("empty.mp4 is empty; copy it again from where it came.")
    page.get_by_label("Choose a film").set_input_files(notes.rename(tmp_path / "notes.mp4"))
    expect(page.get_by_role("alert")).to_contain_text(re.compile("cannot be|format is not"), timeout=LONG)
    page.get_by_role("link", name="Choose another film").click()
    row = page.get_by_role("listitem").filter(has_text="notes.mp4")
    expect(row).to_contain_text(re.compile("Failed.*(cannot be|format is not)"))
    page.locator("label.chip", has_text="Not started").click()
    expect(row).to_have_count(0)
    page.locator("label.chip", has_text="Failed").click()
    expect(row).to_be_visible()
    visitor.audit(page)


def test_what_is_sent_again_after_a_lost_answer_is_made_once(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "once.mp4", shots=1, seed=13)
    page = visit(server).open()
    searches, jobs = lose_first_answer(page, "/v1/keyframes"), lose_first_answer(page, "/v1/jobs")
    before = {job["id"] for job in server.client.get("/v1/jobs").json()["data"]}
    send_film(page, film)
    page.get_by_role("button", name="Try again").click()
    start(page, film.path, film.colors[0], tmp_path)
    expect(page.get_by_role("alert")).to_contain_text("answered with status 504")
    page.get_by_role("button", name="Start coloring").click()
    page.wait_for_url(re.compile("#/job/"))
    for first, second in (searches(), jobs()):
        assert first == second
    (made,) = {job["id"] for job in server.client.get("/v1/jobs").json()["data"]} - before
    # The page follows the job, and would be told that it is not there.
    page.goto("about:blank")
    server.client.delete(f"/v1/jobs/{made}")


def test_a_film_chosen_while_another_is_sent_keeps_its_figure_and_its_warning(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film, other = (make_film(tmp_path / f"{name}.mp4", shots=1, seed=14) for name in ("first", "second"))
    page = visit(server).open()
    held: list[Route] = []
    page.route("**/v1/keyframes", lambda route: held.append(route))
    with page.expect_request("**/v1/keyframes"):
        send_film(page, film)
    # The first is all there and only its answer is missing; of the second, nothing arrives.
    page.route(
        "**/v1/uploads/*", lambda route: held.append(route) if route.request.method == "PATCH" else route.continue_()
    )
    page.get_by_role("link", name="retint").click()
    page.get_by_label("Choose a film").set_input_files(other.path)
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_role("heading", name="second.mp4")).to_be_visible()
    page.get_by_role("link", name="retint").click()
    figure = page.get_by_role("link", name="Sending a film: 0 %")
    expect(figure).to_be_visible()
    held[0].continue_()
    kept = "import('/page/drafts.js').then(async ({ all }) => (await all()).some(({ title }) => title === 'first.mp4'))"
    page.wait_for_function(kept)
    expect(figure).to_be_visible()
    assert page.evaluate("!dispatchEvent(new Event('beforeunload', { cancelable: true }))"), "it warns"


def test_a_gray_reference_is_told_at_once_or_fails_with_words_and_the_way_back_to_the_frames(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "gray.mp4", shots=1, seed=10)
    visitor = visit(server)
    page = visitor.open()
    send_film(page, film)
    gray = np.repeat(film.colors[0].mean(2, keepdims=True), 3, 2).astype(np.uint8)
    expect(shots_of(page)).to_have_count(1, timeout=LONG)
    add = page.get_by_label("Add colored frames")
    add.set_input_files(write_picture(tmp_path / "gray.jpg", gray))
    expect(page.get_by_role("alert")).to_contain_text("gray.jpg has no color")
    expect(page.get_by_role("button", name="Start coloring")).to_be_disabled()
    visitor.audit(page)
    # Of a kind that browsers do not read.
    add.set_input_files(write_picture(tmp_path / "gray.tiff", gray))
    expect(page.get_by_text("0 of 1 shot has a colored frame")).to_be_visible()
    page.get_by_role("button", name="Start coloring").click()
    expect(page.get_by_role("alert")).to_contain_text("A reference has no color", timeout=LONG)
    visitor.audit(page)
    page.get_by_role("link", name="Change the colored frames").click()
    page.get_by_role("button", name="Remove gray.tiff").click()
    expect(page.get_by_role("button", name="Start coloring")).to_be_disabled()


def test_the_list_is_filtered_and_what_is_deleted_is_gone(
    visit: Callable[..., Visitor], server: Server, tmp_path: Path
) -> None:
    visitor = visit(server)
    page = visitor.open()
    film = make_film(tmp_path / "unwanted.mp4", shots=1, seed=11)
    send_film(page, film)
    start(page, film.path, film.colors[0], tmp_path)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_text("It was canceled")).to_be_visible(timeout=LONG)
    page.get_by_role("link", name="retint").click()
    row = page.get_by_role("listitem").filter(has_text=film.path.name)
    expect(row).to_contain_text("Canceled")
    # Before a frame is in color, the list shows one of those that the film was prepared by.
    assert row.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    page.locator("label.chip", has_text="Done").click()
    expect(row).to_have_count(0)
    page.locator("label.chip", has_text="Canceled").click()
    expect(row).to_be_visible()
    visitor.audit(page)
    row.get_by_role("button", name=f"Delete {film.path.name}").click()
    visitor.audit(page)
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    assert film.path.name not in server.client.get("/v1/jobs").text


def test_a_film_is_named_by_its_title_its_file_or_its_first_colored_frame(
    visit: Callable[..., Visitor], server: Server
) -> None:
    titles = (
        visit(server)
        .open()
        .evaluate(
            """async (records) => records.map((await import('/page/words.js')).titleOf)""",
            [
                {
                    "id": "a",
                    "filename": "film.mkv",
                    "options": {"metadata": {"title": "Dawn"}, "references": []},
                    "references": [{"name": "b.png"}],
                },
                {
                    "id": "a",
                    "filename": "film.mkv",
                    "options": {"metadata": {}, "references": []},
                    "references": [{"name": "b.png"}],
                },
                {
                    "id": "a",
                    "filename": None,
                    "options": {"metadata": {}, "references": [{"name": "c.png"}]},
                    "references": [{"name": "b.png"}],
                },
                {"id": "a", "options": {"metadata": {}, "references": [{"name": "c.png"}]}, "references": []},
                {"id": "a", "options": {"metadata": {}}},
            ],
        )
    )
    assert titles == ["Dawn", "film.mkv", "b.png", "c.png", "a"]


def test_a_film_of_which_nothing_has_a_name_yet_is_listed_by_its_id(
    visit: Callable[..., Visitor], server: Server
) -> None:
    nameless = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "4",
        "Content-Type": "application/offset+octet-stream",
    }
    upload_id = server.client.post("/v1/uploads", content=b"film", headers=nameless).json()["id"]
    parts = [("video_upload", (None, upload_id.encode(), "text/plain")), *job_files()[1:]]
    submitted = server.client.post("/v1/jobs", files=parts).json()["id"]
    page = visit(server, viewport={"width": 360, "height": 800}).open()
    link = page.get_by_role("link", name=submitted, exact=True)
    expect(link).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    link.click()
    expect(page.get_by_role("heading", name=submitted)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    server.client.delete(f"/v1/jobs/{submitted}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1920])
def test_every_width_and_both_themes_are_legible_and_nothing_runs_over(
    visit: Callable[..., Visitor], server: Server, scheme: str, width: int
) -> None:
    done = server.client.get("/v1/jobs", params={"status": "succeeded"}).json()["data"]
    visitor = visit(server, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = visitor.open()
    expect(page.get_by_role("heading", name="Drop a black-and-white film here")).to_be_visible()
    if done:
        expect(page.get_by_role("listitem").first).to_be_visible()
    visitor.audit(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if done:
        page = visitor.open(f"/#/job/{done[0]['id']}")
        expect(page.get_by_role("heading", name="Downloads")).to_be_visible()
        visitor.audit(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_first_page_says_that_the_service_is_away_only_while_it_is(
    visit: Callable[..., Visitor], server: Server
) -> None:
    visitor = visit(server)
    visitor.expected.append("net::ERR_FAILED")
    page = visitor.open("/#/nowhere")
    page.route("**/v1/jobs?*", lambda route: route.abort())
    page.get_by_role("link", name="retint").click()
    away = page.get_by_role("alert").filter(has_text="The service does not answer")
    expect(away).to_be_visible()
    page.unroute("**/v1/jobs?*")
    expect(away).to_have_count(0, timeout=LONG)


def test_from_a_job_that_failed_the_way_leads_back_to_the_one_that_it_goes_on_from(
    visit: Callable[..., Visitor], server: Server
) -> None:
    failed: dict[str, Any] = {
        "id": "job_failed",
        "status": "failed",
        "error": {"code": "reference_not_color", "title": "A reference has no color", "detail": "Color it."},
        "options": {"reuse": "job_before", "metadata": {"title": "again.mp4"}},
        "references": [],
        "shots": [],
        "video": None,
    }
    visitor = visit(server)
    page = visitor.open()
    told = f"event: end\ndata: {json.dumps(failed)}\n\n"
    page.route("**/events", lambda route: route.fulfill(content_type="text/event-stream", body=told))
    page.route("**/v1/jobs/job_before", lambda route: route.fulfill(json={**failed, "id": "job_before"}))
    page.goto(f"{visitor.address}/#/job/job_failed")
    back = page.get_by_role("link", name="Back to the film that it goes on from")
    expect(back).to_have_attribute("href", "#/job/job_before")
    expect(page.get_by_role("link", name="Choose a film")).to_have_count(0)
    visitor.audit(page)


def test_an_address_that_leads_nowhere_says_so(visit: Callable[..., Visitor], server: Server) -> None:
    visitor = visit(server)
    visitor.expected.append("the server responded with a status of 404")
    page = visitor.open("/#/job/job_000000000000000000000000")
    expect(page.get_by_role("alert")).to_contain_text("It was never made, or it was deleted")
    page = visitor.open("/#/nowhere")
    expect(page.get_by_role("alert")).to_contain_text("Nothing is here")
