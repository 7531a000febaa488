"""`/` and `/docs`: plain pages for people."""

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from service.auth import asks_for_keys
from service.page import CONTENT_SECURITY_POLICY, page
from service.reference_page import reference_page

router = APIRouter(include_in_schema=False)


@router.get("/")
def start(request: Request) -> HTMLResponse:
    with_key = asks_for_keys(request.app.state.services.settings)
    return _html(_start_page(str(request.base_url).rstrip("/"), with_key=with_key))


@router.get("/docs")
def reference(request: Request) -> HTMLResponse:
    return _html(reference_page(request.app.openapi()))


def _html(content: str) -> HTMLResponse:
    return HTMLResponse(content, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


def _start_page(server: str, *, with_key: bool) -> str:
    """`server` is the address that the browser used."""
    curl = "curl -H 'Authorization: Bearer KEY'" if with_key else "curl"
    lines = "\n".join(
        (
            "# send the video and a colored frame of it; the answer holds the job's id",
            f"{curl} -F video=@film.mp4 -F references=@frame.png {server}/v1/jobs",
            "",
            "# with options",
            f"{curl} -F video=@film.mp4 -F references=@frame.png \\",
            """     -F 'options={"tuning": "fast", "references": [{"name": "frame.png", "frame": 0}]}' \\""",
            f"     {server}/v1/jobs",
            "",
            "# wait for it: answers when the job has changed, or after 30 seconds",
            f"{curl} '{server}/v1/jobs/ID?wait=30'",
            "",
            "# fetch the color video, and what else was made",
            f"{curl} -o color.mp4 '{server}/v1/jobs/ID/content'",
            f"{curl} -o comparison.mp4 '{server}/v1/jobs/ID/content?variant=comparison'",
        )
    )
    return page(
        "retint",
        "<h1>retint</h1><p>Turns a black-and-white video plus one colored frame of it into a color video. "
        "The brightness of your film stays as it is; color is all that is new.</p>"
        f"<h2>Color a video</h2><pre>{escape(lines)}</pre>"
        '<h2>More</h2><p><a href="/docs">Every call and option</a> · <a href="/openapi.json">OpenAPI</a> · '
        '<a href="/readyz">Is it ready?</a> · <a href="/version">Version</a></p>',
    )
