"""`/v1/session`: what the page at `/` opens with a key, so that pictures, videos and downloads reach the browser too.

The cookie is HttpOnly, so that no script can read it, and SameSite=Strict, so that no other site's page sends it;
calls that change something need a header besides (`service.auth.identify_session`).
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials

from jobs.sessions import SESSION_SECONDS
from service.auth import COOKIE, asks_for_keys, bearer, identify
from service.dependencies import ServicesDep, ViewerDep

router = APIRouter(prefix="/v1/session", include_in_schema=False)


@router.get("")
def look(services: ServicesDep, _: ViewerDep) -> dict[str, bool]:
    """Whether a key is asked for here; 401 where it is and none is shown."""
    return {"keys": asks_for_keys(services.settings)}


@router.post("", status_code=204)
def open_session(
    request: Request,
    response: Response,
    services: ServicesDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> None:
    """Takes the key as every call does, in `Authorization`. Where none is asked for, nothing happens."""
    if not asks_for_keys(services.settings):
        return
    key_id = identify(credentials, keys=services.keys)
    response.set_cookie(
        COOKIE,
        services.sessions.open(key_id),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


@router.delete("", status_code=204)
def close_session(request: Request, response: Response, services: ServicesDep, _: ViewerDep) -> None:
    """The browser forgets it, and so does the server."""
    secret = request.cookies.get(COOKIE)
    if secret is not None:
        services.sessions.close(secret)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
