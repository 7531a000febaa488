import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.errors import JobNotFound, StartupError, VariantNotFound
from jobs.settings import Settings
from jobs.store import FolderStore, open_store


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def publish(store: FolderStore, job_id: str, execution_id: str, content: bytes, *, owns: bool = True) -> bool:
    store.open_execution(job_id, execution_id)
    (store.finished_folder(job_id, execution_id) / "video.mp4").write_bytes(content)
    return store.publish(job_id, execution_id, owns=lambda: owns)


def test_an_upload_appears_only_when_it_is_whole(store: FolderStore) -> None:
    store.create("job_1")
    writer = store.open_input_writer("job_1", "video")
    writer.write(b"half ")
    assert not store.input_video("job_1").exists()
    writer.write(b"whole")
    writer.close()
    writer.close()
    assert store.input_video("job_1").read_bytes() == b"half whole"
    assert writer.bytes_written == 10


def test_an_upload_cut_off_leaves_nothing(store: FolderStore) -> None:
    def upload() -> None:
        with store.open_input_writer("job_1", "reference", 0) as writer:
            writer.write(b"half")
            raise ConnectionResetError

    store.create("job_1")
    with pytest.raises(ConnectionResetError):
        upload()
    assert store.input_references("job_1") == []
    assert everything_in(store.input_video("job_1").parent) == set()


def test_references_keep_their_order(store: FolderStore) -> None:
    store.create("job_1")
    for index in reversed(range(12)):
        with store.open_input_writer("job_1", "reference", index) as writer:
            writer.write(str(index).encode())
    assert [path.read_text() for path in store.input_references("job_1")] == [str(i) for i in range(12)]


def test_results_appear_at_once_and_replace_those_of_a_dead_execution(store: FolderStore) -> None:
    store.create("job_1")
    with pytest.raises(VariantNotFound):
        store.variant_path("job_1", "video")
    assert publish(store, "job_1", "a", b"first")
    assert publish(store, "job_1", "b", b"second")
    assert store.variant_path("job_1", "video").read_bytes() == b"second"
    assert store.variant_path("job_1", "video").name == "video.mp4"


def test_an_execution_that_owns_nothing_publishes_nothing(store: FolderStore) -> None:
    store.create("job_1")
    assert publish(store, "job_1", "new", b"new")
    assert not publish(store, "job_1", "stale", b"stale", owns=False)
    assert store.variant_path("job_1", "video").read_bytes() == b"new"


def test_publishing_leaves_nothing_but_the_results(store: FolderStore, tmp_path: Path) -> None:
    store.create("job_1")
    publish(store, "job_1", "a", b"colored")
    store.discard_execution("job_1", "a")
    assert everything_in(tmp_path / "store" / "jobs" / "job_1") == {"results/video.mp4"}


def test_only_one_execution_publishes_at_a_time(store: FolderStore, tmp_path: Path) -> None:
    store.create("job_1")
    inside: list[int] = []
    most = 0

    def owns() -> bool:
        nonlocal most
        inside.append(1)
        most = max(most, len(inside))
        time.sleep(0.002)
        inside.pop()
        return True

    def publish_often(name: str) -> None:
        for number in range(10):
            store.open_execution("job_1", f"{name}-{number}")
            assert store.publish("job_1", f"{name}-{number}", owns=owns)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(publish_often, f"execution-{number}") for number in range(8)]:
            done.result()
    assert most == 1
    assert not (tmp_path / "store" / "jobs" / "job_1" / ".publishing").exists()


def test_a_discarded_execution_leaves_the_others_alone(store: FolderStore) -> None:
    store.create("job_1")
    store.open_execution("job_1", "a")
    kept = store.open_execution("job_1", "b")
    store.discard_execution("job_1", "a")
    store.discard_execution("job_1", "a")
    assert [path.name for path in kept.parents[1].iterdir()] == ["b"]


def test_a_deleted_job_leaves_no_byte(store: FolderStore, tmp_path: Path) -> None:
    store.create("job_1")
    with store.open_input_writer("job_1", "video") as writer:
        writer.write(b"film")
    publish(store, "job_1", "a", b"colored")
    store.delete("job_1")
    store.delete("job_1")
    store.drop_results("job_1")
    store.drop_input("job_1")
    assert everything_in(tmp_path / "store") == set()
    assert list(store.job_ids()) == []


@pytest.mark.parametrize("name", ["..", "../other", "/etc", "", "a/b", ".hidden"])
def test_no_name_leads_out_of_the_folder(store: FolderStore, name: str) -> None:
    for use in (store.create, store.input_video, store.delete, store.drop_input):
        with pytest.raises(JobNotFound):
            use(name)
    store.create("job_1")
    with pytest.raises(JobNotFound):
        store.open_execution("job_1", name)


def test_free_space_is_what_the_disk_has(store: FolderStore, tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    assert abs(store.free_bytes() - disk.f_bavail * disk.f_frsize) < 1024**3
    store.check_writable()
    assert everything_in(tmp_path / "store") == set()


def test_object_storage_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="object storage is not supported yet"):
        open_store(Settings(store="s3://bucket/prefix", data_folder=tmp_path))


def test_a_store_that_cannot_be_made_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartupError, match="RETINT_STORE"):
        open_store(Settings(store=str(tmp_path / "file" / "store")))
