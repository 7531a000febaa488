"""One film on several workers that share Redis and a bucket, and no disk."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from object_storage import ObjectStorage

from jobs.embedded_redis import embedded_redis
from jobs.settings import Settings
from jobs.store import RemoteFile
from jobs.stores import open_store
from tests.support.film_service import FilmService
from worker.media.stills import write_png


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def service(redis_url: str, tmp_path: Path, object_storage: ObjectStorage) -> Iterator[FilmService]:
    storage = object_storage.settings()
    environment = {f"RETINT_{name.upper()}": value for name, value in storage.items()}
    with FilmService(redis_url, tmp_path / "api", **environment) as made:
        made.redis.flushall()
        made.settings = Settings(redis_url=redis_url, data_folder=tmp_path / "api", retries=1, **storage)
        made.store = open_store(made.settings)
        yield made


def test_a_film_survives_the_loss_of_one_machine_of_two(
    service: FilmService, make_film: Callable[..., Any], tmp_path: Path, object_storage: ObjectStorage
) -> None:
    film = make_film(scenes=((1, 14), (2, 10), (3, 12), (4, 9)))
    references = [tmp_path / "3.png", tmp_path / "30.png"]
    for path in references:
        write_png(path, film.pictures[int(path.stem)])
    machines = [tmp_path / "one", tmp_path / "two"]
    workers = [service.start_worker(seconds_per_frame=0.3, RETINT_DATA_FOLDER=str(machine)) for machine in machines]
    job_id = service.submit(film.path, references)

    def at_work(machine: Path) -> bool:
        return any((machine / "scratch").glob(f"work-{job_id}-*"))

    service.wait(job_id, lambda job: job.progress.frames_done > 0 and all(map(at_work, machines)), seconds=120)
    workers[0].kill()
    job = service.wait_until_ended(job_id, seconds=200)
    assert (job.status, job.error) == ("succeeded", None), service.log()

    result = service.store.find_result(job_id, service.repository.status(job_id)[1], "video")
    assert isinstance(result, RemoteFile)
    (tmp_path / "out.mkv").write_bytes(result.read())
    with av.open(str(tmp_path / "out.mkv")) as colored:
        assert sum(1 for _ in colored.decode(video=0)) == 45
    results = [key for key in object_storage.keys(service.settings.store or "") if "/results/" in key]
    assert len({key.split("/")[3] for key in results}) == 1
    assert object_storage.unfinished(service.settings.store or "") == set()
    assert not at_work(machines[1])
