"""How the admin looks: its colours, titles and menu, for django-unfold."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

# Tailwind's blue.
BLUE = {
    "50": "oklch(97% .014 254.604)", "100": "oklch(93.2% .032 255.585)", "200": "oklch(88.2% .059 254.128)",
    "300": "oklch(80.9% .105 251.813)", "400": "oklch(70.7% .165 254.624)", "500": "oklch(62.3% .214 259.815)",
    "600": "oklch(54.6% .245 262.881)", "700": "oklch(48.8% .243 264.376)", "800": "oklch(42.4% .199 265.638)",
    "900": "oklch(37.9% .146 265.522)", "950": "oklch(28.2% .091 267.935)",
}  # fmt: skip


def icon(request: HttpRequest) -> str:
    """Where the product's icon is."""
    return static("sensors/favicon.svg")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Bellwether",
    "SITE_HEADER": "Bellwether",
    "SITE_SUBHEADER": "From reading to repair",
    "SITE_SYMBOL": "monitoring",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": icon}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "COLORS": {"primary": BLUE},
    "ACCOUNT": {
        "navigation": [
            {"title": "Where you are logged in", "link": reverse_lazy("my-sessions")},
            {"title": "Second factor", "link": reverse_lazy("second-factor")},
        ]
    },
    "DASHBOARD_CALLBACK": "agents.dashboard.callback",
    "SCRIPTS": [lambda request: static("sensors/strict.js")],
    "STYLES": [lambda request: static("sensors/desk.css")],
    "SIDEBAR": {"show_search": True, "navigation": "agents.menu.navigation"},
}
