"""What the audit trail learns of requests themselves: log-ins, refusals, files that were given out."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any, cast

import structlog
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import Error, transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from sensors import access, audit, origin
from sensors.audit import Act
from sensors.audit_bound import Bound
from sensors.permissions import READ

log = structlog.get_logger(__name__)

REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
OTHERS = "too many different ones"
SITE = "audit_site"
bound = Bound()


def look(request: HttpRequest, response: HttpResponse) -> None:
    """At the end of a request: record what was refused and what was given out, and what was only counted before."""
    if (counted := bound.close(now=time.monotonic())) is not None:
        _record_counted(*counted)
    if response.status_code in REFUSALS:
        if not hasattr(request, "login_failed"):
            refused(audit.REFUSED, request, status=response.status_code)
    elif response.status_code == HTTPStatus.OK and _is_file(response):
        site = getattr(response, SITE, None) or _site_asked(request) or audit.site_of(getattr(request, "user", None))
        said = {"file": response["Content-Disposition"][: audit.MOST_TEXT], "query": _query(request)}
        _write([Act(audit.EXPORTED, request.path_info, site_id=site, detail=said)])


def of_site(response: HttpResponseBase, site_id: int) -> None:
    """Say of which site a file is that is given out, where the address does not."""
    setattr(response, SITE, site_id)


def refused(action: str, request: HttpRequest, *, status: int = 0, actor: str | None = None) -> None:
    """Record it, or count it where the same was recorded within the minute."""
    name = audit.one_line(audit.actor_of(request) if actor is None else actor)[: audit.MOST_ACTOR]
    target = f"{request.method} {request.path_info}"[: audit.MOST_TARGET]
    key = (action, name, origin.address(request), audit.credential_of(request), status, _kind(request))
    if bound.is_first(key, now=time.monotonic()):
        user = getattr(request, "user", None)
        _write([Act(action, target, actor=name, site_id=audit.site_of(user), detail=_status(status))])


def _record_counted(counted: dict[Any, int], others: int) -> None:
    """Of whom a minute ago more was refused than is recorded, how many times."""
    acts = [
        Act(
            action, kind, actor=name, credential=how, address=address,
            detail=_status(status) | {"times_more": times},
        )
        for (action, name, address, how, status, kind), times in counted.items()
    ]  # fmt: skip
    if others:
        acts.append(Act(audit.REFUSED, OTHERS, actor="", credential=audit.NONE, detail={"times_more": others}))
    with audit.within(None):  # the request at hand has nothing to do with it
        _write(acts)


def _status(status: int) -> dict[str, Any]:
    return {"status": int(status)} if status else {}


def _kind(request: HttpRequest) -> str:
    """The pattern of the address, so that a thousand ids are one refusal."""
    match = request.resolver_match
    return f"{request.method} {match.route}" if match is not None else f"{request.method} {OTHERS}"


def _is_file(response: HttpResponse) -> bool:
    return str(response.get("Content-Disposition", "")).startswith("attachment")


def _site_asked(request: HttpRequest) -> int | None:
    """The one in the address, where whoever asks may read it: nobody writes into the trail of another site."""
    said, user = request.GET.get("site", ""), getattr(request, "user", None)
    if user is None or not (said.isascii() and said.isdigit() and len(said) < 19):
        return None
    return int(said) if access.may(user, int(said), to=READ) else None


def _query(request: HttpRequest) -> str:
    return audit.one_line(request.META.get("QUERY_STRING", ""))[: audit.MOST_TEXT]


def _write(acts: list[Act]) -> None:
    """An answer is not withheld because this could not be written; the log has it in any case."""
    try:
        with transaction.atomic():
            audit.record(acts)
    except Error as error:
        log.warning("audit.not-written", acts=[str(act)[: audit.MOST_TEXT] for act in acts], error=str(error).strip())


# Django's own signals of log-ins: whoever asks for a password, they are sent.


@receiver(user_logged_in)
def _logged_in(sender: Any, request: HttpRequest | None, user: User, **_: Any) -> None:
    logged_in(user.get_username())


def logged_in(name: str) -> None:
    """Somebody gave a name and its password."""
    user = User.objects.filter(username=name).first()
    _write([Act(audit.LOGGED_IN, actor=name, credential=audit.PASSWORD, site_id=audit.site_of(user))])


@receiver(user_logged_out)
def _logged_out(sender: Any, request: HttpRequest | None, user: User | None, **_: Any) -> None:
    if user is not None:
        _write([Act(audit.LOGGED_OUT, actor=user.get_username(), site_id=audit.site_of(user))])


@receiver(user_login_failed)
def _login_failed(sender: Any, credentials: dict[str, Any], request: Any = None, **_: Any) -> None:
    """Django has starred what is secret in the credentials; of them only the name is taken."""
    name = str(credentials.get("username") or "")
    if request is None:
        _write([Act(audit.LOGIN_FAILED, actor=name, credential=audit.PASSWORD)])
        return
    plain = cast(HttpRequest, getattr(request, "_request", request))  # DRF's request is around Django's
    setattr(plain, "login_failed", True)  # noqa: B010 - the request carries it, its class does not know it
    refused(audit.LOGIN_FAILED, plain, actor=name)


class PasswordChanges:
    """One of ``AUTH_PASSWORD_VALIDATORS``, which Django tells of each new password, wherever it was set."""

    def validate(self, password: str, user: Any = None) -> None:
        """Nothing to ask of it here."""

    def get_help_text(self) -> str:
        return ""

    def password_changed(self, password: str, user: User) -> None:
        audit.record([Act(audit.PASSWORD_CHANGED, f"user/{user.get_username()}", site_id=audit.site_of(user))])
