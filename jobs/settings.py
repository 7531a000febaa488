"""Every setting, read once from the environment (prefix `RETINT_`) and passed in; nothing else reads it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs.safe_address import Networks


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="RETINT_", extra="ignore", use_attribute_docstrings=True)

    redis_url: str | None = None
    """Where Redis is; absent: `retint serve` starts an embedded server on a socket in `data_folder`."""
    data_folder: Path = Path("data")
    """Where the embedded Redis server and, unless `store` says otherwise, the files live."""
    store: str | None = None
    """Where uploads and results live: a folder that the API and all workers share, or `s3://bucket/prefix` in object
    storage, which they reach over HTTP; absent: `data_folder`/store."""
    s3_endpoint: Annotated[str, Field(pattern="^https?://")] | None = None
    """Address of the S3-compatible server, such as http://minio:9000; absent: that of Amazon."""
    s3_public_endpoint: Annotated[str, Field(pattern="^https?://")] | None = None
    """The address under which users reach the same server, where it is another one: downloads are sent there."""
    s3_region: str | None = None
    """Region of the bucket; absent: as AWS_DEFAULT_REGION or the profile says, or else us-east-1."""
    s3_access_key_id: str | None = None
    """With `s3_secret_access_key`; absent: credentials are found as every AWS tool finds them (AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY, a profile, the role of the machine)."""
    s3_secret_access_key: SecretStr | None = None
    """Belongs to `s3_access_key_id`."""
    s3_link_seconds: Annotated[int, Field(ge=60, le=7 * 24 * 3600)] = 3600
    """How long the address of a download in object storage is good for; it carries no other key."""
    scratch_folder: Path | None = None
    """Where a worker works and puts copies of what is in object storage, on a disk of its own; absent:
    `data_folder`/scratch. A store in a folder needs none."""
    weights_folder: Path = Path.home() / ".cache" / "retint" / "weights"
    """Where fetched and imported weights are kept."""
    host: str = "127.0.0.1"
    """Address that the API listens on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port that the API listens on; `retint serve` takes a free one, and says so, where it is taken."""
    auth: Literal["auto", "on", "off"] = "auto"
    """Whether calls must carry a key (`retint keys`): `auto` is where `host` is not a loopback address."""
    device: str = "auto"
    """`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`."""
    gpu_locks: Path | None = None
    """Folder of this machine alone, the same for all its workers, in which they share out the GPUs: each takes one that
    no other has, where `device` is `auto` or `cuda`. Absent: `cuda` is the first GPU, for every worker."""
    threads: PositiveInt | None = None
    """CPU threads of a worker; absent: all cores."""
    memory_bytes: PositiveInt | None = None
    """Memory of the machine that a job's process may hold at most; absent: as much as there is. A piece of a film that
    it does not hold is done again at a smaller working size."""
    device_memory_bytes: PositiveInt | None = None
    """The same of the GPU's memory."""
    queue_name: str = "retint"
    """RQ queue, and prefix of every Redis key."""
    max_upload_bytes: PositiveInt = 16 * 1024**3
    """Largest whole upload."""
    max_reference_bytes: PositiveInt = 64 * 1024**2
    """Largest reference image."""
    max_jobs_per_key: PositiveInt = 100
    """Jobs of one key that wait or run at once."""
    max_queued_jobs: PositiveInt = 1000
    """Jobs that wait at once, of all keys together."""
    max_references: PositiveInt = 64
    """References per job at most."""
    max_pixels: PositiveInt = 4096 * 3112
    """Pixels per frame at most: those of a full-aperture 4K film scan."""
    max_duration_seconds: Annotated[float, Field(gt=0)] = 4 * 3600
    """Longest video."""
    max_frames: PositiveInt = 500_000
    """Frames per video at most."""
    min_free_bytes: NonNegativeInt = 256 * 1024**2
    """Free disk space below which uploads are refused (507)."""
    retention_seconds: Annotated[float, Field(ge=0, le=100 * 365 * 24 * 3600)] = 7 * 24 * 3600
    """How long after its end a job and its files are kept, a hundred years at most."""
    upload_expiry_seconds: Annotated[float, Field(gt=0, le=100 * 365 * 24 * 3600)] = 24 * 3600
    """How long after its last byte a resumable upload is kept, finished or not."""
    webhook_allowed_networks: Networks = ()
    """Networks that webhooks may call though they are not public, such as `10.1.0.0/16,fd00::/8`."""
    retries: NonNegativeInt = 2
    """How often a job whose worker died is started again."""
    log_format: Literal["console", "json"] = "console"
    """How log lines look."""
    otlp_endpoint: Annotated[str, Field(pattern="^https?://")] | None = None
    """OpenTelemetry collector that spans are sent to by OTLP over HTTP, such as http://localhost:4318; absent: nothing
    is traced. Needs the extra `otel`."""

    @property
    def store_folder(self) -> Path:
        return Path(self.store) if self.store else self.data_folder / "store"
