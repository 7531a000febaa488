"""One film on several workers that share Redis and a bucket, and no disk."""

import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from failing_proxy import FailingProxy, failing_proxy
from object_storage import ObjectStorage

from jobs.embedded_redis import embedded_redis
from jobs.options import OutputOptions
from jobs.settings import Settings
from jobs.store import RemoteFile
from jobs.stores import open_store
from tests.support.film_service import FilmService
from worker.media.decode import open_video
from worker.media.encode import VideoOutput
from worker.media.stills import write_png
from worker.store_checkpoints import StoreCheckpoints


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="module")
def proxy(object_storage: ObjectStorage) -> Iterator[FailingProxy]:
    """What the workers reach the storage through."""
    with failing_proxy(int(object_storage.endpoint.rpartition(":")[2])) as made:
        yield made


@pytest.fixture(scope="module")
def service(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory, object_storage: ObjectStorage, proxy: FailingProxy
) -> Iterator[FilmService]:
    storage, folder = object_storage.settings(), tmp_path_factory.mktemp("api")
    environment = {f"RETINT_{name.upper()}": value for name, value in storage.items()}
    environment["RETINT_S3_ENDPOINT"] = proxy.address
    with FilmService(redis_url, folder, **environment) as made:
        made.settings = Settings(redis_url=redis_url, data_folder=folder, retries=1, **storage)
        made.store = open_store(made.settings)
        yield made


def is_whole(service: FilmService, job_id: str, frames: int, into: Path) -> bool:
    result = service.store.find_result(job_id, service.repository.status(job_id)[1], "video")
    assert isinstance(result, RemoteFile)
    into.write_bytes(result.read())
    with av.open(str(into)) as colored:
        return sum(1 for _ in colored.decode(video=0)) == frames


def test_a_film_survives_the_loss_of_one_machine_of_two_and_a_storage_that_fails(
    service: FilmService,
    proxy: FailingProxy,
    make_film: Callable[..., Any],
    tmp_path: Path,
    object_storage: ObjectStorage,
) -> None:
    film = make_film(scenes=((1, 14), (2, 10), (3, 12), (4, 9)))
    references = [tmp_path / "3.png", tmp_path / "30.png"]
    for path in references:
        write_png(path, film.pictures[int(path.stem)])
    machines = [tmp_path / "one", tmp_path / "two"]
    service.be(slow={"colorizing": 0.3})
    workers = [service.start_worker(RETINT_DATA_FOLDER=str(machine)) for machine in machines]
    job_id = service.submit(film.path, references)

    def at_work(machine: Path) -> bool:
        return any((machine / "scratch").glob(f"work-{job_id}-*"))

    service.wait(job_id, lambda job: job.progress.frames_done > 0 and all(map(at_work, machines)), seconds=120)
    workers[0].kill()
    service.be()
    job = service.wait_until_ended(job_id, seconds=200)
    assert (job.status, job.error) == ("succeeded", None), service.log()
    assert is_whole(service, job_id, 45, tmp_path / "out.mkv")
    results = [key for key in object_storage.keys(service.settings.store or "") if "/results/" in key]
    assert len({key.split("/")[3] for key in results}) == 1
    assert object_storage.unfinished(service.settings.store or "") == set()
    assert not at_work(machines[1])

    # The machine that is left, with a storage that comes and goes while pieces are done.
    film = make_film("short.mkv", scenes=((1, 10), (2, 10)))
    service.be(slow={"colorizing": 0.2})
    job_id = service.submit(film.path, references[:1])
    service.wait(job_id, lambda job: job.progress.frames_done > 0, seconds=120)
    before = proxy.refused
    for mood in ("away", "errors", "slow"):
        proxy.be(mood)  # type: ignore[arg-type]
        service.be()
        time.sleep(2.5)
    proxy.be("well")
    assert proxy.refused > before
    job = service.wait_until_ended(job_id, seconds=200)
    assert (job.status, job.error) == ("succeeded", None), service.log()
    assert is_whole(service, job_id, 20, tmp_path / "again.mkv")
    done = sorted(line.split("piece=")[1].split()[0] for line in service.told("piece_done", job_id))
    assert done == ["0", "1"]


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """This process may open 40 files more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 40, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_descriptors")
def test_a_film_may_have_more_pieces_than_a_process_may_have_files_open(
    service: FilmService, make_video: Callable[..., Any], tmp_path: Path
) -> None:
    made = make_video("in.mkv", codec="ffv1", options={}, width=16, height=16, frames=60)
    store, names = service.store, [f"piece-{number:02d}" for number in range(60)]
    store.create("job_1")
    checkpoints = StoreCheckpoints(store, "job_1", owns=lambda: True)
    with open_video(made.path) as reader:
        options = OutputOptions(container="mkv", codec="ffv1")
        output = VideoOutput(source=made.path, info=reader.info, timeline=reader.timeline, output=options)
        for frame, name in zip(reader.frames(), names, strict=True):
            with output.open_segment(tmp_path / name) as segment:
                segment.write(frame, frame.luma[None, :8, :8].repeat(2, axis=0))
            checkpoints.keep(name, tmp_path / name)
        checked: list[str] = []
        with checkpoints.fetch_all(names, check=lambda: checked.append("whether to go on")) as segments:
            output.join(tmp_path / "out.mkv", segments)
    assert len(checked) == 60
    with open_video(tmp_path / "out.mkv") as reader:
        assert reader.info.frames == 60
    store.delete("job_1")
    assert not list((service.folder / "scratch").glob("kept-*"))
