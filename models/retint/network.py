"""The weights of the default model: what pictures are matched by, and what fuses the offered colors."""

from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from models.errors import WeightsInvalid, WeightsMissing
from models.retint.fusion import Fusion
from models.retint.matching import Description


class RetintNetwork(nn.Module):
    """All weights but those of the features' trunk."""

    def __init__(self) -> None:
        super().__init__()
        self.description = Description()
        self.fusion = Fusion()


def load_network(path: Path) -> RetintNetwork:
    """A trained network from a safetensors file.

    Raises:
        WeightsMissing: there is no such file.
        WeightsInvalid: the file is damaged or of another network.
    """
    if not path.is_file():
        raise WeightsMissing(f"There is no file {path} with the network's weights.")
    network = RetintNetwork()
    try:
        network.load_state_dict(load_file(path))
    except Exception as error:  # safetensors and torch raise their own, of no common kind
        raise WeightsInvalid(f"{path.name} does not hold this network's weights.") from error
    return network.eval()
