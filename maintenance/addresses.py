"""Which addresses a webhook may reach. Pure: nothing is resolved or connected here.

Users name the targets, and the worker stands inside the plant's network: without a judge, a webhook would be a way to
speak to its databases, controllers and cloud metadata.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
PUBLIC_PORTS = (443, 8443)
DEFAULT_PORTS = {"https": 443, "http": 80}
URL_LIMIT = 500
HOST_LIMIT = 253

HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\Z")
NUMBER = re.compile(r"(0[xX][0-9A-Fa-f]*|[0-9]+)\Z")
PLAIN = re.compile(r"[!-\[\]-~]+\Z")
"""Visible ASCII but the backslash, which parsers read in different ways."""

GLOBAL_V6 = IPv6Network("2000::/3")
NOT_GLOBAL: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        # IANA special-purpose registries, written out: what Python's is_global says differs between its releases.
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        # Within 2000::/3: protocol assignments with Teredo, documentation, and 6to4, which holds an IPv4 address.
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip


class Refused(Exception):
    """The target may not be reached; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. ``host`` is a name or an address in its plain form, without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str) -> Target:
    """Raises ``Refused`` for whatever two parsers could read in two ways."""
    if len(url) > URL_LIMIT or not PLAIN.match(url):
        raise Refused("the URL is too long, or holds characters that must be escaped")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused(f"the URL cannot be read: {error}") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise Refused("the URL must begin with https://")
    if "@" in parts.netloc:
        raise Refused("the URL must not hold a user name or password")
    if port == 0:
        raise Refused("port 0 cannot be reached")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, _host(parts.hostname or ""), port or DEFAULT_PORTS[parts.scheme], path)


def _host(host: str) -> str:
    literal = _literal(host)
    if literal is not None:
        return literal
    if len(host) > HOST_LIMIT or not HOST_NAME.match(host):
        raise Refused("the URL's host is not a name")
    if NUMBER.match(host.rsplit(".", 1)[-1]):
        raise Refused("the URL's host is a number: write an address as four decimal numbers")
    return host.lower()


def _literal(host: str) -> str | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise Refused("the address has a zone")
    return str(address)


def literal(target: Target) -> str | None:
    """The target's address where the URL names one, so that there is nothing to resolve."""
    return _literal(target.host)


def judge(target: Target, resolved: Sequence[str], *, allowed: Sequence[Network]) -> None:
    """Raises ``Refused`` unless every address the target resolved to may be reached.

    A public address is reached by https on a public port. ``allowed``: networks that may be reached in any way,
    because the operator named them.
    """
    if not resolved:
        raise Refused(f"{target.host} has no address")
    addresses = [ipaddress.ip_address(text) for text in resolved]
    if all(_within(address, allowed) for address in addresses):
        return
    for address in addresses:
        if not _within(address, allowed) and not is_global(address):
            raise Refused(f"{target.host} is at {address}, which is not a public address")
    if target.scheme != "https":
        raise Refused("a public address is reached by https only")
    if target.port not in PUBLIC_PORTS:
        raise Refused(f"port {target.port} is not one of {', '.join(map(str, PUBLIC_PORTS))}")


def is_global(address: IPv4Address | IPv6Address) -> bool:
    """Whether this is the address of one machine on the public internet.

    IPv6 forms that carry an IPv4 address (mapped, 64:ff9b::/96, 6to4, Teredo) are not.
    """
    if isinstance(address, IPv6Address) and (address not in GLOBAL_V6 or address.scope_id is not None):
        return False
    return not _within(address, NOT_GLOBAL)


def _within(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
