"""A search for keyframes, done by an execution in this process: what it publishes, and how it ends."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.errors import VariantNotFound
from jobs.folder_store import FolderStore
from jobs.identifiers import new_keyframes_id
from jobs.options import JobOptions, KeyframeOptions
from jobs.queue import JobQueue
from jobs.record import Keyframes, VideoFacts
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.stores import open_store
from worker.deadline import OVERHEAD_SECONDS, seconds_allowed
from worker.execution import execute
from worker.task import VariantFile
from worker.workplace import Workplace


class Desk:
    def __init__(self, client: Redis, settings: Settings) -> None:
        self.repository = JobRepository(client, settings.queue_name)
        self.queue = JobQueue(client, settings)
        self.settings = settings
        self.store: FolderStore = open_store(settings)

    def submit(self, video: bytes, *, keep_input: bool = True) -> str:
        record_id = new_keyframes_id()
        self.store.create(record_id)
        with self.store.open_input_writer(record_id, "video") as writer:
            writer.write(video)
        options = KeyframeOptions(keep_input=keep_input)
        self.repository.create(Keyframes(id=record_id, status="queued", options=options, created_at=datetime.now(UTC)))
        return record_id

    def published(self, record_id: str, stem: str) -> Path:
        """What the record names."""
        return self.store.find_result(record_id, self.repository.status(record_id)[1], stem)

    def execute(self, record_id: str, *, execution_id: str = "a") -> Keyframes:
        def colorize(*_: Any, **__: Any) -> tuple[VariantFile, ...]:
            raise AssertionError("a search for keyframes colors nothing")

        workplace = Workplace(self.settings, self.repository, self.store, self.queue, colorize)
        execute(record_id, execution_id=execution_id, workplace=workplace)
        return self.repository.get_keyframes(record_id)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def desk(redis_url: str, tmp_path: Path) -> Iterator[Desk]:
    settings = Settings(redis_url=redis_url, data_folder=tmp_path / "data")
    with connect(redis_url) as client:
        yield Desk(client, settings)


@pytest.fixture
def film(make_film: Callable[..., Any]) -> bytes:
    return bytes(make_film(scenes=((1, 14), (2, 11))).path.read_bytes())


def test_the_archive_holds_what_the_record_lists(desk: Desk, film: bytes) -> None:
    record_id = desk.submit(film)
    record = desk.execute(record_id)
    assert (record.status, record.error, record.progress.fraction) == ("succeeded", None, 1.0)
    assert record.video is not None
    assert record.video.frames == 25
    assert [(one.first_frame, one.last_frame) for one in record.keyframes] == [(0, 13), (14, 24)]
    assert [one.href for one in record.keyframes] == [
        f"/v1/keyframes/{record_id}/frames/{one.frame}" for one in record.keyframes
    ]
    (variant,) = record.variants
    assert (variant.name, variant.media_type) == ("archive", "application/zip")
    assert variant.href == f"/v1/keyframes/{record_id}/content"
    content = desk.published(record_id, "archive").read_bytes()
    assert len(content) == variant.bytes
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [*(one.name for one in record.keyframes), "keyframes.json"]
        listed = json.loads(archive.read("keyframes.json"))
        for one in record.keyframes:
            assert desk.published(record_id, Path(one.name).stem).read_bytes() == archive.read(one.name)
    assert [one["frame"] for one in listed["keyframes"]] == [one.frame for one in record.keyframes]


def test_the_same_video_makes_the_same_archive(desk: Desk, film: bytes) -> None:
    first, second = (desk.execute(desk.submit(film)) for _ in range(2))
    assert first.variants[0].sha256 == second.variants[0].sha256


def test_what_is_no_video_fails_and_leaves_nothing(desk: Desk) -> None:
    record_id = desk.submit(b"no video")
    record = desk.execute(record_id)
    assert record.status == "failed"
    assert record.error is not None
    assert (record.error.code, record.phase) == ("video_undecodable", "probing")
    assert record.keyframes == record.variants == []
    with pytest.raises(VariantNotFound):
        desk.published(record_id, "archive")
    assert not desk.store.has_leftovers(record_id, published="")


def test_an_upload_goes_where_it_is_not_wanted_any_more(desk: Desk, film: bytes) -> None:
    kept, dropped = desk.submit(film), desk.submit(film, keep_input=False)
    assert desk.execute(kept).status == desk.execute(dropped).status == "succeeded"
    assert desk.store.input_video(kept).exists()
    assert not desk.store.input_video(dropped).exists()


def test_an_execution_takes_over_from_one_that_died(desk: Desk, film: bytes) -> None:
    record_id = desk.submit(film)
    assert desk.repository.claim(record_id, "dead")
    assert len(desk.execute(record_id, execution_id="b").keyframes) == 2


def test_a_canceled_search_is_not_begun(desk: Desk, film: bytes) -> None:
    record_id = desk.submit(film)
    desk.repository.cancel(record_id)
    assert desk.execute(record_id).status == "canceled"
    assert not desk.store.has_leftovers(record_id, published="")


def test_a_search_is_given_less_time_than_a_job_and_more_than_it_needs() -> None:
    video = VideoFacts(
        width=1920, height=1080, frames=170_000, duration_seconds=7000, frame_rate=24, codec="h264", has_audio=True
    )
    allowed = seconds_allowed(KeyframeOptions(), video, references=0)
    assert OVERHEAD_SECONDS + 170_000 < allowed < seconds_allowed(JobOptions(), video, references=1)
