"""Pages of accounts and groups."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold import forms as unfold_forms
from unfold.admin import ModelAdmin

from sensors import desk, second_factor
from sensors.recorded import Recorded

admin.site.unregister([get_user_model(), Group])
admin.site.unregister([TOTPDevice, StaticDevice])  # They hold secrets; ``second_factor_page`` has what people need.
admin.site.unregister([OutstandingToken, BlacklistedToken])  # ``identity_pages`` has the log-ins they are of.


@admin.register(get_user_model())
class UserPage(Recorded, UserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = unfold_forms.UserChangeForm
    add_form = unfold_forms.UserCreationForm
    change_password_form = unfold_forms.AdminPasswordChangeForm

    actions = ("reset_second_factor",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Without the accounts of keys, which have a page of their own and nothing that people change."""
        return super().get_queryset(request).filter(api_key=None)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return super().get_actions(request) if desk.sees_all(request) else {}

    @admin.action(description="Take the second factor away, so that another one is set up")
    def reset_second_factor(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        had = second_factor.reset(rows)
        self.message_user(request, f"Had one: {had}. They are asked to set one up.", messages.SUCCESS)


@admin.register(Group)
class GroupPage(Recorded, GroupAdmin, ModelAdmin):
    pass
