"""Reading the exemplar model's weight files: by what is in them, strictly, and without running it."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from random_checkpoints import Content, write_exemplar
from safetensors.torch import save_file

from models import registry
from models.errors import WeightsInvalid, WeightsMissing
from models.exemplar.checkpoint import PUBLISHED, build_networks, read_checkpoint
from models.exemplar.coloring import ColorNetwork
from models.exemplar.features import FeatureNetwork
from models.exemplar.matching import MatchingNetwork
from models.weights import fetch, import_files

CPU = torch.device("cpu")


class Hostile:
    """Unpickled without care, it writes a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.witness,)


def zipped(files: list[Path], target: Path) -> Path:
    """As the authors' archive is laid out, with files that are not wanted."""
    with zipfile.ZipFile(target, "w") as archive:
        archive.write(files[0], f"data/{files[0].name}")
        for file in files[1:]:
            archive.write(file, f"checkpoints/video_moredata_l1/{file.name}")
        archive.writestr("data/vgg19_gray.pth", b"not read")
    return target


def test_the_networks_have_the_published_tensors() -> None:
    with torch.device("meta"):
        shapes = [
            {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
            for network in (FeatureNetwork(), MatchingNetwork(), ColorNetwork())
        ]
    assert [len(each) for each in shapes] == [32, 43, 65]
    features, matching, coloring = shapes
    assert features["conv5_4.weight"] == (512, 512, 3, 3)
    assert matching["layer2_1.5.weight"] == (64, 128, 3, 3)
    assert matching["layer5_1.6.weight"] == (64, 256, 3, 3)
    assert matching["layer5_1.8.weight"] == matching["layer.2.prelu.weight"] == (1,)
    assert matching["theta.weight"] == (256, 256, 1, 1)
    assert coloring["conv1_1.0.weight"] == (32, 7, 3, 3)
    assert coloring["conv3_3norm_ss.weight"] == (256, 1, 1, 1)
    assert coloring["conv10_1.1.weight"] == (128, 128, 3, 3)
    assert "conv3_3norm_ss.bias" not in coloring


def test_files_in_any_order_and_by_any_name_a_zip_and_safetensors_give_the_same(
    exemplar_files: list[Path], tmp_path: Path
) -> None:
    renamed = []
    for index, file in enumerate(reversed(exemplar_files)):
        renamed.append(tmp_path / f"{index}.pth")
        renamed[-1].write_bytes(file.read_bytes())
    expected = read_checkpoint(exemplar_files).flat()
    converted = tmp_path / "exemplar.safetensors"
    save_file(expected, converted)
    for paths in (renamed, [zipped(exemplar_files, tmp_path / "archive.zip")], [converted]):
        found = read_checkpoint(paths).flat()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert len(expected) == 140


@pytest.mark.parametrize("width", [1 / 16, 3 / 16])
def test_any_width_is_found_by_the_shapes(
    exemplar_content: Callable[..., Content], tmp_path: Path, width: float
) -> None:
    content = exemplar_content(width=width)
    networks = build_networks(read_checkpoint(write_exemplar(tmp_path, content)))
    for network, state in zip((networks.features, networks.matching, networks.coloring), content.values(), strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("file", PUBLISHED.values())
@pytest.mark.parametrize("damage", ["removed", "added", "reshaped"])
def test_tensors_must_be_exactly_those_published(
    exemplar_content: Callable[..., Content], tmp_path: Path, file: str, damage: str
) -> None:
    content = exemplar_content()
    state = content[file]
    last = [name for name in state if name.endswith("2.bias")][-1]
    if damage == "removed":
        del state[last]
    elif damage == "added":
        state["more.weight"] = torch.zeros(1)
    else:
        state[last] = torch.zeros(3)
    with pytest.raises(WeightsInvalid, match=rf"{file.replace('.', '[.]')} does not fit the network"):
        build_networks(read_checkpoint(write_exemplar(tmp_path, content)))


def test_what_is_missing_or_there_twice_or_of_something_else_is_said(
    exemplar_files: list[Path], deepremaster_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(WeightsInvalid, match=r"nonlocal_net_iter_76000\.pth and colornet_iter_76000\.pth are missing"):
        read_checkpoint(exemplar_files[:1])
    with pytest.raises(WeightsInvalid, match="is a second file like vgg19_conv"):
        read_checkpoint([*exemplar_files, exemplar_files[0]])
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(1)}, other)
    with pytest.raises(WeightsInvalid, match="holds none of their tensors"):
        read_checkpoint([*exemplar_files[1:], other])
    with pytest.raises(WeightsInvalid, match="no plain tensor"):
        read_checkpoint([deepremaster_file])


def test_code_is_refused_and_not_run_also_within_a_zip(exemplar_files: list[Path], tmp_path: Path) -> None:
    witness = tmp_path / "was-run"
    hostile = tmp_path / "vgg19_conv.pth"
    torch.save({"conv5_4.weight": Hostile(witness)}, hostile)
    for paths in ([hostile, *exemplar_files[1:]], [zipped([hostile, *exemplar_files[1:]], tmp_path / "it.zip")]):
        with pytest.raises(WeightsInvalid, match="holds code, which is never run"):
            read_checkpoint(paths)
    assert not witness.exists()


@pytest.mark.parametrize("keep", [10, 0.5, 0.95])
def test_a_damaged_zip_is_refused(exemplar_files: list[Path], tmp_path: Path, keep: float) -> None:
    path = zipped(exemplar_files, tmp_path / "archive.zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep if keep > 1 else keep * len(whole))])
    with pytest.raises(WeightsInvalid):
        read_checkpoint([path])


def test_imported_weights_load_by_the_models_name(exemplar_files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="retint weights import exemplar vgg19_conv"):
        registry.load("exemplar", device=CPU, weights_folder=tmp_path)
    path = import_files("exemplar", exemplar_files, tmp_path)
    assert path == tmp_path / "exemplar.safetensors"
    assert registry.weights_present("exemplar", tmp_path)
    assert registry.load("exemplar", device=CPU, weights_folder=tmp_path).description.name == "exemplar"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsInvalid, match="retint weights import exemplar"):
        registry.load("exemplar", device=CPU, weights_folder=tmp_path)


def test_they_are_not_fetched_and_where_they_are_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="Deep-Exemplar-based-Video-Colorization, then run: retint weights import"):
        fetch("exemplar", tmp_path, accept_license=True)


def test_a_model_of_one_file_takes_one(deepremaster_file: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match="are one file"):
        import_files("deepremaster", [deepremaster_file, deepremaster_file], tmp_path)
