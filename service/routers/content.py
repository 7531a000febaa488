"""`/v1/jobs/{id}/content`: the finished files, whole or in ranges."""

from functools import partial
from typing import Annotated, get_args

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response

from jobs.options import VariantName
from service.dependencies import IfNoneMatch, IfRange, Range, ServicesDep, ViewerDep
from service.file_answer import FILE_RESPONSES, answer_file

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/content",
    operation_id="get_job_content",
    summary="Download a result",
    response_class=Response,
    responses=FILE_RESPONSES,
)
@router.head(
    "/{job_id}/content",
    operation_id="head_job_content",
    summary="Look at a result without downloading it",
    response_class=Response,
    responses=FILE_RESPONSES,
)
async def get_content(
    job_id: str,
    request: Request,
    services: ServicesDep,
    viewer: ViewerDep,
    variant: Annotated[
        str, Query(description="Which of the job's files.", json_schema_extra={"enum": list(get_args(VariantName))})
    ] = "video",
    range_header: Range = None,
    if_range: IfRange = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The color video, or another variant that the job made; `variants` in the job lists them.

    The ETag is the file's hash, so that an interrupted download can go on with `Range` and `If-Range`.
    """
    job = await to_thread.run_sync(partial(services.repository.get, job_id, viewer=viewer))
    return await answer_file(
        request, services, job, variant, range_header=range_header, if_range=if_range, if_none_match=if_none_match
    )
