"""Tools over REST: which there are, who has them, issued and taken back."""

from __future__ import annotations

from typing import Any

import django_filters
from django.contrib.auth.models import User
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import tools
from maintenance.api import Assignment, example
from maintenance.models import WorkOrder
from maintenance.owned_api import Mine, Owned, written
from maintenance.part_api import TAG, Doing
from maintenance.part_models import Store, Tool, ToolLoan
from sensors.api import Filters, Scoped
from sensors.models import Site
from sensors.policy import READS, edited_by, takes
from sensors.schema import documented


class LoanOut(serializers.ModelSerializer[ToolLoan]):
    class Meta:
        model = ToolLoan
        fields = ["id", "tool", "holder", "order", "issued_by", "issued_at", "returned_by", "returned_at", "remark"]


@example(site=1, store=2, number="T-17", name="Shaft alignment laser")
class ToolIn(serializers.ModelSerializer[Tool]):
    site = Mine(queryset=Site.objects.all(), path="pk", help_text="Id of a site of yours; it stays the same.")
    store = Mine(queryset=Store.objects.all(), help_text="Where it belongs.")

    class Meta:
        model = Tool
        fields = ["site", "store", "number", "name", "is_active"]
        validators: list[Any] = []


class ToolOut(serializers.ModelSerializer[Tool]):
    out = serializers.SerializerMethodField(help_text="Who has it; empty: it is in its store.")

    class Meta:
        model = Tool
        fields = ["id", "site", "store", "number", "name", "is_active", "out", "created_at"]

    @extend_schema_field(LoanOut(allow_null=True))
    def get_out(self, row: Any) -> Any:
        return LoanOut(row.out[0]).data if row.out else None


@example(assignee="maria", order=12)
class Lending(Assignment):
    order = Mine(
        queryset=WorkOrder.objects.all(), required=False, allow_null=True, default=None, help_text="Id of a work order."
    )


@example(remark="The battery is flat.")
class Remark(serializers.Serializer[Any]):
    remark = serializers.CharField(max_length=2_000, required=False, default="", allow_blank=True)


def _lend(tool_id: int, *, actor: User, assignee: User, order: WorkOrder | None) -> ToolLoan:
    return tools.issue(tool_id, holder=assignee, actor=actor, order=order)


@written(TAG, "a tool", form=ToolIn, shown=ToolOut, delete="Not where it was ever issued: say that it is not active.")
@documented(TAG, "tool", "tools")
class Tools(Owned, Doing):
    class ToolFilter(Filters):
        is_out = django_filters.BooleanFilter(method="somebody_has_it", label="Whether somebody has it.")

        def somebody_has_it(self, rows: QuerySet[Tool], name: str, wanted: bool) -> QuerySet[Tool]:
            out = ToolLoan.objects.filter(returned_at=None).values("tool")
            return rows.filter(pk__in=out) if wanted else rows.exclude(pk__in=out)

        class Meta:
            model = Tool
            fields = ["site", "store", "number", "is_active"]

    policy = edited_by("parts.edit") | takes("parts.act", "issue", "take_back")
    queryset = tools.with_holder(Tool.objects.all())
    serializer_class = ToolOut
    filterset_class = ToolFilter
    form = ToolIn

    @extend_schema(
        tags=[TAG], summary="Issue a tool", request=Lending, responses={200: ToolOut},
        description="To somebody who works in the site, for a work order or without; one at a time has it.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def issue(self, request: Request, pk: str) -> Response:
        return self.shown(self.do(request, Lending, _lend).tool_id)

    @extend_schema(tags=[TAG], summary="Take back a tool", request=Remark, responses={200: ToolOut})
    @action(detail=True, methods=["post"], url_path="take-back")
    def take_back(self, request: Request, pk: str) -> Response:
        return self.shown(self.do(request, Remark, tools.take_back).tool_id)


@documented(TAG, "loan of a tool", "loans of tools: who had what from when to when")
class ToolLoans(Scoped):
    class LoanFilter(Filters):
        is_out = django_filters.BooleanFilter(field_name="returned_at", lookup_expr="isnull", label="Not back yet.")

        class Meta:
            model = ToolLoan
            fields = ["tool", "holder", "order"]

    policy = READS
    site_path = "tool__site"
    queryset = ToolLoan.objects.all()
    serializer_class = LoanOut
    filterset_class = LoanFilter
