"""Approval policies and delegations over REST."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import approval_book, approvers
from maintenance.api import example
from maintenance.approval_models import ApprovalPolicy, Delegation
from maintenance.refusals import Refused
from sensors import access, policy
from sensors.api import Filters, Scoped
from sensors.policy import READS, edited_by, takes
from sensors.problems import Problem
from sensors.schema import documented


class PolicyFilter(Filters):
    class Meta:
        model = ApprovalPolicy
        fields = ["site", "maintenance_type", "priority", "confidence", "answer", "is_trial"]


def _person(name: str | None, form: serializers.BaseSerializer[Any]) -> User | None:
    """Somebody who works in a site of whoever asks, by user name."""
    if name is None:
        return None
    mine = access.sites(access.user_of(form.context["request"]))
    found = User.objects.filter(username=name, is_active=True, memberships__site__in=mine).distinct().first()
    if found is None:
        raise serializers.ValidationError(f"Nobody in your sites has the user name {name!r}.")
    return found


class PolicySays(serializers.ModelSerializer[ApprovalPolicy]):
    approver = serializers.CharField(
        max_length=150, required=False, allow_null=True, help_text="User name; null: the administrators of the site."
    )
    then_approver = serializers.CharField(
        max_length=150, required=False, allow_null=True, help_text="To whom it is handed on."
    )

    class Meta:
        model = ApprovalPolicy
        fields = [*approval_book.SAYS]
        validators: list[Any] = []

    def validate_approver(self, name: str | None) -> User | None:
        return _person(name, self)

    def validate_then_approver(self, name: str | None) -> User | None:
        return _person(name, self)


@example(
    site=1, maintenance_type="PREDICTIVE", confidence="DOUBTFUL", answer="WAIT", approver="maria", wait_minutes=480,
    then="REMIND", then_approver="joao", reminders=3,
)  # fmt: skip
class PolicyLaid(PolicySays):
    site = serializers.IntegerField(help_text="Id of a site of yours.")

    class Meta(PolicySays.Meta):
        fields = [*approval_book.SCOPE, *approval_book.SAYS]

    def validate_site(self, key: int) -> int:
        return _site(key, access.user_of(self.context["request"]))


def _site(key: int, user: Any) -> int:
    """Whether a site of another one exists is not told."""
    if not access.sites(user).filter(pk=key).exists():
        raise serializers.ValidationError(f"There is no site {key} among yours.")
    return key


def _told(error: ValidationError) -> serializers.ValidationError:
    said = error.message_dict.items()
    return serializers.ValidationError({("non_field_errors" if k == NON_FIELD_ERRORS else k): v for k, v in said})


@documented("work-orders", "approval policy", "approval policies: what goes ahead by itself, and what waits for whom")
class Policies(Scoped):
    class ApprovalPolicyOut(serializers.ModelSerializer[ApprovalPolicy]):
        approver = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)
        then_approver = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)

        class Meta:
            model = ApprovalPolicy
            fields = [
                "id", *approval_book.SCOPE, *approval_book.SAYS, "revision", "updated_by", "updated_at", "created_at"
            ]  # fmt: skip

    policy = edited_by("settings.edit")
    queryset = ApprovalPolicy.objects.select_related("approver", "then_approver")
    serializer_class = ApprovalPolicyOut
    filterset_class = PolicyFilter

    @extend_schema(
        tags=["work-orders"], summary="Lay down an approval policy", request=PolicyLaid,
        responses={201: ApprovalPolicyOut},
        description="For a scope that has none yet. What waits is looked at anew.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        body = PolicyLaid(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        said = dict(body.validated_data)
        row = ApprovalPolicy(site_id=said.pop("site"), **said)
        return Response(self._stored(request, row, approval_book.save), status=201)

    @extend_schema(
        tags=["work-orders"], summary="Change an approval policy", request=PolicySays(partial=True),
        responses={200: ApprovalPolicyOut},
        description="What it says; what it is for stays as it is. What waits is asked for anew by what it says now.",
    )  # fmt: skip
    def partial_update(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        body = PolicySays(row, data=request.data, partial=True, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        return Response(self._stored(request, row, partial(approval_book.change, said=body.validated_data)))

    @extend_schema(
        tags=["work-orders"], summary="Delete an approval policy", responses={204: None},
        description="What was decided by it stays on record.",
    )  # fmt: skip
    def destroy(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        user = access.user_of(request)
        policy.require(self, row.site_id)
        approval_book.delete(row, actor=user)
        return Response(status=204)

    def _stored(self, request: Request, row: ApprovalPolicy, store: Callable[..., ApprovalPolicy]) -> Any:
        user = access.user_of(request)
        policy.require(self, row.site_id)
        try:
            saved = store(row, actor=user)
        except ValidationError as error:
            raise _told(error) from error
        return self.get_serializer(saved).data


class DelegationFilter(Filters):
    class Meta:
        model = Delegation
        fields = ["site", "giver", "taker"]


@example(site=1, taker="joao", until_at="2026-08-17T06:00:00Z", reason="Holiday")
class Given(serializers.Serializer[Any]):
    site = serializers.IntegerField(help_text="Id of a site of yours.")
    taker = serializers.CharField(max_length=150, help_text="User name of somebody who works there.")
    from_at = serializers.DateTimeField(required=False, help_text="Without: from now on.")
    until_at = serializers.DateTimeField()
    reason = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)

    def validate_taker(self, name: str) -> User | None:
        return _person(name, self)

    def validate_site(self, key: int) -> int:
        return _site(key, access.user_of(self.context["request"]))


@documented("work-orders", "delegation", "delegations: who approves beside whom")
class Delegations(Scoped):
    class DelegationOut(serializers.ModelSerializer[Delegation]):
        giver = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
        taker = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)

        class Meta:
            model = Delegation
            fields = ["id", "site", "giver", "taker", "from_at", "until_at", "reason", "ended_at", "created_at"]

    policy = READS | takes("orders.approve", "create") | takes("orders.act", "end")
    queryset = Delegation.objects.select_related("giver", "taker")
    serializer_class = DelegationOut
    filterset_class = DelegationFilter

    @extend_schema(
        tags=["work-orders"], summary="Delegate approval", request=Given, responses={201: DelegationOut},
        description="Somebody may approve in this site beside whoever asks, who has to be its administrator.",
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        body = Given(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        said, user = {"from_at": timezone.now()} | body.validated_data, access.user_of(request)
        site_id = said.pop("site")
        policy.require(self, site_id)
        try:
            row = approvers.delegate(Delegation(site_id=site_id, **said), actor=user)
        except ValidationError as error:
            raise _told(error) from error
        return Response(self.get_serializer(row).data, status=201)

    @extend_schema(
        tags=["work-orders"], summary="End a delegation", request=None, responses={200: DelegationOut},
        description="By who gave it, who took it, or an administrator of the site.",
    )  # fmt: skip
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        user = access.user_of(request)
        policy.require(self, row.site_id)
        try:
            approvers.end(row.pk, actor=user)
        except Refused as error:
            raise Problem("conflict", str(error)) from error
        return Response(self.get_serializer(self.get_queryset().get(pk=row.pk)).data)
