import os
from pathlib import Path

import pytest

from jobs.errors import JobCanceled, JobNotFound, StartupError, VariantNotFound
from jobs.folder_store import FolderStore
from jobs.settings import Settings
from jobs.stores import open_store


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def publish(store: FolderStore, job_id: str, execution_id: str, content: bytes) -> None:
    path = store.open_execution(job_id, execution_id) / "video.mp4"
    path.write_bytes(content)
    store.publish(job_id, execution_id, [path])


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


def test_every_execution_publishes_under_its_own_name(store: FolderStore) -> None:
    store.create("job_1")
    with pytest.raises(VariantNotFound):
        store.find_result("job_1", "a", "video")
    publish(store, "job_1", "a", b"first")
    publish(store, "job_1", "b", b"second")
    assert store.find_result("job_1", "a", "video").read_bytes() == b"first"
    assert store.find_result("job_1", "b", "video").read_bytes() == b"second"
    assert store.find_result("job_1", "b", "video").name == "video.mp4"
    with pytest.raises(VariantNotFound):
        store.find_result("job_1", "b", "vid")


def test_publishing_leaves_nothing_but_the_results(store: FolderStore, tmp_path: Path) -> None:
    store.create("job_1")
    publish(store, "job_1", "a", b"colored")
    store.discard_execution("job_1", "a")
    assert everything_in(tmp_path / "store" / "jobs" / "job_1") == {"results/a/video.mp4"}
    assert not store.has_leftovers("job_1", published="a")


def test_results_of_others_go_and_those_of_one_stay(store: FolderStore) -> None:
    store.create("job_1")
    for execution in ("a", "b", "c"):
        publish(store, "job_1", execution, execution.encode())
        store.discard_execution("job_1", execution)
    assert store.has_leftovers("job_1", published="b")
    store.unpublish("job_1", "a")
    with pytest.raises(VariantNotFound):
        store.find_result("job_1", "a", "video")
    assert store.find_result("job_1", "c", "video").read_bytes() == b"c"
    store.drop_results("job_1", but="b")
    assert store.find_result("job_1", "b", "video").read_bytes() == b"b"
    assert not store.has_leftovers("job_1", published="b")
    store.drop_results("job_1")
    with pytest.raises(VariantNotFound):
        store.find_result("job_1", "b", "video")


def test_publishing_stops_where_it_is_told_to(store: FolderStore) -> None:
    def stop() -> None:
        raise JobCanceled("Enough.")

    store.create("job_1")
    path = store.open_execution("job_1", "a") / "video.mp4"
    path.write_bytes(b"colored")
    with pytest.raises(JobCanceled):
        store.publish("job_1", "a", [path], check=stop)
    with pytest.raises(VariantNotFound):
        store.find_result("job_1", "a", "video")


def test_what_is_kept_is_there_for_others_and_goes_with_the_job(store: FolderStore, tmp_path: Path) -> None:
    store.create("job_1")
    assert store.kept("job_1") == []
    for name, content in (("shot-1.mkv", "one"), ("plan.json", "old"), ("plan.json", "new")):
        (tmp_path / "made").write_text(content)
        store.keep("job_1", name, tmp_path / "made")
        assert not (tmp_path / "made").exists()
    assert store.kept("job_1") == ["plan.json", "shot-1.mkv"]
    with store.fetch("job_1", "plan.json") as path:
        assert path.read_text() == "new"
    with pytest.raises(FileNotFoundError), store.fetch("job_1", "shot-2.mkv"):
        pass
    store.drop_kept("job_1")
    assert store.kept("job_1") == []
    store.delete("job_1")
    assert store.kept("job_1") == []


def test_a_file_that_cannot_be_kept_whole_is_not_kept(store: FolderStore, tmp_path: Path) -> None:
    store.create("job_1")
    with pytest.raises(FileNotFoundError):
        store.keep("job_1", "shot-1.mkv", tmp_path / "missing")
    assert store.kept("job_1") == []
    for name in ("../plan", "a/b", "", ".hidden"):
        with pytest.raises(ValueError, match="named"):
            store.keep("job_1", name, tmp_path / "missing")


def test_a_discarded_execution_leaves_the_others_alone(store: FolderStore) -> None:
    store.create("job_1")
    store.open_execution("job_1", "a")
    kept = store.open_execution("job_1", "b")
    store.discard_execution("job_1", "a")
    store.discard_execution("job_1", "a")
    assert [path.name for path in kept.parent.iterdir()] == ["b"]


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
