import pytest
import torch

from models.base import select_device
from models.errors import DeviceUnavailable


def test_auto_and_cpu_are_always_there() -> None:
    assert select_device("auto").type in {"cpu", "cuda"}
    assert select_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "meta", "toaster", ""])
def test_a_device_that_is_not_here_is_refused_by_name(name: str) -> None:
    with pytest.raises(DeviceUnavailable, match=f"`{name}`"):
        select_device(name)
