"""What every answer tells a browser not to do, beside what Django's own middleware says.

Pages run scripts and styles of this server's files alone, and nothing that stands in a page itself: text that got in as
markup stays dead. Two styles that the admin's theme writes into its pages are let through by their hashes; a test
names the new hash when one of them changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL
from csp.middleware import CSPMiddleware
from django.http import HttpRequest, HttpResponse

THEME_STYLES = (
    "'sha256-fd76BwWMJNLSF9pRsr2iAkg9xtnzWPQ29YM8EU3bVRQ='",  # the colours, from config.appearance
    "'sha256-+MEQ/O07HiRf96s+FyiSQj7xKrHjGPZWCed2MyGUBF4='",  # of lists without actions
)
POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF, *THEME_STYLES],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
    }
}
ADMIN = "/admin/"
FOR_ADMIN = {"script-src": [UNSAFE_EVAL]}
"""The admin's theme draws its pages with Alpine, which makes functions of the attributes of a page."""
NO_PAGE = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""For what is no page and is opened as one all the same."""
ALWAYS = {
    "Permissions-Policy": "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), "
    "payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}
KEPT_NOWHERE = ("/api/", ADMIN, "/act/")
"""What is below these is for whoever asked, and for nobody's cache."""


class ContentPolicy(CSPMiddleware):
    """The policy of pages; everything else has one that lets through nothing."""

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        if str(response.get("Content-Type", "")).startswith("text/html"):
            if request.path_info.startswith(ADMIN):
                response._csp_update = FOR_ADMIN
            return super().process_response(request, response)
        response.setdefault("Content-Security-Policy", NO_PAGE)
        return response


class Headers:
    """The headers that no other middleware has."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in ALWAYS.items():
            response.setdefault(name, value)
        if request.path_info.startswith(KEPT_NOWHERE):
            response.setdefault("Cache-Control", "no-store")
        return response
