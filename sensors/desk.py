"""What every page of the admin shares: who sees what and may do what.

A superuser sees everything. Other staff see the rows of the sites they are a member of, in lists, on pages and in
choices; no permission per model of Django's is needed or looked at. What they may do follows from their role in the
row's site, by the table of ``sensors.permissions``: a page names the permission that its rows are edited by
(``edits``), and the one that its buttons take (``acts``), where a button does not name its own. Rows that the flow
writes are never edited by anyone. Everything else is denied.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, tzinfo
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Field, ForeignKey, Model, QuerySet
from django.forms import ModelChoiceField, ModelForm
from django.http import HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline

from sensors import access, permissions, show
from sensors.models import Membership, Site
from sensors.permissions import READ
from sensors.recorded import Recorded


def roles(request: HttpRequest) -> dict[int, str]:
    """Role by site of whoever asks, looked up once a request."""
    found: dict[int, str] | None = getattr(request, "_site_roles", None)
    if found is None:
        rows = Membership.objects.filter(user_id=request.user.pk or 0).values_list("site_id", "role")
        found = dict(rows)
        setattr(request, "_site_roles", found)  # noqa: B010 - the request carries it, its class does not know it
    return found


def sees_all(request: HttpRequest) -> bool:
    return bool(request.user.is_active and getattr(request.user, "is_superuser", False))


def sites_where(request: HttpRequest, to: str) -> list[int]:
    """The sites in which the role of whoever asks lets them do something."""
    able = permissions.roles(to) if to else frozenset()
    return [site for site, role in roles(request).items() if role in able]


def may_in(request: HttpRequest, site_id: int, to: str) -> bool:
    """Whether whoever asks may do something in a site."""
    return sees_all(request) or site_id in sites_where(request, to)


def scope(request: HttpRequest, rows: QuerySet[Any], *, path: str) -> QuerySet[Any]:
    """The rows of the sites that whoever asks is a member of; ``path`` leads from the row to its site."""
    return rows if sees_all(request) else rows.filter(**{f"{path}__in": list(roles(request))})


class Scoped:
    """Choices in a form offer what whoever asks may see, and of users only people unless it is ``for_programs``."""

    for_programs = False

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        if not sees_all(request):
            kwargs["queryset"] = _choices(cast(Any, self), db_field, request)
        field: ModelChoiceField[Any] | None = super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]
        is_of_users = db_field.related_model is get_user_model() and not self.for_programs
        if field is not None and field.queryset is not None and is_of_users:
            field.queryset = access.people(field.queryset)
        return field


def _choices(page: Any, db_field: Field[Any, Any], request: HttpRequest) -> QuerySet[Any]:
    related: type[Model] = cast(type[Model], db_field.related_model)
    if related is Site:
        return Site.objects.filter(pk__in=sites_where(request, getattr(page, "edits", "")))
    if related is get_user_model():
        return get_user_model().objects.filter(memberships__site__in=list(roles(request))).distinct()
    registered = page.admin_site._registry.get(related)
    return registered.get_queryset(request) if isinstance(registered, Desk) else related._default_manager.none()


def _without(lines: Iterable[Any], names: Collection[str]) -> tuple[Any, ...]:
    """The fields of a section, each a name or a line of names, without some; lines of which nothing is left go too."""
    each = ((line,) if isinstance(line, str) else line for line in lines)
    kept = (tuple(one for one in line if one not in names) for line in each)
    return tuple(line for line in kept if line)


class Desk(Recorded, Scoped, ModelAdmin):
    """Base of every page. ``site_path`` leads from the row to its site. ``sees``: the permission by which people see
    these rows; ``edits``: by which they add, change and delete them; ``adds``: by which they add them, where it is
    another one; ``acts``: the one that the buttons take. Empty: nobody does."""

    site_path = "site"
    sees, edits, adds, acts = READ, "", "", ""
    list_per_page = 50
    list_filter_submit = False
    show_full_result_count = False
    warn_unsaved_form = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        able = sites_where(request, self.sees)
        return rows if sees_all(request) else rows.filter(**{f"{self.site_path}__in": able})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Of a row that is only being added, without what people never fill in: there is nothing to show of it yet."""
        sections = super().get_fieldsets(request, obj)
        if obj is not None:
            return sections
        left_out = {field.name for field in self.opts.fields if not field.editable}
        kept = [(name, {**section, "fields": _without(section["fields"], left_out)}) for name, section in sections]
        return [(name, section) for name, section in kept if section["fields"]]

    def site_id_of(self, row: Model) -> int:
        found: Any = row
        *steps, last = self.site_path.split("__")
        for step in steps:
            found = getattr(found, step)
        return int(found.pk if last == "pk" else getattr(found, f"{last}_id"))

    def zone_of(self, rows: Iterable[Model]) -> tzinfo:
        """The time zone of the rows' sites; UTC where they have several."""
        return common_zone(Site.objects.filter(pk__in={self.site_id_of(row) for row in rows}))

    def may(self, request: HttpRequest, row: Model | None, to: str) -> bool:
        """Whether the role of whoever asks lets them do something in the row's site; without a row, in any site."""
        if sees_all(request):
            return True
        able = sites_where(request, to)
        return bool(able) if row is None else self.site_id_of(row) in able

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.may(request, None, self.sees)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, obj, self.sees)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return (self.adds or self.edits) != "" and self.may(request, None, self.adds or self.edits)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.edits != "" and self.may(request, obj, self.edits)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.edits != "" and self.may(request, obj, self.edits)

    def has_act_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """For buttons; the row itself is looked at when the button's page is asked for."""
        return self.may(request, obj if isinstance(obj, Model) else None, self.acts)


def _asked(to: str) -> Callable[..., bool]:
    def has(page: Desk, request: HttpRequest, obj: Any = None) -> bool:
        return page.may(request, obj if isinstance(obj, Model) else None, to)

    return has


for _name in permissions.TABLE:  # so that a button can name the permission it takes: permissions=["parts_edit"]
    setattr(Desk, f"has_{_name.replace('.', '_')}_permission", _asked(_name))


class Refusing(Desk):
    """A page whose rows are saved and deleted by a function that may refuse; why is said on the page."""

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        return self._said(request, super().changeform_view, request, object_id, form_url, extra_context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        return self._said(request, super().delete_view, request, object_id, extra_context)

    def _said(self, request: HttpRequest, view: Callable[..., Any], *args: Any) -> Any:
        try:
            return view(*args)
        except ValidationError as error:  # The form has looked before; this is what it could not see, or what changed.
            for text in error.messages:
                self.message_user(request, text, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


class InSiteTime(Desk):
    """Pages whose times are shown in the time zone of the site, which they name once. A list of sites that have
    several shows them in UTC."""

    change_form_after_template = list_after_template = "admin/sensors/site_time.html"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        row = None if object_id is None else self.get_object(request, object_id)
        zone = UTC if row is None else self.zone_of([row])
        return _shown_in(zone, super().changeform_view, request, object_id, form_url, extra_context)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        zone = common_zone(scope(request, Site.objects.all(), path="pk"))
        return _shown_in(zone, super().changelist_view, request, extra_context)


def common_zone(sites: QuerySet[Site]) -> tzinfo:
    zones = {site.zone for site in sites}
    return zones.pop() if len(zones) == 1 else UTC


def _shown_in(zone: tzinfo, view: Callable[..., Any], *args: Any) -> Any:
    with timezone.override(zone):
        answer = view(*args)
        return answer.render() if isinstance(answer, TemplateResponse) else answer


class Lines(Scoped, TabularInline):
    """Rows of a page's row, for reading only; who may see the page may see them."""

    extra = 0
    max_num = 0
    can_delete = False
    show_change_link = False
    hide_title = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class KeepsSite(ModelForm):  # type: ignore[type-arg]  # the class takes none at run time
    """What is unique in a site is checked although the site of a row that exists is not in its form."""

    def _get_validation_exclusions(self) -> set[str]:
        left_out: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return left_out - {"site"} if self.instance.site_id is not None else left_out


class SiteFilter(admin.SimpleListFilter):
    """The sites that whoever asks may see; not offered where there is but one."""

    title = "site"
    parameter_name = "site"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        sites = scope(request, Site.objects.order_by("name"), path="pk").values_list("pk", "name")
        return [(str(pk), name) for pk, name in sites] if len(sites) > 1 else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        path = self.path
        return queryset.filter(**{path: self.value()}) if (self.value() or "").isdigit() else queryset

    path = "site"


def site_filter(path: str) -> type[SiteFilter]:
    return type("SiteFilter", (SiteFilter,), {"path": path})


def column(
    description: str, *, ordering: str | None = None
) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """Names a column or a read-only field, and says by which field its list is ordered.

    It is worked out once for a row that was read: a page asks five times for each of its read-only fields.
    """

    def named(ask: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        @functools.wraps(ask)
        def once(page: Any, row: Any) -> Any:
            known = row.__dict__.setdefault("_columns", {})
            if ask not in known:
                known[ask] = ask(page, row)
            return known[ask]

        return cast(Any, admin.display(description=description, ordering=ordering, empty_value=show.DASH)(once))

    return named
