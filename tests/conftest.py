"""What tests of several rooms start once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from object_storage import ObjectStorage


# How long an example takes is the machine's affair.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def object_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    # Imported here: most tests get along without boto3.
    from object_storage import running_object_storage

    with running_object_storage(tmp_path_factory.mktemp("objects")) as storage:
        yield storage
