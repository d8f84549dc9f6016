"""Checklists of orders over REST: attached, answered, detached."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import checklist_answers, checklists
from maintenance.api import example
from maintenance.checklist_models import Checklist, ChecklistItem, ChecklistTemplate
from maintenance.entry_api import TAG, AtOrder, Entries, entering, rows, withdrawing
from maintenance.owned_api import Mine
from sensors.api import Filters
from sensors.policy import READS, takes
from sensors.problems import Problem
from sensors.schema import documented


@example(order=12, template=3)
class ChecklistIn(AtOrder):
    template = Mine(queryset=ChecklistTemplate.objects.all(), help_text="Id of a template of the same site.")


@example(item=31, value=4.1, note="With the pump at full load")
class Answer(serializers.Serializer[Any]):
    item = serializers.IntegerField(help_text="Id of an item of this checklist.")
    passed = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="Of a tick (true: done) or a pass/fail."
    )
    value = serializers.FloatField(required=False, allow_null=True, default=None, help_text="Of a reading.")
    note = serializers.CharField(max_length=1_000, required=False, default="", allow_blank=True)


class ChecklistOut(serializers.ModelSerializer[Checklist]):
    class ChecklistItemOut(serializers.ModelSerializer[ChecklistItem]):
        class Meta:
            model = ChecklistItem
            fields = [
                "id", "position", "text", "kind", "unit", "low", "high", "is_required", "passed", "value", "note",
                "answered_by", "answered_at", "opened_order",
            ]  # fmt: skip

    items = ChecklistItemOut(many=True)

    class Meta:
        model = Checklist
        fields = ["id", "order", "template", "name", "permit_kind", "attached_by", "attached_at", "items"]


@documented(TAG, "checklist of a work order", "checklists of work orders")
class Checklists(Entries):
    class ChecklistFilter(Filters):
        class Meta:
            model = Checklist
            fields = ["order", "template"]

    policy = READS | takes("orders.act", "create", "destroy", "answer")
    queryset = rows(Checklist, "order").prefetch_related("items")
    serializer_class = ChecklistOut
    filterset_class = ChecklistFilter

    @entering(
        "a checklist at a work order", form=ChecklistIn, shown=ChecklistOut,
        description="Copies a template onto an order that is not over. The order is not completed while a required "
        "item is unanswered.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        return self.enter(
            request, ChecklistIn, lambda order, actor, template: checklists.attach(
                order.pk, actor=actor, template=template
            )
        )  # fmt: skip

    @extend_schema(
        tags=[TAG], summary="Answer an item of a checklist", request=Answer, responses={200: ChecklistOut},
        description="While the order is in progress; the last answer counts. Where the item fails, an order for the "
        "machine is requested in the same transaction, once.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def answer(self, request: Request, pk: str) -> Response:
        def answered(checklist_id: int, *, item: int, **said: Any) -> object:
            if not ChecklistItem.objects.filter(pk=item, checklist=checklist_id).exists():
                raise Problem("invalid", f"There is no item {item} in this checklist.")
            return checklist_answers.answer(item, **said)

        return self.changed(request, answered, Answer)

    @withdrawing("a checklist from a work order", description="While nobody answered anything in it.")
    def destroy(self, request: Request, pk: str) -> Response:
        self.act(request, checklists.detach)
        return Response(status=204)
