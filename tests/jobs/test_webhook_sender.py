"""One attempt at a time, to real servers on loopback; only names are resolved by hand."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address, ip_network

import pytest
import trustme
from fake_server import Answer as Reply
from fake_server import FakeServer
from standardwebhooks import Webhook

from jobs import webhook_sender
from jobs.options import JobOptions
from jobs.record import Job
from jobs.safe_address import Address
from jobs.safe_network import NameUnknown, SystemResolver
from jobs.webhook_message import WebhookBody, WebhookMessage, make_message
from jobs.webhook_sender import Answer, WebhookSender

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = (ip_network("127.0.0.1/32"),)
JOB = Job(id="job_1", status="succeeded", options=JobOptions(), created_at=datetime(2026, 1, 2, tzinfo=UTC))


def message() -> WebhookMessage:
    body = WebhookBody(type="job.succeeded", timestamp=datetime(2026, 1, 2, tzinfo=UTC), data=JOB)
    return make_message(body, identity="msg_1", secret=SECRET)


class Names:
    """Answers for a name one after the other, the last for ever; any address is itself."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(lists) for name, lists in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        lists = self.answers.get(host)
        if lists is None:
            try:
                return [ip_address(host)]
            except ValueError as error:
                raise NameUnknown(host) from error
        return [ip_address(text) for text in (lists.pop(0) if len(lists) > 1 else lists[0])]


def send(url: str, *, names: Names | None = None, allowed: bool = True, tls: ssl.SSLContext | None = None) -> Answer:
    sender = WebhookSender(names or Names(), allowed=LOOPBACK if allowed else (), tls=tls)
    return asyncio.run(sender.send(url, message()))


@pytest.fixture
def receiver() -> Iterator[FakeServer]:
    server = FakeServer()
    server.answers = [Reply(204)]
    yield server
    server.close()


def port_of(server: FakeServer) -> str:
    return server.url.rsplit(":", 1)[1]


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def test_a_message_is_a_signed_post_of_json(receiver: FakeServer) -> None:
    assert send(f"{receiver.url}/hook?a=b") == Answer(204, None)
    [call] = receiver.received
    assert (call.method, call.path) == ("POST", "/hook?a=b")
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["User-Agent"].startswith("retint/")
    assert call.headers["Host"] == f"127.0.0.1:{port_of(receiver)}"
    told = Webhook(SECRET).verify(call.body, call.headers)
    assert told == {"type": "job.succeeded", "timestamp": "2026-01-02T00:00:00Z", "data": JOB.model_dump(mode="json")}


@pytest.mark.parametrize("status", [301, 302, 303, 400, 404, 410, 500, 599])
def test_everything_but_2xx_is_a_failure_that_names_the_status(receiver: FakeServer, status: int) -> None:
    receiver.answers = [Reply(status, b"a secret of the receiver", {"Location": "/elsewhere"})]
    answer = send(receiver.url)
    assert answer.status == status
    assert answer.error is not None
    assert str(status) in answer.error
    assert "secret" not in answer.error
    assert len(receiver.received) == 1


def test_a_receiver_may_say_when_to_come_back(receiver: FakeServer) -> None:
    receiver.answers = [Reply(429, headers={"Retry-After": "77"})]
    assert send(receiver.url).retry_after == 77
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    receiver.answers = [Reply(503, headers={"Retry-After": later})]
    assert 3500 < (send(receiver.url).retry_after or 0) <= 3600
    receiver.answers = [Reply(503, headers={"Retry-After": "soon"})]
    assert send(receiver.url).retry_after is None


@pytest.mark.parametrize("status", [307, 308])
def test_redirects_that_keep_the_post_are_followed(receiver: FakeServer, status: int) -> None:
    receiver.answers = [Reply(status, headers={"Location": "/moved"}), Reply(200)]
    assert send(receiver.url).error is None
    assert [call.path for call in receiver.received] == ["/", "/moved"]
    assert receiver.received[0].body == receiver.received[1].body


def test_redirects_without_end_are_left(receiver: FakeServer) -> None:
    receiver.answers = [Reply(307, headers={"Location": "/again"})]
    assert send(receiver.url) == Answer(307, "The receiver redirected more than 3 times.")
    assert len(receiver.received) == 4


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.2:1/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "http://inside.example/"],
)
def test_a_redirect_to_an_inner_address_is_refused(receiver: FakeServer, location: str) -> None:
    receiver.answers = [Reply(307, headers={"Location": location})]
    answer = send(receiver.url, names=Names(inside_example=[["10.0.0.1"]]))
    assert answer.status == 307
    assert answer.error is not None
    assert answer.error.startswith("The receiver redirected to another address.")
    assert "this server calls no such address" in answer.error
    assert "10.0.0.1" not in answer.error


@pytest.mark.parametrize(
    "location", ["ftp://example.org/", "http://ann:pw@127.0.0.1/", "http://a:99999/", "http://xn--z-/"]
)
def test_a_redirect_to_what_is_no_address_is_refused(receiver: FakeServer, location: str) -> None:
    receiver.answers = [Reply(308, headers={"Location": location})]
    assert send(receiver.url).error is not None
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
        *("::1", "fd00::1", "fe80::1", "::ffff:7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::1"),
    ],
)
def test_a_name_that_leads_inside_is_not_called(receiver: FakeServer, address: str) -> None:
    names = Names(hooks_example=[[address]])
    answer = send(f"http://hooks.example:{port_of(receiver)}/", names=names, allowed=False)
    assert answer.status is None
    assert answer.error is not None
    assert "this server calls no such address" in answer.error
    assert address not in answer.error
    assert address in (answer.cause or "")
    assert receiver.received == []


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(receiver: FakeServer) -> None:
    """What is called is what was checked: there is no second look-up whose answer could be another."""
    names = Names(hooks_example=[["127.0.0.1"], ["127.0.0.2"]])
    assert send(f"http://hooks.example:{port_of(receiver)}/", names=names).error is None
    assert names.asked == ["hooks.example"]
    assert receiver.received[0].headers["Host"] == f"hooks.example:{port_of(receiver)}"


def test_every_redirect_is_resolved_and_checked_again(receiver: FakeServer) -> None:
    receiver.answers = [Reply(307, headers={"Location": "/again"})]
    names = Names(hooks_example=[["127.0.0.1"], ["127.0.0.2"]])
    answer = send(f"http://hooks.example:{port_of(receiver)}/", names=names)
    assert "this server calls no such address" in (answer.error or "")
    assert len(receiver.received) == 1


def test_of_a_names_addresses_those_inside_are_left_out_and_the_others_tried(receiver: FakeServer) -> None:
    with listening() as closed:
        port = closed.getsockname()[1]
    names = Names(hooks_example=[["10.0.0.1", "127.0.0.1"]], half_example=[["::1", "127.0.0.1"]])
    assert send(f"http://hooks.example:{port_of(receiver)}/", names=names).error is None
    assert "refused the connection" in (send(f"http://half.example:{port}/", names=names).error or "")


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost", "LOCALHOST"])
def test_other_spellings_of_loopback_are_found_out(receiver: FakeServer, host: str) -> None:
    sender = WebhookSender(SystemResolver(threads=1), allowed=())
    answer = asyncio.run(sender.send(f"http://{host}:{port_of(receiver)}/", message()))
    assert "this server calls no such address" in (answer.error or "")
    assert receiver.received == []


def test_proxies_of_the_environment_are_passed_by(receiver: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(receiver.url).error is None


def test_an_unknown_name_is_said() -> None:
    assert send("http://nowhere.example/").error == "The host's name has no address."


def test_a_receiver_that_is_silent_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_sender, "TOTAL_SECONDS", 0.2)
    with listening() as silent:
        assert send(f"http://127.0.0.1:{silent.getsockname()[1]}/").error == (
            "The receiver did not answer within 0.2 seconds."
        )


def speak_once(listener: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # it is left in the middle, as it should be
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(data)


@pytest.mark.parametrize("data", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000])
def test_what_is_no_http_is_no_answer(data: bytes) -> None:
    with listening() as odd:
        speaker = threading.Thread(target=lambda: speak_once(odd, data))
        speaker.start()
        answer = send(f"http://127.0.0.1:{odd.getsockname()[1]}/")
        speaker.join()
    assert answer == Answer(
        None, "The connection broke before the receiver had answered in HTTP.", None, cause=answer.cause
    )


def test_an_answer_without_end_is_not_read() -> None:
    with listening() as flood:
        header = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
        speaker = threading.Thread(target=lambda: speak_once(flood, header + b"x" * 100_000_000))
        speaker.start()
        assert send(f"http://127.0.0.1:{flood.getsockname()[1]}/") == Answer(200, None)
        speaker.join()


class TestWithTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def trusting(self, authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    @pytest.fixture
    def secure(self, authority: trustme.CA, receiver: FakeServer) -> FakeServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("hooks.example").configure_cert(context)
        receiver.use_tls(context)
        return receiver

    def test_the_certificate_is_checked_against_the_name(self, secure: FakeServer, trusting: ssl.SSLContext) -> None:
        names = Names(hooks_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
        assert send(f"https://hooks.example:{port_of(secure)}/", names=names, tls=trusting) == Answer(204, None)
        answer = send(f"https://other.example:{port_of(secure)}/", names=names, tls=trusting)
        assert "certificate was not accepted: Hostname mismatch" in (answer.error or "")
        assert len(secure.received) == 1

    def test_a_certificate_of_nobody_known_is_not_accepted(self, secure: FakeServer) -> None:
        answer = send(f"https://hooks.example:{port_of(secure)}/", names=Names(hooks_example=[["127.0.0.1"]]))
        assert "certificate was not accepted" in (answer.error or "")
        assert secure.received == []

    def test_a_redirect_out_of_tls_is_not_followed(self, secure: FakeServer, trusting: ssl.SSLContext) -> None:
        secure.answers = [Reply(307, headers={"Location": f"http://hooks.example:{port_of(secure)}/"})]
        answer = send(
            f"https://hooks.example:{port_of(secure)}/", names=Names(hooks_example=[["127.0.0.1"]]), tls=trusting
        )
        assert "from https to http" in (answer.error or "")

    def test_a_receiver_without_tls_is_told_apart(self, receiver: FakeServer) -> None:
        assert send(f"https://127.0.0.1:{port_of(receiver)}/").error == (
            "No TLS connection could be made with the receiver."
        )
