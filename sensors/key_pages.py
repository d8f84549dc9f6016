"""Pages of the keys of programs and devices: made and changed by who may, and the secret shown once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold import widgets
from unfold.decorators import action

from sensors import ask, keys, permissions, show
from sensors.desk import Desk, SiteFilter, column
from sensors.identity_models import ApiKey

CHANGES = "keys.edit"


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]  # the class takes none at run time
    scopes = forms.MultipleChoiceField(
        choices=[(name, f"{name}: {permissions.TABLE[name].lets}") for name in keys.GRANTABLE], required=False,
        widget=forms.CheckboxSelectMultiple, help_text="Of a program: what it may do in the site.",
    )  # fmt: skip

    class Meta:
        model = ApiKey
        fields = ("site", "kind", "name", "scopes", "sensors", "expires_at")

    def clean(self) -> dict[str, Any]:
        """What would be refused, told at the form."""
        given = super().clean() or {}
        if not self.errors:
            key = ApiKey(**{name: given[name] for name in ("site", "kind", "name")}, scopes=given["scopes"])
            keys.check_fields(key, list(given["sensors"]))
        return given


class Overlap(forms.Form):
    hours = forms.IntegerField(
        label="Old secret holds for (hours)", min_value=0, max_value=keys.LONGEST_OVERLAP.days * 24, initial=24,
        widget=widgets.UnfoldAdminIntegerFieldWidget,
    )  # fmt: skip


class Sure(forms.Form):
    """Nothing to fill in."""


@admin.register(ApiKey)
class ApiKeyPage(Desk):
    sees = edits = acts = CHANGES
    form = KeyForm
    list_display = ("name", "site", "kind", "begins", "state", "used_at", "expires_at")
    list_filter = (SiteFilter, "kind")
    list_select_related = ("site",)
    search_fields = ("name", "=prefix")
    autocomplete_fields = ("sensors",)
    fields = ("site", "kind", "name", "scopes", "sensors", "expires_at")
    actions_detail = ("rotate", "revoke")
    actions = ()
    shown = (
        "site", "kind", "name", "state", "begins", "may_do", "bound_to", "expires_at", "previous_until", "created_at",
        "created_by", "used_at", "used_from", "revoked_at",
    )  # fmt: skip

    def may(self, request: HttpRequest, row: Any, to: str) -> bool:
        """Nobody else sees them either."""
        return super().may(request, row, self.sees)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_delete_permission = has_change_permission

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj is None else self.shown

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else self.shown

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        given: dict[str, Any] = form.cleaned_data
        actor: Any = request.user
        key, secret = keys.create(
            site=given["site"], name=given["name"], kind=given["kind"], scopes=given["scopes"],
            sensors=list(given["sensors"]), expires_at=given["expires_at"], actor=actor,
        )  # fmt: skip
        obj.__dict__.update(key.__dict__)
        setattr(request, "_new_secret", secret)  # noqa: B010 - for the page that shows it

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """It is saved whole."""

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        return self._shown_once(request, obj, getattr(request, "_new_secret", ""))

    def _shown_once(self, request: HttpRequest, key: ApiKey, secret: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request), "title": f"The secret of {key.name}", "secret": secret,
            "back": reverse("admin:sensors_apikey_change", args=[key.pk]), "opts": self.opts,
        }  # fmt: skip
        answer = TemplateResponse(request, "admin/sensors/key_secret.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    @action(description="New secret", url_path="rotate", permissions=["act"], icon="autorenew")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key, made = ask.row_of(self, request, object_id), []
        actor: Any = request.user
        question = ask.Question(
            title=f"A new secret for {key.name}", button="Make it", done="Has a new secret",
            form=Overlap, explain="The old one holds on for as long as you say, so that nothing stops in between.",
            perform=lambda row, said: made.append(
                keys.rotate(row, overlap=timedelta(hours=said["hours"]), actor=actor)
            ),
        )  # fmt: skip
        answer = ask.answer(self, request, [key], question, back=self._page(key))
        return self._shown_once(request, key, made[0]) if made else answer

    @action(description="Revoke", url_path="revoke", permissions=["act"], icon="block")
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = ask.row_of(self, request, object_id)
        actor: Any = request.user
        question = ask.Question(
            title=f"Revoke {key.name}", button="Revoke", done="Revoked", form=Sure,
            explain="It is refused from now on, everywhere, and cannot be taken up again.",
            perform=lambda row, said: keys.revoke(row, actor=actor),
        )  # fmt: skip
        return ask.answer(self, request, [key], question, back=self._page(key))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        return [] if row is None or row.revoked_at else super().get_actions_detail(request, object_id)

    @staticmethod
    def _page(key: ApiKey) -> str:
        return reverse("admin:sensors_apikey_change", args=[key.pk])

    @column("Secret begins with", ordering="prefix")
    def begins(self, row: ApiKey) -> str:
        return f"bw_{row.prefix}"

    @column("State")
    def state(self, row: ApiKey) -> str:
        return show.badge("CANCELLED", "revoked") if row.revoked_at else show.badge("DONE", "holds")

    @column("May")
    def may_do(self, row: ApiKey) -> str:
        return ", ".join(row.scopes)

    @column("Sensors")
    def bound_to(self, row: ApiKey) -> str:
        return ", ".join(str(sensor) for sensor in row.sensors.order_by("pk")[:100]) or show.DASH
