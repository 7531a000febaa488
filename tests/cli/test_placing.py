"""What is not finished goes, also where its process was killed; what another process is at stays."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from cli.placing import work_folder

WORKS = """
import sys
from pathlib import Path
from cli.placing import work_folder
with work_folder(beside=Path(sys.argv[1])) as folder:
    (folder / "half").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_and_what_one_is_at_stays(tmp_path: Path) -> None:
    out = tmp_path / "color.mp4"
    own = tmp_path / ".retint-of-a-user"
    own.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", WORKS, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        with work_folder(beside=out) as folder, work_folder(beside=out) as inner:
            assert set(tmp_path.iterdir()) == {own, left, folder, inner}
        other.kill()
        other.wait()
        assert (left / "half").exists()
        with work_folder(beside=out) as folder:
            assert set(tmp_path.iterdir()) == {own, folder}
    assert list(tmp_path.iterdir()) == [own]


def test_what_another_machine_is_at_stays_on_a_network_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, boot = tmp_path / "color.mp4", tmp_path / "boot_id"
    # There, the locks of other machines are not seen.
    monkeypatch.setattr(fcntl, "flock", lambda lock, how: None)
    monkeypatch.setattr("cli.placing._BOOT", boot)
    boot.write_text("1b4e28ba-2fa1-11d2-883f-0016d3cca427")
    with work_folder(beside=out) as others:
        boot.write_text("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
        with work_folder(beside=out) as own:
            assert others.exists()
            assert own.exists()
