"""Many writes in one request, with a result for each: what a list of rows offers singly it offers in numbers too.

Every item is carried out as if it had come alone: by the same view, with the same permission looked at in its site and
the same checks, in a transaction of its own. What is refused of one holds up no other. With an idempotency key all of
them commit together with the answer, each behind its own savepoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from django.db import connection, transaction
from drf_spectacular.utils import (
    OpenApiExample,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request, clone_request
from rest_framework.response import Response

from sensors import audit, audit_requests, problems
from sensors.problems import Problem

log = structlog.get_logger(__name__)

MOST = 100
LARGEST_ID = 2**63 - 1
CREATE, CHANGE = "create", "partial_update"
"""The one action that is of no row: its items have no id; and the one whose items say what changes alone."""
ALL, SOME = 200, 207
ABOUT = (
    f"One action, and at most {MOST} items. Each is carried out as if it had come alone, in the order given and in a "
    "transaction of its own: the same permission, the same checks, the same history. What is refused of one holds up "
    "no other. 200 where all were done; 207 where some were refused, each with its problem, whose pointers are of this "
    "body."
)

Form = type[serializers.Serializer[Any]] | None


class BulkResult(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="Place of the item, from 0.")
    status = serializers.IntegerField(help_text="What it would have been answered with alone.")
    id = serializers.IntegerField(required=False, help_text="Of the row, where it was done.")
    problem = problems.Shape(required=False, help_text="Why not, where it was not done.")


class BulkResults(serializers.Serializer[Any]):
    done = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = BulkResult(many=True, help_text="One for each item, in their order.")


def in_bulk(one: str, many: str, *, tag: str, takes: str, example: Mapping[str, Any], **forms: Form | str) -> Any:
    """Give a view ``POST .../bulk/`` for some of its actions, each with what its body has to say: a form, the name of
    one within the view, or None.

    ``takes``: a permission that everybody has who has that of one of the actions.
    """
    name = "".join(word.title() for word in one.split())

    def decorate(view: Any) -> Any:
        offered: dict[str, serializers.Serializer[Any] | type[serializers.Serializer[Any]]] = {
            of: _described(name, of, getattr(view, form) if isinstance(form, str) else form)
            for of, form in forms.items()
        }

        @extend_schema(
            tags=[tag], summary=f"Act on many {many}", description=ABOUT, filters=False,
            request=PolymorphicProxySerializer(f"Bulk{name}", offered, resource_type_field_name="action"),
            responses={ALL: BulkResults, SOME: BulkResults},
            examples=[OpenApiExample("Example", example, request_only=True)],
        )  # fmt: skip
        @action(detail=False, methods=["post"], pagination_class=None, filterset_class=None)
        def bulk(self: Any, request: Request) -> Response:
            return carry_out(self, request, tuple(forms))

        view.bulk, view.bulk_actions, view.policy = bulk, tuple(forms), view.policy | {"bulk": takes}
        return view

    return decorate


def _described(name: str, of: str, form: Form) -> type[serializers.Serializer[Any]]:
    """The body of a request for one action, for the OpenAPI description."""
    base: Any = form or serializers.Serializer
    said = f"{name}{of.title().replace('_', '')}"

    def fields(self: Any) -> dict[str, Any]:
        found = base.get_fields(self)
        for field in found.values() if of == CHANGE else ():
            field.required = False
        key = {} if of == CREATE else {"id": serializers.IntegerField(min_value=1, max_value=LARGEST_ID)}
        return key | dict(found)

    item = type(f"Bulk{said}Item", (base,), {"get_fields": fields})
    word = extend_schema_field({"type": "string", "const": of})(type("Word", (serializers.CharField,), {}))
    items = serializers.ListField(child=item(), min_length=1, max_length=MOST)
    return type(f"Bulk{said}", (serializers.Serializer,), {"action": word(), "items": items})


def carry_out(view: Any, request: Request, offered: Sequence[str]) -> Response:
    """Do to each item what is asked for. Raises a ``Problem`` where the body as a whole is none."""
    of, items = _read(request.data, offered)
    alone = _alone(view, request, of)
    alone.check_permissions(alone.request)
    results = [_result(alone, index, item) for index, item in enumerate(items)]
    if any(result["status"] == status.HTTP_403_FORBIDDEN for result in results):
        audit_requests.refused(audit.REFUSED, request._request, status=status.HTTP_403_FORBIDDEN)
    refused = sum("problem" in result for result in results)
    said = {"done": len(results) - refused, "refused": refused, "results": results}
    return Response(said, status=SOME if refused else ALL)


def _read(body: Any, offered: Sequence[str]) -> tuple[str, list[dict[str, Any]]]:
    if not isinstance(body, dict):
        raise _invalid("The body is an object with an action and items.", "#")
    if strange := sorted(set(body) - {"action", "items"}):
        raise _invalid("There are action and items, and nothing else.", f"#/{problems.escaped(strange[0])}")
    of, items = body.get("action"), body.get("items")
    if not isinstance(of, str) or of not in offered:
        raise _invalid(f"It is one of {', '.join(offered)}.", "#/action")
    if not isinstance(items, list) or not 1 <= len(items) <= MOST:
        raise _invalid(f"It is a list of 1 to {MOST} items.", "#/items")
    return of, items


def _invalid(detail: str, pointer: str) -> Problem:
    return Problem("invalid", "See errors.", errors=[{"detail": detail, "pointer": pointer}])


def _alone(view: Any, request: Request, of: str) -> Any:
    """The view as it would be asked for the action singly; what its answers show is left out."""
    alone = type(view)()
    alone.request, alone.args, alone.kwargs, alone.format_kwarg = clone_request(request, "POST"), (), {}, None
    alone.action, alone.action_map, alone.of_many = of, {"post": of}, True
    return alone


def _result(alone: Any, index: int, item: Any) -> dict[str, Any]:
    try:
        with transaction.atomic():
            answer = _answer(alone, item)
    except Exception as error:
        if connection.needs_rollback:  # what the items before it did is gone with it
            raise
        return {"index": index, **_problem(error, alone, index)}
    key = answer.data["id"] if alone.action == CREATE else item["id"]
    return {"index": index, "status": answer.status_code, "id": key}


def _answer(alone: Any, item: Any) -> Response:
    if not isinstance(item, dict):
        raise _invalid("An item is an object.", "#")
    body, keys = dict(item), {}
    if alone.action != CREATE:
        key = body.pop("id", None)
        if not isinstance(key, int) or isinstance(key, bool) or not 0 < key <= LARGEST_ID:
            raise _invalid("It is the id of a row.", "#/id")
        keys = {"pk": str(key)}
    alone.kwargs = keys
    alone.request._full_data = body
    handler: Callable[..., Response] = getattr(alone, alone.action)
    return handler(alone.request, **keys)


def _problem(error: Exception, alone: Any, index: int) -> dict[str, Any]:
    """Status and problem of an item that was refused."""
    told = problems.handle(error, {"request": alone.request})
    if told is None:
        log.exception("api.bulk-item-failed", action=alone.action, index=index)
        told = problems.handle(Problem("internal", problems.LOGGED), {"request": alone.request})
    assert told is not None
    body: dict[str, Any] = told.data
    if told.status_code == status.HTTP_404_NOT_FOUND:
        body["errors"] = [{"detail": body["detail"], "pointer": "#/id"}]
    for one in body.get("errors", ()):
        if "pointer" in one:
            one["pointer"] = f"#/items/{index}{one['pointer'].removeprefix('#')}"
    return {"status": told.status_code, "problem": body}
