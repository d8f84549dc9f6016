"""Where a request comes from, whatever its headers say."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from sensors import origin


def seen(*, proxies: int, forwarded: str, settings: Settings, peer: str = "10.0.0.9") -> str | None:
    settings.TRUSTED_PROXIES = proxies
    return origin.address(RequestFactory(REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded).get("/"))


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "", "10.0.0.9"),
        (0, "192.0.2.1", "10.0.0.9"),  # nobody in front: whoever sends the header made it up
        (1, "192.0.2.1", "192.0.2.1"),
        (1, "198.51.100.7, 192.0.2.1", "192.0.2.1"),  # what stands before was sent by the client
        (1, "a, b, c, 192.0.2.1", "192.0.2.1"),
        (2, "198.51.100.7, 192.0.2.1, 10.0.0.8", "192.0.2.1"),
        (2, "192.0.2.1", "10.0.0.9"),  # it came around a proxy
        (1, "", "10.0.0.9"),
        (1, "nonsense", "10.0.0.9"),
        (1, "192.0.2.1:4711", "192.0.2.1"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "2001:DB8:0:0::1", "2001:db8::1"),
        (1, "fe80::1%eth0", "fe80::1"),
        (1, "::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_only_what_a_declared_proxy_wrote_is_believed(
    settings: Settings, proxies: int, forwarded: str, address: str
) -> None:
    assert seen(proxies=proxies, forwarded=forwarded, settings=settings) == address


def test_a_request_by_a_unix_socket_has_no_address(settings: Settings) -> None:
    assert seen(proxies=0, forwarded="192.0.2.1", settings=settings, peer="") is None


def test_a_subscriber_of_ipv6_is_counted_as_one() -> None:
    requests = [RequestFactory(REMOTE_ADDR=f"2001:db8::{n}").get("/") for n in (1, 2)]
    assert {origin.network(request) for request in requests} == {"2001:db8::/64"}
    assert origin.network(RequestFactory(REMOTE_ADDR="192.0.2.1").get("/")) == "192.0.2.1"
    assert origin.network(RequestFactory(REMOTE_ADDR="").get("/")) == "unknown"
