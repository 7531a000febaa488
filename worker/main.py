"""The worker process: one per device; forks a process per job."""

import os

import structlog

from jobs.connection import connect
from jobs.errors import StartupError
from jobs.logging import configure_logging
from jobs.queue import JobQueue
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.stores import open_store
from jobs.tracing import open_tracing
from models.base import gpu_count, select_device
from models.errors import DeviceUnavailable
from worker.forking import ForkingWorker, work_until_stopped
from worker.gpu_claim import claim_gpu
from worker.media.confinement import why_not_confined
from worker.media.decoding_child import CPU_SECONDS, MEMORY_BYTES
from worker.publishing import CatalogPublisher
from worker.store_wait import wait_for_store
from worker.work import Colorize
from worker.workplace import Workplace

log = structlog.stdlib.get_logger("retint.worker")


def run_worker(settings: Settings, *, colorize: Colorize | None = None) -> None:
    """Work until SIGTERM or SIGINT; waits for Redis and the store where they are away. Call it from the main thread.

    `colorize` stands in for the pipeline, for tests.

    Raises:
        StartupError: a setting is missing or wrong, or names a device that is not here.
    """
    configure_logging(settings.log_format)
    redis_url = settings.redis_url
    if redis_url is None:
        raise StartupError(
            "RETINT_REDIS_URL is not set, so the worker knows no queue. Set it, or use `retint serve`, which brings "
            "its own Redis server."
        )
    settings = settings.model_copy(update={"device": _own_device(settings)})
    # Nothing is begun by it: each job's process opens its own. What it needs is imported, and missing parts are told.
    open_tracing(settings, service="retint-worker").close()
    store = open_store(settings, for_worker=True)
    redis = connect(redis_url)
    repository = JobRepository(redis, settings.queue_name, retention_seconds=settings.retention_seconds)
    queue = JobQueue(redis, settings)
    problem = why_not_confined(memory_bytes=MEMORY_BYTES, cpu_seconds=CPU_SECONDS)
    if problem is not None:
        log.warning("decoder_not_confined", cause=problem, then="films are decoded with all rights that the worker has")
    workplace = Workplace(settings, repository, store, queue, colorize, confined=problem is None)
    _import_pipeline()
    publisher = CatalogPublisher(repository, weights_folder=settings.weights_folder)

    def make_worker() -> ForkingWorker:
        wait_for_store(store)
        # Before the worker registers: whoever sees a worker sees its models.
        publisher()
        # A client of its own: RQ lengthens its timeouts to wait for jobs.
        worker_redis = connect(redis_url)
        return ForkingWorker(
            [settings.queue_name],
            connection=worker_redis,
            queue=queue,
            workplace=workplace,
            on_heartbeat=publisher,
        )

    device = _device_in_use(settings.device)
    log.info("worker_ready", pid=os.getpid(), device=device, store=settings.store or str(settings.store_folder))
    work_until_stopped(make_worker)
    log.info("worker_stopped", pid=os.getpid())


def _own_device(settings: Settings) -> str:
    """The device of the settings, or the GPU that this worker gets where the workers of a machine share them out.

    Raises:
        StartupError: the device is not here, or no GPU is left.
    """
    # torch asks the driver through NVML then, which makes no context: one made here would be broken in the processes
    # forked for jobs.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    try:
        device = select_device(settings.device)
    except DeviceUnavailable as error:
        raise StartupError(str(error)) from error
    if settings.gpu_locks is None or device.type != "cuda" or device.index is not None:
        return settings.device
    return claim_gpu(settings.gpu_locks, count=gpu_count())


def _device_in_use(name: str) -> str:
    """What `name` comes to here: `cpu`, `cuda:0`. Only for the log: the process of each job looks anew."""
    device = select_device(name)
    return f"cuda:{device.index or 0}" if device.type == "cuda" else device.type


def _import_pipeline() -> None:
    """Import what a job needs once, so that the processes forked for jobs have it at once.

    Only import: a thread pool or a CUDA context made here would be broken in the forked processes.
    """
    import models.registry
    import worker.film_work  # noqa: F401

    models.registry.describe()
