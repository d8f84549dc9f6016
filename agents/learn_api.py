"""Training windows over REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from agents import learn
from agents.training_windows import LABEL, ORDER
from sensors import access
from sensors.contract import Contract
from sensors.models import Label
from sensors.paging import ByNumberPagination
from sensors.policy import READS


class TrainingWindows(Contract, viewsets.GenericViewSet[Any]):
    class TrainingWindowOut(serializers.Serializer[Any]):
        site = serializers.IntegerField()
        machine = serializers.IntegerField()
        tag = serializers.CharField()
        sensor = serializers.IntegerField(allow_null=True, help_text="Null: every sensor of the machine.")
        external_id = serializers.CharField(allow_blank=True)
        from_at = serializers.DateTimeField()
        to_at = serializers.DateTimeField(help_text="It belongs to it.")
        kind = serializers.ChoiceField(Label.Kind.choices)
        failure_mode = serializers.CharField(allow_blank=True, help_text="Empty where none is named.")
        said_by = serializers.ChoiceField([LABEL, ORDER])
        said_by_id = serializers.IntegerField(help_text="Of the label or the work order.")
        used = serializers.BooleanField(help_text="Whether it teaches anything.")
        left_out = serializers.CharField(allow_blank=True, help_text="Why it does not.")

    class Asked(serializers.Serializer[Any]):
        site = serializers.IntegerField(required=False, help_text="Of one of your sites alone.")
        machine = serializers.IntegerField(required=False)
        kind = serializers.ChoiceField(Label.Kind.choices, required=False)
        said_by = serializers.ChoiceField([LABEL, ORDER], required=False)
        used = serializers.BooleanField(required=False, allow_null=True, default=None)

    policy = READS
    queryset = Label.objects.none()  # of its own type only where the schema is made; the rows are computed
    serializer_class = TrainingWindowOut
    pagination_class = ByNumberPagination

    @extend_schema(
        tags=["ml"], summary="List training windows", parameters=[Asked], responses={200: TrainingWindowOut(many=True)},
        description="What labels and finished work orders of your sites say of which time, by machine and time, cut at "
        "the starts of regimes. What is contradicted is there too, with the reason.",
    )  # fmt: skip
    def list(self, request: Request) -> Response:
        asked = self.Asked(data=request.query_params)
        asked.is_valid(raise_exception=True)
        wanted = {name: value for name, value in asked.validated_data.items() if value is not None}
        sites = access.sites(access.user_of(request))
        if "site" in wanted:
            sites = sites.filter(pk=wanted["site"])
        rows = [learn.plain(one) for one in learn.windows(list(sites.values_list("pk", flat=True)))]
        chosen = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
        return self.get_paginated_response(self.paginate_queryset(chosen))
