"""`/v1/jobs/{id}/stills/{frame}` and the same of keyframes: small pictures, there while the rest is still made."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from jobs.errors import InvalidRequest, JobExpired, JobNotFound, Unauthorized, VariantNotFound
from service.dependencies import Services, ServicesDep, ViewerDep
from service.file_answer import BYTES
from service.problems import describe_problems

router = APIRouter()

Frame = Annotated[int, Path(ge=0, description="Number of the frame in the video, from 0.")]
STILL: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture.",
        "content": {"image/jpeg": BYTES, "application/octet-stream": BYTES},
    },
    **describe_problems(Unauthorized, JobNotFound, JobExpired, VariantNotFound, InvalidRequest),
}


@router.get(
    "/v1/jobs/{job_id}/stills/{frame}",
    tags=["jobs"],
    operation_id="get_job_still",
    summary="Look at one colored frame, small",
    response_class=Response,
    responses=STILL,
)
def get_job_still(job_id: str, frame: Frame, services: ServicesDep, viewer: ViewerDep) -> Response:
    """A JPEG of at most 480 pixels' width; `stills` in the job lists which there are. They come while it is colored."""
    services.repository.get(job_id, viewer=viewer)
    return _still(services, job_id, frame)


@router.get(
    "/v1/keyframes/{keyframes_id}/stills/{frame}",
    tags=["keyframes"],
    operation_id="get_keyframes_still",
    summary="Look at one keyframe, small",
    response_class=Response,
    responses=STILL,
)
def get_keyframes_still(keyframes_id: str, frame: Frame, services: ServicesDep, viewer: ViewerDep) -> Response:
    """A JPEG of at most 480 pixels' width; to color, use the picture at full size."""
    services.repository.get_keyframes(keyframes_id, viewer=viewer)
    return _still(services, keyframes_id, frame)


def _still(services: Services, record_id: str, frame: int) -> Response:
    picture = services.store.read_still(record_id, frame)
    # Another execution of the same job may color it anew, so that a browser asks again after a while.
    headers = {"Cache-Control": "private, max-age=60", "X-Content-Type-Options": "nosniff"}
    return Response(picture, media_type="image/jpeg", headers=headers)
