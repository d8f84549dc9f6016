from __future__ import annotations

import pytest
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from sensors.negotiation import ByAccept


class Table(BaseRenderer):
    media_type = "text/csv"
    format = "csv"


@pytest.mark.parametrize("renderers", [[JSONRenderer()], [JSONRenderer(), Table()], [Table(), JSONRenderer()]])
@pytest.mark.parametrize("query", ["", "?format=csv", "?format=json", "?a=1"])
@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "text/csv", "text/*;q=0.5, */*;q=0.1", "text/html", "garbage", ""]
)
def test_the_short_way_ends_where_the_long_one_does(
    accept: str | None, query: str, renderers: list[BaseRenderer]
) -> None:
    headers = {} if accept is None else {"HTTP_ACCEPT": accept}

    def chosen(negotiation: DefaultContentNegotiation) -> object:
        try:
            return negotiation.select_renderer(Request(APIRequestFactory().get(f"/{query}", **headers)), renderers)
        except Exception as error:
            return type(error)

    assert chosen(ByAccept()) == chosen(DefaultContentNegotiation())
