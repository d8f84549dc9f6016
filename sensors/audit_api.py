"""The audit trail over REST, for who may read it in a site."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from rest_framework import mixins, serializers, viewsets

from sensors import access, permissions
from sensors.api import Filters
from sensors.audit_models import AuditEntry
from sensors.contract import Contract
from sensors.schema import documented


class AuditFilter(Filters):
    after = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    before = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")
    site = django_filters.NumberFilter(field_name="site_id")

    class Meta:
        model = AuditEntry
        fields = ["actor", "action", "target", "credential", "request_id"]


@documented("audit", "entry of the audit trail", "entries of the audit trail")
class Audit(mixins.ListModelMixin, mixins.RetrieveModelMixin, Contract, viewsets.GenericViewSet[AuditEntry]):
    """Of the sites in which whoever asks may read it; what is of no one site is for who looks after all."""

    class AuditEntryOut(serializers.ModelSerializer[AuditEntry]):
        site = serializers.IntegerField(source="site_id", allow_null=True)
        address = serializers.CharField(allow_null=True)
        detail = serializers.JSONField()

        class Meta:
            model = AuditEntry
            fields = [
                "id", "at", "actor", "credential", "address", "request_id", "site", "action", "target", "detail",
                "reference", "number", "previous", "hash",
            ]  # fmt: skip

    policy = {"list": permissions.READ_AUDIT, "retrieve": permissions.READ_AUDIT}
    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntryOut
    filterset_class = AuditFilter

    def get_queryset(self) -> QuerySet[Any]:
        user = access.user_of(self.request)
        if access.is_operator(user):
            return super().get_queryset()
        return super().get_queryset().filter(site__in=access.sites(user, to=permissions.READ_AUDIT))
