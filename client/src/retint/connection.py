"""How both clients connect."""

from urllib.parse import quote

import httpx

from retint.polling import LONG_POLL_SECONDS

DEFAULT_SERVER = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
WAIT_TIMEOUT = httpx.Timeout(LONG_POLL_SECONDS + 15.0, connect=10.0)
UPLOAD_TIMEOUT = httpx.Timeout(120.0, connect=10.0)
"""Per read and write, not in all; the server may need a while to store the last of a large upload."""


def headers(api_key: str | None) -> dict[str, str]:
    return {
        "User-Agent": "retint-client",
        "Accept": "application/json, application/problem+json",
        **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
    }


def uses_proxies(base_url: str) -> bool:
    """Whether the environment's proxies apply: none of them reaches this machine's own loopback address."""
    host = httpx.URL(base_url).host
    return not (host == "localhost" or host == "::1" or host.startswith("127."))


def job_path(job_id: str, *rest: str) -> str:
    """Ids are quoted, so that no id reaches another address."""
    return "/".join(["/v1/jobs", quote(job_id, safe=""), *rest])
