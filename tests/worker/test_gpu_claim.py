"""Workers that share out the GPUs of a machine; the GPUs themselves are stand-ins, the locks are real."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.errors import StartupError
from jobs.settings import Settings
from worker import main
from worker.gpu_claim import claim_gpu

HOLDER = """
import sys, time
from pathlib import Path
from worker.gpu_claim import claim_gpu
print(claim_gpu(Path(sys.argv[1]), count=2), flush=True)
time.sleep(60)
"""


def test_each_worker_gets_a_gpu_of_its_own_and_a_dead_ones_is_free_again(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "cuda:0\n"
        assert claim_gpu(tmp_path, count=2) == "cuda:1"
        with pytest.raises(StartupError, match="All 2 GPUs of this machine have a worker"):
            claim_gpu(tmp_path, count=2)
        other.kill()
        other.wait()
    assert claim_gpu(tmp_path, count=2) == "cuda:0"


def test_a_lock_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"RETINT_GPU_LOCKS: .*/missing/gpu-0: No such file or directory"):
        claim_gpu(tmp_path / "missing", count=1)


@pytest.mark.parametrize(
    ("device", "alone", "sharing"),
    [("auto", "auto", "cuda:0"), ("cuda", "cuda", "cuda:0"), ("cuda:1", "cuda:1", "cuda:1"), ("cpu", "cpu", "cpu")],
)
def test_a_device_that_is_named_is_not_shared_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, alone: str, sharing: str
) -> None:
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    settings = Settings(device=device)
    assert main._own_device(settings) == alone
    assert main._own_device(settings.model_copy(update={"gpu_locks": tmp_path})) == sharing


@pytest.mark.parametrize(
    ("gpus", "device", "told"),
    [(0, "auto", "cpu"), (2, "auto", "cuda:0"), (2, "cuda", "cuda:0"), (2, "cuda:1", "cuda:1"), (2, "cpu", "cpu")],
)
def test_a_worker_tells_the_device_that_it_uses(
    monkeypatch: pytest.MonkeyPatch, gpus: int, device: str, told: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert main._device_in_use(device) == told
