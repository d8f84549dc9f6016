"""The parameters of an address: those that the OpenAPI description names, and no others."""

from __future__ import annotations

from typing import Any

from drf_spectacular.plumbing import ComponentRegistry
from rest_framework.request import Request

from sensors.problems import Problem

FIELDS = "fields"
_known: dict[tuple[Any, ...], frozenset[str]] = {}


def check(view: Any, request: Request) -> None:
    """Refuse parameters that the operation does not have: a filter that is misspelt would be left out unseen.

    Raises a ``Problem`` that names each, and those that there are.
    """
    given = request.query_params.keys()
    if not given:
        return
    known = names(view, str(request.method))
    if unknown := [name for name in given if name not in known]:
        may = f"There are: {', '.join(sorted(known))}." if known else "This operation has none."
        errors = [{"detail": f"There is no parameter {name[:50]!r}. {may}", "parameter": name} for name in unknown]
        raise Problem("invalid", "The address has parameters that this operation does not know.", errors=errors)


def names(view: Any, method: str) -> frozenset[str]:
    """The names of the query parameters of an operation."""
    method = "GET" if method == "HEAD" else method
    key = (type(view), getattr(view, "action", None), method)
    found = _known.get(key)
    if found is None:
        found = _known[key] = frozenset(_described(view, method))
    return found


def _described(view: Any, method: str) -> list[str]:
    handler = getattr(view, getattr(view, "action", None) or method.lower(), None)
    said: Any = getattr(handler, "kwargs", {}).get("schema", view.schema)  # as where the description is made
    schema: Any = (said if isinstance(said, type) else type(said))()
    schema.view = view
    schema.registry = ComponentRegistry()
    schema.path, schema.path_regex, schema.path_prefix, schema.method = "/", "/", "/", method
    return [one["name"] for one in schema._get_parameters() if one["in"] == "query"]


def left_out(request: Request, there: list[str]) -> list[str]:
    """Of a representation's fields those that are not asked for. Raises a ``Problem`` where one is none of them."""
    given = request.query_params.get(FIELDS)
    if given is None:
        return []
    wanted = {name.strip() for name in given.split(",")}
    if unknown := sorted(wanted - set(there)):
        said = f"There is no field {unknown[0][:50]!r}. There are: {', '.join(there)}."
        raise Problem("invalid", said, errors=[{"detail": said, "parameter": FIELDS}])
    return [name for name in there if name not in wanted]
