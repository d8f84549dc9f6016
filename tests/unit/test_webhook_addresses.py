"""Which URLs and addresses a webhook may reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from agents.channels import exchange, webhook
from maintenance import addresses

PUBLIC = ["93.184.215.14"]

# URL, and what its name resolves to (None: the URL holds the address, or must be refused before that).
BAD: list[tuple[str, list[str] | None]] = [
    ("", None),
    ("hooks.example.com", None),
    ("ftp://hooks.example.com/", None),
    ("file:///etc/passwd", None),
    ("gopher://hooks.example.com:6379/_FLUSHALL", None),
    ("//hooks.example.com/", None),
    ("https://", None),
    ("https:///path", None),
    ("http://hooks.example.com/", PUBLIC),
    ("https://hooks.example.com:22/", PUBLIC),
    ("https://hooks.example.com:6379/", PUBLIC),
    ("https://hooks.example.com:0/", None),
    ("https://hooks.example.com:99999/", None),
    ("https://hooks.example.com:x/", None),
    ("https://user:word@hooks.example.com/", None),
    ("https://hooks.example.com@127.0.0.1/", None),
    ("https://127.0.0.1\\@hooks.example.com/", None),
    ("https://hooks.example.com\\.internal/", None),
    ("https://hooks.example.com/a b", None),
    ("https://hooks.example.com/\r\nX-Injected: 1", None),
    ("https://hooks.example.com/\x00", None),
    ("https://hooks..example.com/", None),
    ("https://hooks.example.com./", None),
    ("https://-x.example.com/", None),
    ("https://hööks.example.com/", None),
    ("https://①②⑦.0.0.1/", None),
    ("https://127。0。0。1/", None),
    ("https://" + "a" * 300 + ".example.com/", None),
    ("https://hooks.example.com/" + "a" * 500, None),
    ("https://localhost/", ["127.0.0.1"]),
    ("https://localhost/", ["::1"]),
    ("https://127.0.0.1/", None),
    ("https://127.8.9.1/", None),
    ("https://127.1/", None),
    ("https://2130706433/", None),
    ("https://134744072/", None),
    ("https://0x7f000001/", None),
    ("https://0x7f.0x0.0x0.0x1/", None),
    ("https://0177.0.0.1/", None),
    ("https://127.0.0.01/", None),
    ("https://0/", None),
    ("https://0.0.0.0/", None),
    ("https://10.0.0.5/", None),
    ("https://100.64.0.1/", None),
    ("https://169.254.169.254/latest/meta-data/", None),
    ("https://172.16.0.1/", None),
    ("https://172.31.255.255/", None),
    ("https://192.0.0.170/", None),
    ("https://192.168.1.1/", None),
    ("https://198.18.0.1/", None),
    ("https://203.0.113.7/", None),
    ("https://224.0.0.1/", None),
    ("https://255.255.255.255/", None),
    ("https://[::]/", None),
    ("https://[::1]/", None),
    ("https://[::ffff:127.0.0.1]/", None),
    ("https://[::ffff:8.8.8.8]/", None),
    ("https://[::127.0.0.1]/", None),
    ("https://[64:ff9b::7f00:1]/", None),
    ("https://[64:ff9b:1::1]/", None),
    ("https://[100::1]/", None),
    ("https://[2001::1]/", None),
    ("https://[2001:db8::1]/", None),
    ("https://[2002:7f00:1::]/", None),
    ("https://[fc00::1]/", None),
    ("https://[fd00:ec2::254]/", None),
    ("https://[fe80::1]/", None),
    ("https://[fe80::1%25eth0]/", None),
    ("https://[2606:4700::1%25eth0]/", None),
    ("https://[fec0::1]/", None),
    ("https://[ff02::1]/", None),
    ("https://[::1/", None),
    ("https://metadata.internal/", ["169.254.169.254"]),
    ("https://rebound.example.com/", ["93.184.215.14", "10.0.0.5"]),
    ("https://mapped.example.com/", ["::ffff:10.0.0.5"]),
    ("https://nowhere.example.com/", []),
]

GOOD: list[tuple[str, list[str]]] = [
    ("https://hooks.example.com/a/b?c=d", ["93.184.215.14"]),
    ("https://hooks.example.com:8443/", ["93.184.215.14", "2606:4700::6810:84e5"]),
    ("https://HOOKS.Example.com", ["2606:4700::6810:84e5"]),
    ("https://xn--hks-sna1h.example.com/", ["8.8.8.8"]),
    ("https://8.8.8.8/", ["8.8.8.8"]),
    ("https://[2606:4700::6810:84e5]/", ["2606:4700::6810:84e5"]),
]


def check(url: str, resolved: Sequence[str] | None, allowed: Sequence[str] = ()) -> addresses.Target:
    target = addresses.parse(url)
    literal = addresses.literal(target)
    found = [literal] if literal is not None else resolved
    assert found is not None, "the name should not have been looked up"
    addresses.judge(target, found, allowed=[ipaddress.ip_network(network) for network in allowed])
    return target


@pytest.mark.parametrize(("url", "resolved"), BAD)
def test_what_is_not_a_public_https_address_is_refused(url: str, resolved: list[str] | None) -> None:
    with pytest.raises(addresses.Refused):
        check(url, resolved)


@pytest.mark.parametrize(("url", "resolved"), GOOD)
def test_public_addresses_are_reached(url: str, resolved: list[str]) -> None:
    check(url, resolved)


def test_an_allowed_network_is_reached_by_http_and_on_any_port() -> None:
    target = check("http://collector.plant:8080/in", ["10.1.2.3"], ["10.1.0.0/16"])
    assert (target.scheme, target.port, target.host_header) == ("http", 8080, "collector.plant:8080")


def test_one_address_outside_the_allowed_network_is_enough_to_refuse() -> None:
    with pytest.raises(addresses.Refused, match=r"10\.2\.0\.1"):
        check("https://collector.plant/", ["10.1.2.3", "10.2.0.1"], ["10.1.0.0/16"])


def test_an_allowed_address_in_its_mapped_form_is_not_allowed() -> None:
    with pytest.raises(addresses.Refused):
        check("https://[::ffff:10.1.2.3]/", None, ["10.1.0.0/16"])


def test_the_path_is_a_slash_where_the_url_has_none_and_a_fragment_is_not_sent() -> None:
    assert addresses.parse("https://hooks.example.com#top").path == "/"
    assert addresses.parse("https://hooks.example.com?a=b").path == "/?a=b"


def test_the_host_header_names_the_port_only_where_it_is_not_the_usual_one() -> None:
    assert addresses.parse("https://[2606:4700::1]:8443/").host_header == "[2606:4700::1]:8443"
    assert addresses.parse("https://hooks.example.com:443/").host_header == "hooks.example.com"


def test_the_signature_is_the_hmac_of_timestamp_dot_body() -> None:
    """Against ``printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret``."""
    made = webhook.signature("secret", timestamp="1700000000", body=b'{"a":1}')
    assert made == "t=1700000000,v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("²", 0.0),
        ("9" * 400, exchange.LONGEST_RETRY_AFTER),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60.0),
        ("Sun, 01 Mar 2026 12:01:00 -0000", 60.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", exchange.LONGEST_RETRY_AFTER),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str, seconds: float) -> None:
    assert exchange.retry_after(header, now=datetime(2026, 3, 1, 12, tzinfo=UTC)) == seconds
