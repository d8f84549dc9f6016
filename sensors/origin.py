"""Where a request comes from, behind as many proxies as were declared."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest

IPV6_SITE = 64
"""One subscriber has so many leading bits of IPv6; the rest is any number that it likes."""


def address(request: HttpRequest) -> str | None:
    """The client's address, as text in its short form; None where there is none.

    Each proxy adds to X-Forwarded-For whom it was asked by. What the last ``TRUSTED_PROXIES`` of them wrote is
    believed, and nothing before it: that is whatever the client sent. A request that has fewer came around them.
    """
    hops = settings.TRUSTED_PROXIES
    told = [one.strip() for one in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")] if hops else []
    return (len(told) >= hops > 0 and _plain(told[-hops])) or _plain(request.META.get("REMOTE_ADDR") or "")


def network(request: HttpRequest) -> str:
    """Whom a limit counts: the address, and of IPv6 the network that one subscriber has."""
    found = address(request)
    if found is None or ":" not in found:
        return found or "unknown"
    return str(ipaddress.ip_network((found, IPV6_SITE), strict=False))


def _plain(told: str) -> str | None:
    """Without port, brackets and zone; an IPv4 address in IPv6's clothes is that IPv4 address."""
    if told.startswith("["):
        told = told[1:].partition("]")[0]
    elif told.count(":") == 1:
        told = told.partition(":")[0]
    try:
        found = ipaddress.ip_address(told.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
