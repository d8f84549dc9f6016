"""Pages of accounts and groups."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold import forms as unfold_forms
from unfold.admin import ModelAdmin

admin.site.unregister([get_user_model(), Group])
admin.site.unregister([OutstandingToken, BlacklistedToken])  # ``identity_pages`` has the log-ins they are of.


@admin.register(get_user_model())
class UserPage(UserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = unfold_forms.UserChangeForm
    add_form = unfold_forms.UserCreationForm
    change_password_form = unfold_forms.AdminPasswordChangeForm


@admin.register(Group)
class GroupPage(GroupAdmin, ModelAdmin):
    pass
