"""Random networks small enough for a test."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from random_checkpoints import Content, random_deepremaster, random_exemplar, write_exemplar

from models.deepremaster.colorizer import DeepRemasterColorizer
from models.exemplar.checkpoint import build_networks, read_checkpoint
from models.exemplar.colorizer import ExemplarColorizer


@pytest.fixture
def deepremaster_content() -> Callable[..., Content]:
    return random_deepremaster


@pytest.fixture(scope="session")
def deepremaster_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like the published one, sixteen times narrower."""
    path = tmp_path_factory.mktemp("deepremaster") / "remasternet.pth.tar"
    torch.save(random_deepremaster(), path)
    return path


@pytest.fixture
def deepremaster(deepremaster_file: Path) -> DeepRemasterColorizer:
    return DeepRemasterColorizer.load(deepremaster_file, device=torch.device("cpu"))


@pytest.fixture
def exemplar_content() -> Callable[..., Content]:
    return random_exemplar


@pytest.fixture(scope="session")
def exemplar_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files like the published ones, sixteen times narrower."""
    return write_exemplar(tmp_path_factory.mktemp("exemplar"), random_exemplar())


@pytest.fixture
def exemplar(exemplar_files: list[Path]) -> ExemplarColorizer:
    return ExemplarColorizer(build_networks(read_checkpoint(exemplar_files)))
