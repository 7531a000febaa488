"""What both stores do alike: in a folder, and in a bucket of a real S3 server over HTTP."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from object_storage import ObjectStorage

from jobs.errors import JobCanceled, JobNotFound, VariantNotFound
from jobs.folder_store import FolderStore
from jobs.settings import Settings
from jobs.store import Presentation, RemoteFile, Store
from jobs.stores import open_store

Files = Callable[[], set[str]]


@pytest.fixture(params=["folder", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "folder":
        return Settings(data_folder=tmp_path)
    storage: ObjectStorage = request.getfixturevalue("object_storage")
    return Settings(data_folder=tmp_path, **storage.settings())


@pytest.fixture
def store(settings: Settings) -> Store:
    return open_store(settings)


@pytest.fixture
def files(settings: Settings, request: pytest.FixtureRequest) -> Files:
    """What is in the store, past it; halves included."""

    def look() -> set[str]:
        if settings.store is None:
            folder = settings.store_folder
            return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        storage: ObjectStorage = request.getfixturevalue("object_storage")
        return storage.keys(settings.store) | storage.unfinished(settings.store)

    return look


def publish(store: Store, job_id: str, execution_id: str, content: bytes) -> None:
    path = store.open_execution(job_id, execution_id) / "video.mp4"
    path.write_bytes(content)
    store.publish(job_id, execution_id, [path])
    assert not path.exists()


def result(store: Store, job_id: str, execution_id: str, stem: str = "video") -> bytes:
    found = store.find_result(job_id, execution_id, stem)
    if isinstance(found, RemoteFile):
        assert found.name == "video.mp4"
        address = found.address(Presentation("GET", "video/mp4", "inline"))
        return httpx.get(address, trust_env=False).raise_for_status().content
    assert found.name == "video.mp4"
    return found.read_bytes()


def test_an_upload_appears_only_when_it_is_whole(store: Store) -> None:
    store.create("job_1")
    writer = store.open_input_writer("job_1", "video")
    writer.write(b"half ")
    with pytest.raises(FileNotFoundError), store.fetch_input("job_1"):
        pass
    writer.write(b"whole")
    writer.close()
    writer.close()
    assert writer.bytes_written == 10
    with store.fetch_input("job_1") as found:
        assert found.video.read_bytes() == b"half whole"


def test_a_large_upload_is_whole(store: Store, files: Files) -> None:
    content = os.urandom(21 * 1024**2)
    store.create("job_1")
    with store.open_input_writer("job_1", "video") as writer:
        for start in range(0, len(content), 300_000):
            writer.write(content[start : start + 300_000])
    with store.fetch_input("job_1") as found:
        assert found.video.read_bytes() == content
    assert files() == {"jobs/job_1/input/video"}


@pytest.mark.parametrize("written", [10, 9 * 1024**2, 20 * 1024**2])
def test_a_large_upload_cut_off_leaves_nothing(store: Store, files: Files, written: int) -> None:
    store.create("job_1")
    writer = store.open_input_writer("job_1", "video")
    writer.write(bytes(written))
    writer.abort()
    writer.abort()
    assert files() == set()
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"more")


def test_an_upload_cut_off_leaves_nothing(store: Store, files: Files) -> None:
    def upload() -> None:
        with store.open_input_writer("job_1", "reference", 0) as writer:
            writer.write(b"half")
            raise ConnectionResetError

    store.create("job_1")
    with pytest.raises(ConnectionResetError):
        upload()
    assert files() == set()


def test_the_space_that_a_job_takes_is_told(store: Store) -> None:
    for job_id in ("job_1", "job_2"):
        store.create(job_id)
    with store.open_input_writer("job_1", "video") as writer:
        writer.write(b"film")
    store.write_still("job_1", 0, b"picture")
    publish(store, "job_1", "e1", b"in color")
    assert store.size("job_1") == len(b"filmpicturein color")
    assert store.size("job_2") == store.size("job_3") == 0


def test_references_keep_their_order(store: Store) -> None:
    store.create("job_1")
    for index in reversed(range(12)):
        with store.open_input_writer("job_1", "reference", index) as writer:
            writer.write(str(index).encode())
    with store.open_input_writer("job_1", "video") as writer:
        writer.write(b"film")
    with store.fetch_input("job_1") as found:
        assert [path.read_text() for path in found.references] == [str(i) for i in range(12)]


def test_every_execution_publishes_under_its_own_name(store: Store) -> None:
    store.create("job_1")
    with pytest.raises(VariantNotFound):
        store.find_result("job_1", "a", "video")
    publish(store, "job_1", "a", b"first")
    publish(store, "job_1", "b", b"second")
    assert result(store, "job_1", "a") == b"first"
    assert result(store, "job_1", "b") == b"second"
    with pytest.raises(VariantNotFound):
        store.find_result("job_1", "b", "vid")


def test_publishing_leaves_nothing_but_the_results(store: Store, files: Files) -> None:
    store.create("job_1")
    publish(store, "job_1", "a", b"colored")
    store.discard_execution("job_1", "a")
    assert files() == {"jobs/job_1/results/a/video.mp4"}
    assert not store.has_leftovers("job_1", published="a")


def test_results_of_others_go_and_those_of_one_stay(store: Store) -> None:
    store.create("job_1")
    for execution in ("a", "b", "c"):
        publish(store, "job_1", execution, execution.encode())
        store.discard_execution("job_1", execution)
    assert store.has_leftovers("job_1", published="b")
    store.unpublish("job_1", "a")
    with pytest.raises(VariantNotFound):
        store.find_result("job_1", "a", "video")
    assert result(store, "job_1", "c") == b"c"
    store.drop_results("job_1", but="b")
    assert result(store, "job_1", "b") == b"b"
    assert not store.has_leftovers("job_1", published="b")
    store.drop_results("job_1")
    with pytest.raises(VariantNotFound):
        store.find_result("job_1", "b", "video")


def test_publishing_stops_where_it_is_told_to(store: Store) -> None:
    def stop() -> None:
        raise JobCanceled("Enough.")

    store.create("job_1")
    path = store.open_execution("job_1", "a") / "video.mp4"
    path.write_bytes(b"colored")
    with pytest.raises(JobCanceled):
        store.publish("job_1", "a", [path], check=stop)
    with pytest.raises(VariantNotFound):
        store.find_result("job_1", "a", "video")


def test_what_is_kept_is_there_for_others_and_goes_with_the_job(store: Store, tmp_path: Path) -> None:
    store.create("job_1")
    assert store.kept("job_1") == []
    for name, content in (("shot-1.mkv", "one"), ("plan.json", "old"), ("plan.json", "new")):
        (tmp_path / "made").write_text(content)
        store.keep("job_1", name, tmp_path / "made")
        assert not (tmp_path / "made").exists()
    assert store.kept("job_1") == ["plan.json", "shot-1.mkv"]
    asked: list[str] = []
    with store.fetch("job_1", ["shot-1.mkv", "plan.json"], check=lambda: asked.append("whether to go on")) as paths:
        assert [path.read_text() for path in paths] == ["one", "new"]
        assert len(asked) == 2
    with pytest.raises(FileNotFoundError), store.fetch("job_1", ["plan.json", "shot-2.mkv"]):
        pass
    store.drop_kept("job_1", ["shot-1.mkv", "never-kept"])
    assert store.kept("job_1") == ["plan.json"]
    store.drop_kept("job_1")
    assert store.kept("job_1") == []
    store.delete("job_1")
    assert store.kept("job_1") == []


def test_a_file_that_cannot_be_kept_whole_is_not_kept(store: Store, tmp_path: Path) -> None:
    store.create("job_1")
    with pytest.raises(FileNotFoundError):
        store.keep("job_1", "shot-1.mkv", tmp_path / "missing")
    assert store.kept("job_1") == []
    for name in ("../plan", "a/b", "", ".hidden"):
        with pytest.raises(ValueError, match="named"):
            store.keep("job_1", name, tmp_path / "missing")


def test_a_discarded_execution_leaves_the_others_alone(store: Store) -> None:
    store.create("job_1")
    gone = store.open_execution("job_1", "a")
    kept = store.open_execution("job_1", "b")
    assert list(gone.iterdir()) == []
    (gone / "half.mkv").write_bytes(b"half")
    store.discard_execution("job_1", "a")
    store.discard_execution("job_1", "a")
    assert kept.is_dir()
    assert not gone.exists()


def test_a_deleted_job_leaves_no_byte(store: Store, files: Files) -> None:
    store.create("job_1")
    with store.open_input_writer("job_1", "video") as writer:
        writer.write(b"film")
    publish(store, "job_1", "a", b"colored")
    assert list(store.job_ids()) == ["job_1"]
    assert store.last_touched("job_1") > time.time() - 300
    store.delete("job_1")
    store.delete("job_1")
    store.drop_results("job_1")
    store.drop_input("job_1")
    assert files() == set()
    assert store.last_touched("job_1") == 0.0


@pytest.mark.parametrize("name", ["..", "../other", "/etc", "", "a/b", ".hidden"])
def test_no_name_leads_out_of_the_folder(store: Store, name: str) -> None:
    for use in (store.create, store.delete, store.drop_input, store.kept, store.drop_results):
        with pytest.raises(JobNotFound):
            use(name)
    with pytest.raises(JobNotFound), store.fetch_input(name):
        pass
    store.create("job_1")
    with pytest.raises(JobNotFound):
        store.open_execution("job_1", name)


def test_whether_it_takes_files_is_found_out_without_leaving_any(store: Store, files: Files) -> None:
    store.check_writable()
    store.check_writable()
    assert files() <= {"probe"}


def test_free_space_is_what_the_disk_has(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    disk = os.statvfs(tmp_path)
    assert abs(store.free_bytes() - disk.f_bavail * disk.f_frsize) < 1024**3


def test_a_video_is_shared_and_outlives_the_job_that_it_came_with(store: Store) -> None:
    store.create("a")
    with store.open_input_writer("a", "video") as writer:
        writer.write(b"film")
    store.create("b")
    store.share_input_video("a", with_job="b")
    store.delete("a")
    with store.fetch_input("b") as found:
        assert found.video.read_bytes() == b"film"
    store.create("c")
    with pytest.raises(FileNotFoundError):
        store.share_input_video("a", with_job="c")


def test_a_still_is_there_until_its_job_goes(store: Store) -> None:
    store.create("a")
    for picture in (b"first", b"second"):
        store.write_still("a", 12, picture)
    assert store.read_still("a", 12) == b"second"
    with pytest.raises(VariantNotFound):
        store.read_still("a", 13)
    store.delete("a")
    with pytest.raises(VariantNotFound):
        store.read_still("a", 12)
