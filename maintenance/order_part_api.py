"""What work orders want and use of the stores, over REST: reserved, released, issued, returned."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import reservations, shortages
from maintenance.api import example
from maintenance.models import WorkOrder
from maintenance.owned_api import Mine
from maintenance.part_api import STORES, TAG, Doing, quantity, reason
from maintenance.part_models import OrderPart, Part
from sensors import access, policy
from sensors.api import Filters
from sensors.policy import READS, takes
from sensors.schema import documented


@example(order=12, part=3, store=2, quantity="2")
class Want(serializers.Serializer[Any]):
    order = Mine(queryset=WorkOrder.objects.all(), help_text="Id of a work order.")
    part = Mine(queryset=Part.objects.all(), help_text="Id of a part.")
    store = Mine(queryset=STORES, help_text="Id of a store.")
    quantity = quantity(help_text="On top of what the order wants of it.")


@example(quantity="2")
class Amount(serializers.Serializer[Any]):
    quantity = quantity()


@example(quantity="1", reason="One was enough")
class Back(Amount):
    reason = reason()


class OrderPartOut(serializers.ModelSerializer[OrderPart]):
    used = serializers.DecimalField(max_digits=12, decimal_places=3, help_text="Issued less returned.")
    short = serializers.DecimalField(max_digits=12, decimal_places=3, help_text="Wanted; not reserved, not used.")
    elsewhere = serializers.DecimalField(max_digits=12, decimal_places=3, help_text="Free in other stores of the site.")
    earliest_on = serializers.SerializerMethodField(
        help_text="When all that is short can be there: today where other stores have it, else after the lead time. "
        "Empty: nothing is short, or nobody knows."
    )

    class Meta:
        model = OrderPart
        fields = [
            "id", "order", "part", "store", "wanted", "reserved", "issued", "returned", "used", "short", "elsewhere",
            "earliest_on",
        ]  # fmt: skip

    @extend_schema_field(serializers.DateField(allow_null=True))
    def get_earliest_on(self, row: OrderPart) -> Any:
        when = shortages.of(row, now=timezone.now()).earliest_on if row.short else None
        return None if when is None else when.isoformat()


@documented(TAG, "part of a work order", "parts of work orders: wanted, reserved, used and short")
class OrderParts(Doing):
    class OrderPartFilter(Filters):
        short = django_filters.BooleanFilter(method="is_short", label="Whether any of it is short.")

        def is_short(self, rows: QuerySet[OrderPart], name: str, wanted: bool) -> QuerySet[OrderPart]:
            return rows.filter(shortages.SHORT) if wanted else rows.exclude(shortages.SHORT)

        class Meta:
            model = OrderPart
            fields = ["order", "part", "store"]

    policy = READS | takes("parts.act", "create", "issue", "release", "give_back")
    site_path = "order__site"
    queryset = shortages.with_elsewhere(OrderPart.objects.select_related("part__site", "store", "order"))
    serializer_class = OrderPartOut
    filterset_class = OrderPartFilter

    def site_id_of(self, row: OrderPart) -> int:
        return row.order.site_id

    @extend_schema(
        tags=[TAG], summary="Reserve a part for a work order", request=Want, responses={201: OrderPartOut},
        description="What is free is reserved at once; the rest is short, and reserved as it arrives.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        body = Want(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        said = dict(body.validated_data)
        order: WorkOrder = said.pop("order")
        user = access.user_of(request)
        policy.require(self, order.site_id)
        line = self.tried(lambda: reservations.reserve(order.pk, actor=user, **said))
        return self.shown(line.pk, status=201)

    @extend_schema(
        tags=[TAG], summary="Release what is reserved", request=None, responses={200: OrderPartOut},
        description="The order wants no more of it than it has used.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        return self.shown(self.do(request, None, reservations.release).pk)

    @extend_schema(
        tags=[TAG], summary="Issue a part", request=Amount, responses={200: OrderPartOut},
        description="It leaves the store for the order: first what is reserved for it, then what is free.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def issue(self, request: Request, pk: str) -> Response:
        return self.shown(self.do(request, Amount, reservations.issue_line).pk)

    @extend_schema(
        tags=[TAG], summary="Return a part", request=Back, responses={200: OrderPartOut},
        description="It was not used up and lies in its store again; until the order is closed.",
    )  # fmt: skip
    @action(detail=True, methods=["post"], url_path="return")
    def give_back(self, request: Request, pk: str) -> Response:
        return self.shown(self.do(request, Back, reservations.give_back).pk)
