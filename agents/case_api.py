"""Cases of failed runs over REST."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Count, Q
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents import case_life, cases, dead_letters, doorbell, remedies
from agents.models import Case, CaseTransition, Run
from sensors import access
from sensors.contract import Contract
from sensors.policy import installation
from sensors.problems import Problem

REFUSALS = (cases.NothingWaits, cases.NoReason, case_life.ForbiddenTransition, dead_letters.NotDiscardable)
MOST_RUNS = 1_000
FIELDS = (
    "id", "cause", "stage", "error_class", "title", "status", "likely_cause", "rule", "remedy", "failures", "waiting",
    "attempts", "helped", "due_at", "opened_at", "ended_at",
)  # fmt: skip


class CaseFilter(django_filters.FilterSet):
    class Meta:
        model = Case
        fields = ["status", "stage", "likely_cause", "cause"]


class Cases(Contract, viewsets.ReadOnlyModelViewSet[Case]):
    """Failed work by cause; sites share causes, so only administrators of the installation see it."""

    class CaseOut(serializers.ModelSerializer[Case]):
        waiting = serializers.IntegerField(help_text="Runs that are set aside.")

        class Meta:
            model = Case
            fields = FIELDS

    class CaseDetail(CaseOut):
        class CaseStep(serializers.ModelSerializer[CaseTransition]):
            class Meta:
                model = CaseTransition
                fields = ("from_status", "to_status", "actor", "reason", "at")

        transitions = CaseStep(many=True)
        runs = serializers.SerializerMethodField(help_text=f"The newest {MOST_RUNS}; all of them: runs/?cause=.")

        def get_runs(self, case: Case) -> list[int]:
            return list(case.runs.order_by("-id").values_list("pk", flat=True)[:MOST_RUNS])

        class Meta:
            model = Case
            fields = (*FIELDS, "evidence", "version", "runs", "transitions")

    class CaseReplay(serializers.Serializer[Any]):
        only_one = serializers.BooleanField(default=False, help_text="The oldest run alone, as a trial.")

    class CaseReason(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=2_000, help_text="Kept in the history.")

    policy = installation("cancel", "discard", "replay")
    queryset = Case.objects.annotate(waiting=Count("runs", filter=Q(runs__status=Run.Status.FAILED)))
    filterset_class = CaseFilter

    def get_serializer_class(self) -> Any:
        return self.CaseOut if self.action == "list" else self.CaseDetail

    @extend_schema(
        tags=["cases"], summary="List cases of failed runs", description="One for each cause, newest first.",
        responses={200: CaseOut(many=True)},
    )  # fmt: skip
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(
        tags=["cases"], summary="One case with its history",
        description="What the doctor made of it, who did what and why, and which runs belong to it.",
        responses={200: CaseDetail},
    )  # fmt: skip
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        tags=["cases"], summary="Replay the runs of a case", request=CaseReplay, responses={202: CaseDetail},
        description="All that wait, or the oldest alone as a trial. They go on at the stage where they failed.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        only_one = self._asked(request, self.CaseReplay)["only_one"]
        return self._act(request, lambda key, actor: _replay(key, actor, only_one=only_one), status=202)

    @extend_schema(
        tags=["cases"], summary="Discard the runs of a case", request=CaseReason, responses={200: CaseDetail},
        description="All that wait, with a reason. They stay, and each can still be replayed.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, pk: str) -> Response:
        reason = self._asked(request, self.CaseReason)["reason"]
        return self._act(request, lambda key, actor: remedies.discard(key, actor=actor, reason=reason))

    @extend_schema(
        tags=["cases"], summary="Cancel a case", request=CaseReason, responses={200: CaseDetail},
        description="The doctor leaves it alone from here on; its runs stay set aside.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        reason = self._asked(request, self.CaseReason)["reason"]
        return self._act(request, lambda key, actor: cases.cancel(key, actor=actor, reason=reason))

    def _asked(self, request: Request, form: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        body = form(data=request.data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)

    def _act(self, request: Request, what: Any, *, status: int = 200) -> Response:
        case = self.get_object()
        try:
            what(case.pk, access.user_of(request).get_username())
        except REFUSALS as error:
            raise Problem("conflict", str(error)) from error
        return Response(self.CaseDetail(self.get_queryset().get(pk=case.pk)).data, status=status)


def _replay(case_id: int, actor: str, *, only_one: bool) -> None:
    doorbell.ring_lanes(remedies.replay(case_id, actor=actor, only_one=only_one))
