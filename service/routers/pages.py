"""`/`, the page to work in, with its files; and `/docs`."""

import hashlib
from importlib.resources import files

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from jobs.errors import NotFound, StoreAway
from service.conditions import matches
from service.dependencies import IfNoneMatch, Services, ServicesDep
from service.page import CONTENT_SECURITY_POLICY
from service.reference_page import reference_page

log = structlog.stdlib.get_logger("retint.api")
router = APIRouter(include_in_schema=False)

MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
MEDIA_POLICY = "media-src 'self'"
PAGE_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob:",  # blob: what was chosen on this machine and not sent yet
        MEDIA_POLICY,
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Nothing but this server's own files; no text ever becomes markup or script."""
HEADERS = {
    "Content-Security-Policy": PAGE_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@router.get("/")
def start(services: ServicesDep, if_none_match: IfNoneMatch = None) -> Response:
    return _file("index.html", if_none_match=if_none_match, films_from=_films_from(services))


@router.get("/page/{name}")
def part(name: str, if_none_match: IfNoneMatch = None) -> Response:
    return _file(name, if_none_match=if_none_match)


@router.get("/docs")
def reference(request: Request) -> HTMLResponse:
    content = reference_page(request.app.openapi())
    return HTMLResponse(content, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


def _films_from(services: Services) -> str | None:
    """Where films are that this server sends a browser away for."""
    try:
        return services.store.download_origin()
    except StoreAway as error:
        log.warning("storage_unavailable", cause=error.detail)
        return None


def _file(name: str, *, if_none_match: str | None, films_from: str | None = None) -> Response:
    """One of the page's files; its ETag changes when it does, so that an update of the service is seen at once."""
    there = {entry.name: entry for entry in files("service").joinpath("web").iterdir() if entry.is_file()}
    suffix = name[name.rfind(".") :]
    if name not in there or suffix not in MEDIA_TYPES:
        raise NotFound(f"Nothing is at /page/{name[:64]}.")
    content = there[name].read_bytes()
    headers = {**HEADERS, "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}
    if films_from is not None:
        policy = PAGE_SECURITY_POLICY.replace(MEDIA_POLICY, f"{MEDIA_POLICY} {films_from}")
        headers["Content-Security-Policy"] = policy
    if matches(if_none_match, etag=headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=MEDIA_TYPES[suffix], headers=headers)
