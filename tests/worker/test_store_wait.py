from pathlib import Path

import pytest

from jobs.errors import StoreAway
from jobs.folder_store import FolderStore
from worker.store_wait import wait_for_store


@pytest.mark.parametrize("last", [[], [OSError(28, "No space left on device")]])
def test_a_worker_waits_until_the_storage_can_be_used_and_says_once_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], last: list[Exception]
) -> None:
    store = FolderStore(tmp_path)
    troubles: list[Exception] = [StoreAway("No answer."), StoreAway("No answer."), StoreAway("No bucket."), *last]

    def check() -> None:
        if troubles:
            raise troubles.pop(0)

    monkeypatch.setattr(store, "check_writable", check)
    wait_for_store(store, pause=0.001)
    assert troubles == []
    written = capsys.readouterr()
    assert [(written.out + written.err).count(cause) for cause in ("No answer.", "No bucket.")] == [1, 1]
