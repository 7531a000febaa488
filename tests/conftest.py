"""What tests of several rooms start once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from object_storage import ObjectStorage


@pytest.fixture(scope="session")
def object_storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    # Imported here: most tests get along without boto3.
    from object_storage import running_object_storage

    with running_object_storage(tmp_path_factory.mktemp("objects")) as storage:
        yield storage
