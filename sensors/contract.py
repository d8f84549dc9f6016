"""What every operation of the API keeps to, written once: parameters, sparse fields, versions of rows, requests that
are carried out once, and how an operation says that it will end."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from sensors import asked, bodies, etags, idempotency
from sensors.deprecation import Deprecation

WRITES = ("POST", "PUT", "PATCH", "DELETE")


class Contract(APIView):
    """Base of every view. ``takes_keys``: whether a POST with an idempotency key is kept here with its answer.
    ``looks_up``: whether 404 is also answered of what is named by a parameter or the body, and not by the address."""

    deprecation: Deprecation | None = None
    takes_keys = True
    looks_up = False

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        asked.check(self, request)
        if request.method in WRITES:
            bodies.unpack(request)
        name = str(request.method).lower()
        handler = getattr(self, name, None)
        if request.method in WRITES and handler is not None:
            setattr(self, name, functools.partial(self._carry_out, handler))

    def _carry_out(self, handler: Callable[..., Any], request: Request, *args: Any, **kwargs: Any) -> Any:
        """In one transaction where the client said that something has to hold for it."""
        key = idempotency.key_of(request) if request.method == "POST" and self.takes_keys else ""
        seen = "If-Match" in request.headers and self._is_of_a_row()
        if not key and not seen:
            return self._tagged(handler(request, *args, **kwargs))

        def act() -> Any:
            if seen:
                etags.require(self, request)
            return self._tagged(handler(request, *args, **kwargs))

        with transaction.atomic():
            return idempotency.once(request, key, act) if key else act()

    def _is_of_a_row(self) -> bool:
        return hasattr(self, "retrieve") and bool(self.kwargs)

    def _tagged(self, answer: Any) -> Any:
        tag = etags.of_answer(self, getattr(answer, "data", None)) if answer.status_code in (200, 201) else None
        if tag is not None:
            answer["ETag"] = tag
        return answer

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer: Any = super().finalize_response(request, response, *args, **kwargs)
        if self.deprecation is not None:
            self.deprecation.mark(answer)
        if getattr(self, "action", None) != "retrieve" or asked.FIELDS in request.query_params:
            return answer
        answer = self._tagged(answer)
        seen = request.headers.get("If-None-Match")
        if seen and answer.has_header("ETag") and etags.matches(seen, answer["ETag"]):
            return HttpResponse(status=304, headers={"ETag": answer["ETag"]})
        return answer

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        """With the fields alone that are asked for, where a row or a list of rows is read."""
        made = super().get_serializer(*args, **kwargs)  # type: ignore[misc]  # of the class it is mixed in with
        if getattr(self, "action", None) in ("list", "retrieve"):
            shown = getattr(made, "child", made).fields
            for name in asked.left_out(self.request, list(shown)):
                shown.pop(name)
        return made
