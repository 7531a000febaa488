"""Reading DeepRemaster's weight files: strictly, at any width, and without running what is in them."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.deepremaster.checkpoint import build_networks, read_checkpoint
from models.errors import WeightsInvalid

Content = dict[str, dict[str, Tensor]]


class Hostile:
    """Unpickled without care, it writes a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.witness,)  # type: ignore[return-value]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "as torch wrote it in 2019"])
@pytest.mark.parametrize("width", [1 / 64, 1 / 16, 3 / 16])
def test_a_file_of_any_width_loads_with_its_own_values(
    deepremaster_content: Callable[..., Content], tmp_path: Path, width: float, zipped: bool
) -> None:
    content = deepremaster_content(width=width)
    path = tmp_path / "remasternet.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    restoration, colorization = build_networks(read_checkpoint(path))
    for network, entry in ((restoration, "modelR"), (colorization, "modelC")):
        state = network.state_dict()
        assert state.keys() == content[entry].keys()
        assert all(torch.equal(state[name], tensor) for name, tensor in content[entry].items())
        assert not network.training


def test_the_safetensors_made_of_a_checkpoint_holds_the_same(deepremaster_file: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(deepremaster_file)
    converted = tmp_path / "deepremaster.safetensors"
    save_file(checkpoint.flat(), converted)
    again = read_checkpoint(converted)
    assert again.flat().keys() == checkpoint.flat().keys()
    assert all(torch.equal(again.flat()[name], tensor) for name, tensor in checkpoint.flat().items())


def test_weights_in_half_precision_are_computed_with_in_full(
    deepremaster_content: Callable[..., Content], tmp_path: Path
) -> None:
    content = deepremaster_content()
    content["modelR"] = {name: t.half() if t.is_floating_point() else t for name, t in content["modelR"].items()}
    path = tmp_path / "half.pth"
    torch.save(content, path)
    restoration, _ = build_networks(read_checkpoint(path))
    assert {parameter.dtype for parameter in restoration.parameters()} == {torch.float32}


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    path, witness = tmp_path / "hostile.pth", tmp_path / "was-run"
    torch.save({"modelR": {}, "modelC": {}, "extra": Hostile(witness)}, path)
    with pytest.raises(WeightsInvalid, match="holds code, which is never run"):
        read_checkpoint(path)
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Hostile(witness)))
    with pytest.raises(WeightsInvalid, match="holds code, which is never run"):
        read_checkpoint(plain)
    assert not witness.exists()
    pickle.loads(plain.read_bytes())
    assert witness.exists(), "the file would have run where it is read without care"


@pytest.mark.parametrize("keep", [0, 10, 1000, 0.5, 0.999], ids=str)
def test_a_truncated_file_is_refused(deepremaster_file: Path, tmp_path: Path, keep: float) -> None:
    whole = deepremaster_file.read_bytes()
    path = tmp_path / "cut.pth.tar"
    path.write_bytes(whole[: int(keep if keep >= 1 or keep == 0 else keep * len(whole))])
    with pytest.raises(WeightsInvalid):
        read_checkpoint(path)


def test_a_damaged_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deepremaster.safetensors"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{nothing")
    with pytest.raises(WeightsInvalid, match="damaged"):
        read_checkpoint(path)


def removed(content: Content) -> None:
    del content["modelC"]["stattn2.gamma"]


def added(content: Content) -> None:
    content["modelR"]["layers.14.weight"] = torch.zeros(1)


def reshaped(content: Content) -> None:
    content["modelC"]["conv2.conv3d.weight"] = content["modelC"]["conv2.conv3d.weight"][:, :, :1]


@pytest.mark.parametrize("damage", [removed, added, reshaped])
def test_a_tensor_that_is_missing_left_over_or_of_another_shape_is_refused(
    deepremaster_content: Callable[..., Content], tmp_path: Path, damage: Callable[[Content], None]
) -> None:
    content = deepremaster_content()
    damage(content)
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(WeightsInvalid, match="does not fit the network"):
        build_networks(read_checkpoint(path))


@pytest.mark.parametrize(
    "content",
    [
        {"modelR": {}},
        [1, 2],
        {"modelR": 1, "modelC": 2},
        {"modelR": {"a": 1}, "modelC": {}},
        {"modelR": {}, "modelC": {}},
    ],
    ids=["one network", "a list", "numbers", "a number as a tensor", "no tensors"],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "else.pth"
    torch.save(content, path)
    with pytest.raises(WeightsInvalid):
        build_networks(read_checkpoint(path))


def test_values_that_are_not_finite_are_refused(deepremaster_content: Callable[..., Content], tmp_path: Path) -> None:
    content = deepremaster_content()
    content["modelR"]["layers.13.bias"] = torch.tensor([float("nan")])
    path = tmp_path / "nan.pth"
    torch.save(content, path)
    with pytest.raises(WeightsInvalid, match=r"layers\.13\.bias"):
        read_checkpoint(path)
