"""What tests of several rooms start once."""

from collections.abc import Iterator

import pytest
from object_storage import ObjectStorage, running_object_storage


@pytest.fixture(scope="session")
def object_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    with running_object_storage(tmp_path_factory.mktemp("objects")) as storage:
        yield storage
