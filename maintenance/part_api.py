"""Spare parts over REST: parts, stores, stock, and the ledger of movements."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import shortages, stores
from maintenance.api import example
from maintenance.owned_api import Mine, Owned, written
from maintenance.part_models import Movement, Part, Stock, Store
from maintenance.refusals import Refused
from sensors import access, policy
from sensors.api import Filters, Scoped
from sensors.models import Site
from sensors.policy import READS, edited_by, takes
from sensors.problems import Problem
from sensors.schema import documented

TAG = "parts"
STORES = Store.objects.all()


def quantity(*, least: str = "0.001", **more: Any) -> serializers.DecimalField:
    return serializers.DecimalField(max_digits=12, decimal_places=3, min_value=Decimal(least), **more)


def reason(*, needed: bool = False) -> serializers.CharField:
    if needed:
        return serializers.CharField(max_length=2_000)
    return serializers.CharField(max_length=2_000, required=False, default="", allow_blank=True)


class Doing(Scoped):
    """Rows of a site on which people do something that may be refused."""

    def do(self, request: Request, form: type[serializers.Serializer[Any]] | None, what: Any) -> Any:
        """Do ``what`` to the row with what the body says, if the role allows it."""
        row = self.get_object()
        user = access.user_of(request)
        policy.require(self, self.site_id_of(row))
        said: dict[str, Any] = {}
        if form is not None:
            body = form(data=request.data, context={**self.get_serializer_context(), "site_id": self.site_id_of(row)})
            body.is_valid(raise_exception=True)
            said = dict(body.validated_data)
        return self.tried(lambda: what(row.pk, actor=user, **said))

    def tried(self, what: Any) -> Any:
        try:
            return what()
        except Refused as error:
            raise Problem("conflict", str(error)) from error

    def site_id_of(self, row: Any) -> int:
        return int(row.site_id)

    def shown(self, pk: int, *, status: int = 200) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=pk)).data, status=status)


@example(store=2, quantity="25", reason="Delivery note 4711")
class Receipt(serializers.Serializer[Any]):
    store = Mine(queryset=STORES, help_text="Id of a store.")
    quantity = quantity()
    reason = reason()


@example(store=2, counted="17", reason="Yearly count")
class Count(serializers.Serializer[Any]):
    store = Mine(queryset=STORES, help_text="Id of a store.")
    counted = quantity(least="0", help_text="How much lies there.")
    reason = reason(needed=True)


@example(store=2, to_store=3, quantity="4", reason="For the stop of line 2")
class Transfer(serializers.Serializer[Any]):
    store = Mine(queryset=STORES, help_text="Where it is taken from.")
    to_store = Mine(queryset=STORES, help_text="Where it is brought.")
    quantity = quantity()
    reason = reason()


@example(
    site=1, number="6205-2RS", name="Deep groove ball bearing", unit="pcs", unit_cost="12.50", lead_time_days=9,
    minimum="4",
)  # fmt: skip
class PartIn(serializers.ModelSerializer[Part]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours; it stays the same.")

    class Meta:
        model = Part
        fields = ["site", "number", "name", "unit", "unit_cost", "lead_time_days", "minimum", "is_active"]
        validators: list[Any] = []


class StockOut(serializers.ModelSerializer[Stock]):
    available = serializers.DecimalField(max_digits=12, decimal_places=3, help_text="What nobody has reserved.")

    class Meta:
        model = Stock
        fields = ["id", "part", "store", "on_hand", "reserved", "available"]


class PartOut(serializers.ModelSerializer[Part]):
    on_hand = serializers.DecimalField(max_digits=12, decimal_places=3, help_text="In all stores together.")
    reserved = serializers.DecimalField(max_digits=12, decimal_places=3)

    class Meta:
        model = Part
        fields = [
            "id", "site", "number", "name", "unit", "unit_cost", "lead_time_days", "minimum", "is_active", "on_hand",
            "reserved", "created_at",
        ]  # fmt: skip


@written(
    TAG, "a part", form=PartIn, shown=PartOut,
    delete="Not where it was moved or is wanted: say that it is not active then.",
)  # fmt: skip
@documented(TAG, "part", "spare parts")
class Parts(Owned, Doing):
    class PartFilter(Filters):
        below_minimum = django_filters.BooleanFilter(method="below", label="Less of it lies there than should.")

        def below(self, rows: QuerySet[Part], name: str, wanted: bool) -> QuerySet[Part]:
            few = shortages.below_minimum(rows)
            return few if wanted else rows.exclude(pk__in=few.values("pk"))

        class Meta:
            model = Part
            fields = ["site", "number", "is_active"]

    policy = edited_by("parts.edit") | takes("parts.edit", "adjust") | takes("parts.act", "receive", "transfer")
    queryset = shortages.with_stock(Part.objects.all())
    serializer_class = PartOut
    filterset_class = PartFilter
    form = PartIn

    @extend_schema(
        tags=[TAG], summary="Receive parts", request=Receipt, responses={200: PartOut},
        description="They have come. Orders that wait for them have them reserved, the most urgent first.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def receive(self, request: Request, pk: str) -> Response:
        return self.shown(self.do(request, Receipt, stores.receive).part_id)

    @extend_schema(
        tags=[TAG], summary="Bring parts to another store", request=Transfer, responses={200: PartOut},
        description="What nobody has reserved.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def transfer(self, request: Request, pk: str) -> Response:
        return self.shown(self.do(request, Transfer, stores.transfer).part_id)

    @extend_schema(
        tags=[TAG], summary="Adjust the stock", request=Count, responses={200: PartOut},
        description="To what was counted; the reason says why they differ. Where less lies there than is reserved, the "
        "least urgent orders lose theirs.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def adjust(self, request: Request, pk: str) -> Response:
        return self.shown(self.do(request, Count, stores.adjust).part_id)


@example(site=1, name="Main store")
class StoreIn(serializers.ModelSerializer[Store]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours; it stays the same.")

    class Meta:
        model = Store
        fields = ["site", "name", "is_active"]
        validators: list[Any] = []


class StoreOut(serializers.ModelSerializer[Store]):
    class Meta:
        model = Store
        fields = ["id", "site", "name", "is_active", "created_at"]


@written(TAG, "a store", form=StoreIn, shown=StoreOut, delete="Not where anything lies or has lain.")
@documented(TAG, "store", "stores")
class Stores(Owned):
    class StoreFilter(Filters):
        class Meta:
            model = Store
            fields = ["site", "name", "is_active"]

    policy = edited_by("parts.edit")
    queryset = Store.objects.all()
    serializer_class = StoreOut
    filterset_class = StoreFilter
    form = StoreIn


@documented(TAG, "stock of a part in a store", "stocks of parts in stores")
class Stocks(Scoped):
    class StockFilter(Filters):
        class Meta:
            model = Stock
            fields = ["part", "store"]

    policy = READS
    site_path = "part__site"
    queryset = Stock.objects.all()
    serializer_class = StockOut
    filterset_class = StockFilter


@documented(TAG, "movement", "movements of stock: a ledger that is never altered")
class Movements(Scoped):
    class MovementOut(serializers.ModelSerializer[Movement]):
        class Meta:
            model = Movement
            fields = [
                "id", "site", "part", "store", "other_store", "kind", "quantity", "on_hand", "value", "order", "reason",
                "actor", "at",
            ]  # fmt: skip

    class MovementFilter(Filters):
        after = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
        before = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

        class Meta:
            model = Movement
            fields = ["site", "part", "store", "kind", "order", "actor"]

    policy = READS
    queryset = Movement.objects.all()
    serializer_class = MovementOut
    filterset_class = MovementFilter
