"""A failed job goes on, and a new job takes over what an earlier one has."""

import json
from collections.abc import AsyncIterator, Callable
from functools import partial

import httpx
import pytest
from fastapi import FastAPI

from jobs.errors import VideoUndecodable
from jobs.record import PlacedReference
from jobs.settings import Settings
from service.app import create_app
from service.dependencies import Services, get_viewer
from tests.service.http_checks import assert_problem, job_files, pointers

pytestmark = pytest.mark.anyio


def options_part(**options: object) -> tuple[str, tuple[None, bytes, str]]:
    return ("options", (None, json.dumps(options).encode(), "application/json"))


def reference(name: str, content: bytes = b"picture") -> tuple[str, tuple[str, bytes, str]]:
    return ("references", (name, content, "image/png"))


async def made(client: httpx.AsyncClient, *parts: object) -> str:
    response = await client.post("/v1/jobs", files=list(parts))  # type: ignore[arg-type]
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def references_of(services: Services, job_id: str) -> dict[str, bytes]:
    with services.store.fetch_input(job_id) as files:
        names = services.repository.submission(job_id).reference_names
        return {name: path.read_bytes() for name, path in zip(names, files.references, strict=True)}


async def test_a_failed_job_is_queued_again(client: httpx.AsyncClient, services: Services, job_id: str) -> None:
    services.queue.stop(job_id)
    services.repository.claim(job_id, "e1")
    services.repository.fail(job_id, "e1", VideoUndecodable("No video stream."))
    response = await client.post(f"/v1/jobs/{job_id}/retry")
    assert response.status_code == 202
    shown = response.json()
    assert (shown["status"], shown["error"], shown["finished_at"], shown["expires_at"]) == ("queued", None, None, None)
    assert services.queue.is_alive(job_id)
    assert services.repository.open_ids() == {job_id}
    assert_problem(await client.post(f"/v1/jobs/{job_id}/retry"), 409, "job_not_failed")
    # It is a job like any other again: it can end once more.
    assert services.repository.claim(job_id, "e2")
    assert services.repository.fail(job_id, "e2", VideoUndecodable("No video stream."))
    assert services.repository.open_ids() == set()


async def test_only_what_failed_and_has_its_upload_is_tried_again(
    client: httpx.AsyncClient, services: Services
) -> None:
    job_id = await made(client, *job_files(options={"keep_input": False}))
    problem = assert_problem(await client.post(f"/v1/jobs/{job_id}/retry"), 409, "job_not_failed")
    assert "is queued" in str(problem["detail"])
    services.repository.fail(job_id, None, VideoUndecodable("No video stream."))
    problem = assert_problem(await client.post(f"/v1/jobs/{job_id}/retry"), 422, "invalid_request")
    assert "not kept" in str(problem["detail"])
    assert_problem(await client.post("/v1/jobs/job_0/retry"), 404, "job_not_found")


async def test_a_job_of_another_key_is_not_there_to_be_tried_again(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.dependency_overrides[get_viewer] = lambda: "key_1"
    job_id = await made(client, *job_files())
    app.dependency_overrides[get_viewer] = lambda: "key_2"
    assert_problem(await client.post(f"/v1/jobs/{job_id}/retry"), 404, "job_not_found")
    response = await client.post("/v1/jobs", files=[options_part(reuse=job_id)])
    assert pointers(assert_problem(response, 422, "invalid_request")) == ["#/options/reuse"]


async def test_a_job_takes_over_video_and_references_that_are_not_sent(
    client: httpx.AsyncClient, services: Services
) -> None:
    video = job_files()[0]
    first = await made(client, video, reference("a.png", b"a"), reference("b.png", b"b"))
    second = await made(
        client, reference("b.png", b"better"), options_part(reuse=first, references=[{"name": "a.png", "frame": 3}])
    )
    assert services.store.input_video(second).read_bytes() == b"film"
    assert references_of(services, second) == {"b.png": b"better", "a.png": b"a"}
    third = await made(client, options_part(reuse=second, omit_references=["b.png"]))
    assert references_of(services, third) == {"a.png": b"a"}
    assert services.repository.get(third).options.reuse == second


def places(services: Services, job_id: str) -> dict[str, dict[str, object]]:
    options = services.repository.get(job_id).options.references
    return {one.name: one.model_dump(exclude={"name"}, exclude_defaults=True) for one in options}


SAID: dict[str, dict[str, object]] = {
    "framed.png": {"frame": 3},
    "timed.png": {"time_seconds": 0.5},
    "ranged.png": {"within": [4, 9]},
    "postcard.png": {"is_frame": False},
}


@pytest.fixture
async def spacious(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that takes more references."""
    transport = httpx.ASGITransport(create_app(settings.model_copy(update={"max_references": 10})))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as found:
        yield found


async def test_references_stay_where_they_were_said_to_stand_in_a_job_that_has_not_placed_them(
    spacious: httpx.AsyncClient, services: Services
) -> None:
    options = {"references": [{"name": name, **place} for name, place in SAID.items()]}
    first = await made(spacious, *job_files(references=(*SAID, "found.png"), options=options))
    second = await made(spacious, options_part(reuse=first))
    assert places(services, second) == SAID
    third = await made(spacious, options_part(reuse=second, omit_references=["framed.png"]))
    assert places(services, third) == {name: place for name, place in SAID.items() if name != "framed.png"}


@pytest.mark.parametrize("sent", ["nothing", "another video", "other pictures"])
async def test_what_was_said_of_places_holds_and_what_was_found_is_not_made_the_word_of_a_user(
    spacious: httpx.AsyncClient, services: Services, sent: str
) -> None:
    options = {"references": [{"name": name, **place} for name, place in SAID.items()]}
    first = await made(spacious, *job_files(references=(*SAID, "found.png"), options=options))
    frames = {"framed.png": 3, "timed.png": 12, "ranged.png": 7, "found.png": 20, "postcard.png": None}
    assert services.repository.claim(first, "e1")
    placed = [PlacedReference(name=name, frame=frame, shot=0, placed_by="matching") for name, frame in frames.items()]
    services.repository.update(first, "e1", references=placed)
    files = {
        "nothing": [],
        "another video": job_files()[:1],
        "other pictures": [reference(name, b"better") for name in frames],
    }
    second = await made(spacious, *files[sent], options_part(reuse=first))
    assert places(services, second) == SAID


async def test_what_the_new_options_say_of_a_place_counts(spacious: httpx.AsyncClient, services: Services) -> None:
    options = {"references": [{"name": name, **place} for name, place in SAID.items()]}
    first = await made(spacious, *job_files(references=tuple(SAID), options=options))
    said = [{"name": "timed.png", "frame": 8}, {"name": "postcard.png"}]
    second = await made(spacious, options_part(reuse=first, references=said))
    assert places(services, second) == {**SAID, "timed.png": {"frame": 8}, "postcard.png": {}}


async def test_a_submission_is_the_same_also_where_the_earlier_job_has_placed_its_references_meanwhile(
    client: httpx.AsyncClient, services: Services
) -> None:
    first = await made(client, *job_files(references=("found.png",)))
    again = partial(client.post, "/v1/jobs", files=[options_part(reuse=first)], headers={"Idempotency-Key": "the same"})
    second = (await again()).json()["id"]
    assert services.repository.claim(first, "e1")
    found = PlacedReference(name="found.png", frame=20, shot=0, placed_by="matching")
    services.repository.update(first, "e1", references=[found])
    replayed = await again()
    assert replayed.status_code == 202, replayed.text
    assert replayed.json()["id"] == second


async def test_what_cannot_be_taken_over_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient, services: Services
) -> None:
    response = await client.post("/v1/jobs", files=[options_part(reuse="job_" + "0" * 24)])
    assert pointers(assert_problem(response, 422, "invalid_request")) == ["#/options/reuse"]
    first = await made(client, *job_files(references=("a.png", "b.png")))
    many = [reference("c.png"), reference("d.png"), options_part(reuse=first)]
    assert_problem(await client.post("/v1/jobs", files=many), 422, "too_many_references")
    none = [options_part(reuse=first, omit_references=["a.png", "b.png"])]
    assert pointers(assert_problem(await client.post("/v1/jobs", files=none), 422, "invalid_request")) == [
        "#/references"
    ]
    absent = await client.post(
        "/v1/jobs", files=[options_part(reuse=first, omit_references=["a.png", "still.pgn", "x.png"])]
    )
    problem = assert_problem(absent, 422, "invalid_request")
    assert pointers(problem) == ["#/options/omit_references/1", "#/options/omit_references/2"]
    assert "no reference named still.pgn, only: a.png, b.png. Name one of these" in str(problem["errors"])
    services.store.drop_input(first)
    gone = await client.post("/v1/jobs", files=[options_part(reuse=first)])
    assert "not kept" in str(assert_problem(gone, 422, "invalid_request")["detail"])
    assert list(services.store.job_ids()) == [first]


async def test_to_leave_out_references_of_no_job_is_refused_before_the_video_comes(
    client: httpx.AsyncClient, stored_files: Callable[[], list[str]]
) -> None:
    files = [options_part(omit_references=["a.png"]), *job_files()]
    problem = assert_problem(await client.post("/v1/jobs", files=files), 422, "invalid_request")
    assert pointers(problem) == ["#/options/omit_references"]
    assert "Name it in `reuse`" in str(problem["detail"])
    assert stored_files() == []


async def test_the_settings_alone_say_how_many_references_options_may_name(
    settings: Settings, client: httpx.AsyncClient
) -> None:
    names = [f"{number}.png" for number in range(70)]
    options = {"references": [{"name": name, "frame": number} for number, name in enumerate(names)]}
    transport = httpx.ASGITransport(create_app(settings.model_copy(update={"max_references": 70})))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as generous:
        first = await made(generous, *job_files(references=tuple(names), options=options))
        await made(generous, options_part(reuse=first, omit_references=names[1:]))
    # Where fewer are taken, all but one can still be left out.
    await made(client, options_part(reuse=first, omit_references=names[1:]))
    many = await client.post("/v1/jobs", files=[options_part(reuse=first)])
    assert "has 70 references, more than 3" in str(assert_problem(many, 422, "too_many_references")["detail"])


async def test_no_file_is_taken_over_for_a_job_with_too_many_references(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await made(client, *job_files(references=("a.png", "b.png")))

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(type(services.store), "share_input_video", never)
    monkeypatch.setattr(type(services.store), "share_input_reference", never)
    many = [reference("c.png"), reference("d.png"), options_part(reuse=first)]
    assert_problem(await client.post("/v1/jobs", files=many), 422, "too_many_references")
