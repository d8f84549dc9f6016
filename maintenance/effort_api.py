"""What orders take, over REST: labour, other costs, downtime of machines, and what it comes to."""

from __future__ import annotations

from typing import Any

import django_filters
from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import downtimes, effort, order_costs
from maintenance.api import Acting, example
from maintenance.effort_models import Downtime, Labour, OrderCost
from maintenance.entry_api import TAG, AtOrder, Entries, entering, rows, withdrawing
from maintenance.models import WorkOrder
from maintenance.owned_api import Mine
from sensors.api import Filters
from sensors.models import Equipment
from sensors.policy import READS, takes
from sensors.schema import documented

NOTE: dict[str, Any] = {"max_length": 300, "required": False, "default": "", "allow_blank": True}


class CostsOut(serializers.Serializer[order_costs.Costs]):
    currency = serializers.CharField()
    total = serializers.DecimalField(max_digits=14, decimal_places=2)
    by_kind = serializers.DictField(child=serializers.DecimalField(max_digits=14, decimal_places=2))
    unpriced_minutes = serializers.FloatField(
        help_text="Labour of people who had no rate when it was entered; the total leaves it out."
    )


class Costed(Acting):
    """Work orders, and what they cost."""

    @extend_schema(
        tags=["work-orders"], summary="What a work order costs", responses={200: CostsOut},
        description="Labour by the rates of when it was entered, and all else that was paid for.",
    )  # fmt: skip
    @action(detail=True, methods=["get"], filterset_class=None)
    def costs(self, request: Request, pk: str) -> Response:
        order: WorkOrder = self.get_object()
        return Response(CostsOut(order_costs.of([order.pk], site_id=order.site_id)[order.pk]).data)


@example(order=12, worker=7, from_at="2026-03-03T07:00:00Z", minutes=90, note="Seal replaced")
class LabourIn(AtOrder):
    worker = Mine(
        queryset=User.objects.distinct(), path="memberships__site", required=False, allow_null=True, default=None,
        help_text="Id of who worked; oneself where it is not given. For others an administrator enters it.",
    )  # fmt: skip
    from_at = serializers.DateTimeField()
    until_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="This or minutes.")
    minutes = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=1, max_value=1_440)
    note = serializers.CharField(**NOTE)


class LabourOut(serializers.ModelSerializer[Labour]):
    minutes = serializers.FloatField()

    class Meta:
        model = Labour
        fields = [
            "id", "order", "worker", "from_at", "until_at", "minutes", "hourly_cost", "note", "entered_by",
            "entered_at",
        ]  # fmt: skip


class SpanFilter(Filters):
    ends_after = django_filters.IsoDateTimeFilter(field_name="until_at", lookup_expr="gt")
    starts_before = django_filters.IsoDateTimeFilter(field_name="from_at", lookup_expr="lt")


@documented(TAG, "line of labour", "labour at work orders")
class LabourLines(Entries):
    class LabourFilter(SpanFilter):
        class Meta:
            model = Labour
            fields = ["order", "worker"]

    policy = READS | takes("orders.act", "create", "destroy")
    queryset = rows(Labour, "order")
    serializer_class = LabourOut
    filterset_class = LabourFilter

    @entering(
        "labour", form=LabourIn, shown=LabourOut,
        description="From an instant until another or for some minutes; a person's lines do not overlap. Keeps the "
        "person's hourly cost of now.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        return self.enter(request, LabourIn, lambda order, **said: effort.enter_labour(order.pk, **said))

    @withdrawing("labour", description="One's own; of others an administrator. Not once the order is closed.")
    def destroy(self, request: Request, pk: str) -> Response:
        self.act(request, effort.withdraw_labour)
        return Response(status=204)


@example(order=12, kind="CONTRACTOR", text="Crane, invoice 4711", amount="380.00")
class CostIn(AtOrder):
    kind = serializers.ChoiceField(OrderCost.Kind.choices)
    text = serializers.CharField(max_length=300, help_text="What for, and whose invoice.")
    amount = serializers.DecimalField(max_digits=12, decimal_places=2, min_value=0, help_text="More than nothing.")


class CostOut(serializers.ModelSerializer[OrderCost]):
    class Meta:
        model = OrderCost
        fields = ["id", "order", "kind", "text", "amount", "entered_by", "entered_at"]


@documented(TAG, "other cost", "costs of work orders beside labour and parts")
class OtherCosts(Entries):
    class CostFilter(Filters):
        class Meta:
            model = OrderCost
            fields = ["order", "kind"]

    policy = READS | takes("orders.act", "create", "destroy")
    queryset = rows(OrderCost, "order")
    serializer_class = CostOut
    filterset_class = CostFilter

    @entering(
        "another cost", form=CostIn, shown=CostOut, description="In the site's currency, once the work has begun."
    )
    def create(self, request: Request) -> Response:
        return self.enter(request, CostIn, lambda order, **said: effort.enter_cost(order.pk, **said))

    @withdrawing("another cost", description="By whoever entered it or an administrator, until the order is closed.")
    def destroy(self, request: Request, pk: str) -> Response:
        self.act(request, effort.withdraw_cost)
        return Response(status=204)


@example(machine=3, from_at="2026-03-03T06:10:00Z", reason="BREAKDOWN", is_planned=False, order=12)
class DowntimeIn(serializers.Serializer[Any]):
    machine = Mine(queryset=Equipment.objects.filter(level=Equipment.Level.MACHINE), help_text="Id of a machine.")
    order = Mine(
        queryset=WorkOrder.objects.all(), required=False, allow_null=True, default=None,
        help_text="Id of the machine's order that it belongs to, if any.",
    )  # fmt: skip
    from_at = serializers.DateTimeField()
    until_at = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="Not given while it lasts."
    )
    reason = serializers.ChoiceField(Downtime.Reason.choices)
    is_planned = serializers.BooleanField(required=False, default=False)
    note = serializers.CharField(**NOTE)


@example(until_at="2026-03-03T09:40:00Z")
class DowntimeEnd(serializers.Serializer[Any]):
    until_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Empty: now.")


class DowntimeOut(serializers.ModelSerializer[Downtime]):
    class Meta:
        model = Downtime
        fields = [
            "id", "site", "machine", "order", "from_at", "until_at", "reason", "is_planned", "note", "entered_by",
            "entered_at",
        ]  # fmt: skip


class DowntimeFilter(SpanFilter):
    lasts = django_filters.BooleanFilter(field_name="until_at", lookup_expr="isnull")

    class Meta:
        model = Downtime
        fields = ["site", "machine", "order", "reason", "is_planned"]


@documented(TAG, "downtime of a machine", "downtimes of machines")
class Downtimes(Entries):
    policy = READS | takes("orders.act", "create", "destroy", "end")
    site_path = "site"
    queryset = Downtime.objects.all()
    serializer_class = DowntimeOut
    filterset_class = DowntimeFilter

    @entering(
        "downtime of a machine", form=DowntimeIn, shown=DowntimeOut,
        description="Without an end it lasts. Downtimes of a machine do not overlap.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        def begin(machine: Equipment, *, order: WorkOrder | None, **said: Any) -> Downtime:
            return downtimes.begin(machine, order_id=None if order is None else order.pk, **said)

        return self.enter(request, DowntimeIn, begin, of="machine")

    @extend_schema(
        tags=[TAG], summary="End a downtime", request=DowntimeEnd, responses={200: DowntimeOut},
        description="The machine does again what it is there for.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        return self.changed(request, downtimes.end, DowntimeEnd)

    @withdrawing("a downtime", description="It was entered by mistake: by whoever entered it or an administrator.")
    def destroy(self, request: Request, pk: str) -> Response:
        self.act(request, downtimes.withdraw)
        return Response(status=204)
