"""Takes the multipart body of a submission apart, straight into the store, in constant memory.

This part runs in the event loop and only moves chunks; `Intake` parses and writes them in a thread. An upload that does
not end well leaves no file behind.
"""

from collections.abc import Callable

import anyio
from anyio import to_thread
from starlette.requests import Request

from jobs.settings import Settings
from jobs.store import Store
from service.body import declared_length, pump
from service.fingerprint import Fingerprint
from service.form import Form, Options
from service.intake import Intake, Upload, too_large
from service.multipart import boundary_of
from service.stored_inputs import StoredInputs


async def receive_upload(
    request: Request,
    *,
    form: Form[Options],
    store: Store,
    job_id: str,
    settings: Settings,
    stored: StoredInputs,
    check_options: Callable[[Options], None],
    keep: bool = True,
    fingerprint: Fingerprint | None = None,
) -> Upload[Options]:
    """Stream the request's body into the store under `job_id`; without `keep`, only see what it is.

    `check_options` may refuse the options; it is called as soon as they are there, so that a refusal need not wait for
    a long video behind them.

    Raises:
        UnsupportedMediaType, InvalidRequest, TooManyReferences, PayloadTooLarge, StoreFull, UploadIncomplete,
            UploadUnfinished: with nothing left in the store.
    """
    boundary = boundary_of(request.headers.get("content-type"))
    declared = declared_length(request)
    if declared > settings.max_upload_bytes:
        raise too_large(settings)
    intake = Intake(
        boundary,
        form=form,
        store=store,
        job_id=job_id,
        settings=settings,
        stored=stored,
        check_options=check_options,
        keep=keep,
        fingerprint=fingerprint,
    )
    try:
        await to_thread.run_sync(intake.open, declared)
        await pump(request, intake.write, kept="Nothing was kept; send it again.")
        return await to_thread.run_sync(intake.finish)
    except BaseException:
        # Also where the server shuts down and cancels: the files must go before the request does.
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(intake.discard)
        raise
