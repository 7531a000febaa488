"""Fetching weights from a server of every temper, importing them, and finding models by name."""

import hashlib
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors import safe_open

from models import registry
from models.catalog import CATALOG, KnownWeights, PublishedFile
from models.download import ATTEMPTS, DownloadProgress
from models.errors import DownloadFailed, LicenseNotAccepted, ModelError, WeightsInvalid, WeightsMissing
from models.weights import fetch, import_files, installed

CPU = torch.device("cpu")


@dataclass
class Publisher:
    """What the server does, and what it was asked."""

    content: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    cut_after: int | None = None
    """Break the connection after so many bytes of each answer."""
    status: int = 200
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    publisher: ClassVar[Publisher]

    def do_GET(self) -> None:
        publisher = self.publisher
        publisher.asked.append(dict(self.headers))
        self.close_connection = True
        if publisher.status != 200:
            self.send_response(publisher.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body, first = publisher.content, 0
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if publisher.ranges and wanted is not None and condition in (None, publisher.etag):
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if first >= len(body):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if publisher.etag is not None:
            self.send_header("ETag", publisher.etag)
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        rest = body[first:]
        self.wfile.write(rest if publisher.cut_after is None else rest[: publisher.cut_after])

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def publisher(deepremaster_file: Path) -> Iterator[Publisher]:
    publisher = Publisher(content=deepremaster_file.read_bytes())
    handler = type("BoundHandler", (Handler,), {"publisher": publisher})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    publisher.url = f"http://127.0.0.1:{server.server_port}/remasternet.pth.tar"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield publisher
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def catalog(publisher: Publisher) -> dict[str, KnownWeights]:
    """The real entry, for what this server publishes."""
    published = PublishedFile(
        url=publisher.url,
        bytes=len(publisher.content),
        algorithm="md5",
        digest=hashlib.md5(publisher.content).hexdigest(),
    )
    return {"deepremaster": replace(CATALOG["deepremaster"], published=published)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "weights"


def with_file(catalog: dict[str, KnownWeights], **changes: object) -> dict[str, KnownWeights]:
    """The same entry for another published file."""
    entry = catalog["deepremaster"]
    assert entry.published is not None
    return {"deepremaster": replace(entry, published=replace(entry.published, **changes))}  # type: ignore[arg-type]


def get(folder: Path, catalog: dict[str, KnownWeights], **options: object) -> Path:
    return fetch("deepremaster", folder, accept_license=True, catalog=catalog, **options)  # type: ignore[arg-type]


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".deepremaster.lock"}


def test_what_is_published_is_as_documented() -> None:
    entry = CATALOG["deepremaster"]
    assert entry.published is not None
    assert entry.published.url == "http://iizuka.cs.tsukuba.ac.jp/data/remasternet.pth.tar"
    assert (entry.published.algorithm, entry.published.digest) == ("md5", "1219f5830e4a7208b1c7ba2f089a16c8")
    assert entry.license == "CC-BY-NC-SA-4.0"


def test_fetched_weights_are_converted_and_load(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher
) -> None:
    assert installed("deepremaster", folder) is None
    seen: list[DownloadProgress] = []
    path = get(folder, catalog, on_progress=seen.append)
    assert path == installed("deepremaster", folder) == folder / "deepremaster.safetensors"
    assert left_in(folder) == {"deepremaster.safetensors"}
    size = len(publisher.content)
    assert seen[0] == DownloadProgress(0, size)
    assert seen[-1] == DownloadProgress(size, size)
    assert registry.load("deepremaster", device=CPU, weights_folder=folder).description.name == "deepremaster"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["license"] == "CC-BY-NC-SA-4.0"
    assert metadata["source"] == publisher.url
    assert metadata["source_sha256"] == hashlib.sha256(publisher.content).hexdigest()


def test_intact_weights_are_not_fetched_again_and_damaged_ones_are(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher
) -> None:
    path = get(folder, catalog)
    get(folder, catalog)
    assert len(publisher.asked) == 1
    path.write_bytes(path.read_bytes()[:1000])
    get(folder, catalog)
    assert len(publisher.asked) == 2
    registry.load("deepremaster", device=CPU, weights_folder=folder)


def test_the_license_must_be_accepted_and_is_shown(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher
) -> None:
    with pytest.raises(LicenseNotAccepted) as caught:
        fetch("deepremaster", folder, accept_license=False, catalog=catalog)
    for part in ("CC-BY-NC-SA-4.0", "noncommercial", "creativecommons.org", "--accept-license"):
        assert part in str(caught.value)
    assert publisher.asked == []
    assert not folder.exists()


def test_another_checksum_is_refused_and_nothing_is_left(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher
) -> None:
    publisher.content = publisher.content[:-1] + b"!"
    with pytest.raises(WeightsInvalid, match=r"md5 is [0-9a-f]{32}, expected [0-9a-f]{32}"):
        get(folder, catalog)
    assert left_in(folder) == set()


def test_a_sha256_is_checked_like_an_md5(folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher) -> None:
    digest = hashlib.sha256(publisher.content).hexdigest()
    good = with_file(catalog, algorithm="sha256", digest=digest)
    bad = with_file(catalog, algorithm="sha256", digest="0" * 64)
    with pytest.raises(WeightsInvalid, match="sha256"):
        get(folder, bad)
    assert get(folder, good).is_file()


def test_one_call_survives_a_connection_that_breaks(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher
) -> None:
    publisher.cut_after = len(publisher.content) // 2 + 1
    get(folder, catalog)
    [first, second] = publisher.asked
    assert "Range" not in first
    assert second["Range"] == f"bytes={publisher.cut_after}-"
    assert second["If-Range"] == publisher.etag


def test_an_interrupted_download_goes_on_in_the_next_call(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher
) -> None:
    publisher.cut_after = 1000
    with pytest.raises(DownloadFailed, match="run the same command again to go on"):
        get(folder, catalog)
    assert len(publisher.asked) == ATTEMPTS
    assert installed("deepremaster", folder) is None
    publisher.cut_after = None
    seen: list[DownloadProgress] = []
    get(folder, catalog, on_progress=seen.append)
    assert publisher.asked[-1]["Range"] == f"bytes={1000 * ATTEMPTS}-"
    assert seen[0].bytes_done == 1000 * ATTEMPTS
    assert left_in(folder) == {"deepremaster.safetensors"}


def test_without_an_etag_a_download_goes_on_all_the_same(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher
) -> None:
    publisher.etag = None
    publisher.cut_after = len(publisher.content) // 2 + 1
    get(folder, catalog)
    assert "If-Range" not in publisher.asked[1]
    assert publisher.asked[1]["Range"] == f"bytes={publisher.cut_after}-"


def test_a_server_without_ranges_sends_everything_again(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher
) -> None:
    publisher.cut_after = 1000
    publisher.ranges = False
    with pytest.raises(DownloadFailed):
        get(folder, catalog)
    assert (folder / "deepremaster.part").stat().st_size == 1000
    publisher.cut_after = None
    assert get(folder, catalog).is_file()


def test_a_file_that_changed_in_between_is_not_glued_together(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher
) -> None:
    right = publisher.content
    publisher.content, publisher.etag, publisher.cut_after = b"x" * len(right), '"old"', 1000
    with pytest.raises(DownloadFailed):
        get(folder, catalog)
    publisher.content, publisher.etag, publisher.cut_after = right, '"new"', None
    assert get(folder, catalog).is_file()


@pytest.mark.parametrize("old_length", [2000, 2_000_000], ids=["was shorter", "was longer"])
def test_a_file_that_changed_its_size_is_begun_again_without_an_etag_too(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher, old_length: int
) -> None:
    right = publisher.content
    publisher.etag, publisher.content, publisher.cut_after = None, b"x" * old_length, old_length // 4
    with pytest.raises(DownloadFailed):
        get(folder, catalog)
    publisher.content, publisher.cut_after = right, None
    assert get(folder, catalog).is_file()


def test_an_answer_that_is_not_the_file_is_told_with_its_status(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher
) -> None:
    publisher.status = 404
    with pytest.raises(DownloadFailed, match="answered 404 Not Found"):
        get(folder, catalog)


def test_an_answer_without_end_is_cut_off(folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher) -> None:
    small = with_file(catalog, bytes=1000)
    with pytest.raises(DownloadFailed, match="more than 2000 bytes"):
        get(folder, small)
    assert left_in(folder) == set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/none", "ftp://127.0.0.1/none", "http://[", "none"])
def test_an_address_that_leads_nowhere_is_told(folder: Path, catalog: dict[str, KnownWeights], url: str) -> None:
    with pytest.raises(DownloadFailed, match="failed"):
        get(folder, catalog, url=url)


def test_another_address_serves_the_same_file(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher
) -> None:
    moved = with_file(catalog, url="http://127.0.0.1:1/gone")
    assert get(folder, moved, url=publisher.url).is_file()


def test_a_hostile_pickle_with_the_right_checksum_is_refused_and_not_run(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher, tmp_path: Path
) -> None:
    witness = tmp_path / "was-run"
    publisher.content = pickle.dumps(Hostile(witness))
    replaced = with_file(catalog, digest=hashlib.md5(publisher.content).hexdigest())
    with pytest.raises(WeightsInvalid, match="never run"):
        get(folder, replaced)
    assert not witness.exists()
    assert left_in(folder) == set()


class Hostile:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.witness,)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, catalog: dict[str, KnownWeights]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(DownloadFailed, match="cannot be kept"):
        get(blocked / "weights", catalog)


def test_two_fetches_at_once_do_not_write_the_same_file(
    folder: Path, catalog: dict[str, KnownWeights], publisher: Publisher
) -> None:
    def fetch_again(_: DownloadProgress) -> None:
        with pytest.raises(ModelError, match="Another process is installing"):
            get(folder, catalog)

    assert get(folder, catalog, on_progress=fetch_again).is_file()


def test_a_users_own_file_is_imported(folder: Path, deepremaster_file: Path) -> None:
    path = import_files("deepremaster", [deepremaster_file], folder)
    assert path == installed("deepremaster", folder)
    assert registry.weights_present("deepremaster", folder)
    registry.load("deepremaster", device=CPU, weights_folder=folder)
    elsewhere = folder / "second"
    assert import_files("deepremaster", [path], elsewhere).is_file()


def test_imports_of_nothing_and_of_something_else_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="no file"):
        import_files("deepremaster", [tmp_path / "absent.pth"], folder)
    other = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(1)}, other)
    with pytest.raises(WeightsInvalid, match="not DeepRemaster's"):
        import_files("deepremaster", [other], folder)
    with pytest.raises(ModelError, match="No weights are known by the name 'nothing'"):
        import_files("nothing", [other], folder)


def test_the_registry_describes_all_models_the_default_first() -> None:
    descriptions = registry.describe()
    assert [description.name for description in descriptions] == ["retint", "deepremaster", "exemplar"]
    deepremaster = descriptions[1]
    assert (deepremaster.size_multiple, deepremaster.working_size, deepremaster.restores) == (16, 320, True)
    assert deepremaster.license == "CC-BY-NC-SA-4.0"


def test_absent_weights_say_how_they_are_fetched(folder: Path) -> None:
    assert not registry.weights_present("deepremaster", folder)
    with pytest.raises(WeightsMissing, match="`retint weights fetch deepremaster --accept-license`"):
        registry.load("deepremaster", device=CPU, weights_folder=folder)


def test_damaged_weights_say_how_they_are_replaced(folder: Path, deepremaster_file: Path) -> None:
    path = import_files("deepremaster", [deepremaster_file], folder)
    path.write_bytes(path.read_bytes()[:5000])
    assert registry.weights_present("deepremaster", folder)
    with pytest.raises(WeightsInvalid, match="`retint weights fetch deepremaster --accept-license`"):
        registry.load("deepremaster", device=CPU, weights_folder=folder)


def test_the_default_model_needs_no_weights_from_elsewhere(folder: Path) -> None:
    assert registry.weights_present("retint", folder)
    assert registry.load("retint", device=CPU, weights_folder=folder).description.name == "retint"


def test_an_unknown_model_is_told_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(ModelError, match="there are retint, deepremaster, exemplar"):
        registry.load("other", device=CPU, weights_folder=folder)
