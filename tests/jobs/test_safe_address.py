"""Which addresses webhooks may go to."""

from ipaddress import ip_address, ip_network

import pytest
from pydantic import ValidationError

from jobs.safe_address import is_callable, is_callable_host
from jobs.settings import Settings

REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.0.9",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "192.169.0.1",
    "223.255.255.254",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "2002:101:101::1",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_of_the_public_internet_is_refused(text: str) -> None:
    assert not is_callable(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_of_the_public_internet_is_called(text: str) -> None:
    assert is_callable(ip_address(text))


@pytest.mark.parametrize(
    ("network", "address", "callable_"),
    [
        ("10.1.0.0/16", "10.1.2.3", True),
        ("10.1.0.0/16", "::ffff:10.1.2.3", True),
        ("10.1.0.0/16", "10.2.0.1", False),
        ("10.1.0.0/16", "fd00::1", False),
        ("fd00::/8", "fd12::1", True),
    ],
)
def test_an_operator_may_allow_networks(network: str, address: str, callable_: bool) -> None:
    assert is_callable(ip_address(address), allowed=[ip_network(network)]) is callable_


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "api.localhost", "127.0.0.1", "[::1]", "::1", "10.0.0.1"])
def test_a_host_that_is_plainly_inside_is_refused_before_it_is_resolved(host: str) -> None:
    assert not is_callable_host(host)


@pytest.mark.parametrize("host", ["example.org", "localhost.example.org", "1.1.1.1", "2606:4700::1111"])
def test_any_other_host_may_be_tried(host: str) -> None:
    assert is_callable_host(host)


def test_localhost_may_be_tried_where_loopback_is_allowed() -> None:
    assert is_callable_host("localhost", allowed=[ip_network("127.0.0.0/8")])


def test_networks_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINT_WEBHOOK_ALLOWED_NETWORKS", "10.1.0.0/16, fd00::/8")
    assert Settings().webhook_allowed_networks == (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    monkeypatch.setenv("RETINT_WEBHOOK_ALLOWED_NETWORKS", "")
    assert Settings().webhook_allowed_networks == ()


@pytest.mark.parametrize("value", ["everything", "10.1.2.3/8", "10.0.0.0/8;fd00::/8"])
def test_networks_that_are_none_are_told(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RETINT_WEBHOOK_ALLOWED_NETWORKS", value)
    with pytest.raises(ValidationError, match=r"expected networks such as 10\.1\.0\.0/16"):
        Settings()
