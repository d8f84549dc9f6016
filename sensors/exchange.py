"""Tables of what people own, imported and exported: what all of them share.

A row of the file is a change of one row of ours, found by its key cells in the site, made by the product's own
functions with all their checks, and told in the journal. An import is one transaction: all of its rows or none. A trial
run does the same and takes it back. A column that is missing leaves what is stored; an empty cell empties it.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tablib
from django.contrib.auth.models import User
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, models, transaction
from django.utils import timezone
from import_export import fields, resources
from import_export.results import Result, RowResult

from sensors import exchange_cells, journal, sheets
from sensors.models import Equipment, Event, Site

MOST_EXPORTED = 20_000
Key = tuple[str, ...]
"""What the key cells of a row say."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became, or would become, of a row: NEW, CHANGED, SAME or WRONG, with a sentence for each fault."""

    number: int
    key: str
    what: str
    faults: tuple[str, ...] = ()


WORDS = {
    RowResult.IMPORT_TYPE_NEW: "NEW", RowResult.IMPORT_TYPE_UPDATE: "CHANGED", RowResult.IMPORT_TYPE_SKIP: "SAME",
    RowResult.IMPORT_TYPE_INVALID: "WRONG",
}  # fmt: skip


class Rows(resources.ModelResource):
    """A table of a site's rows. ``key``: the columns that together name a row in its site; ``columns``: its fields."""

    key: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    named_by: tuple[str, ...] = ()
    """What a row is called by where it has no key."""
    unchecked: Sequence[str] = ("machine",)
    """Fields that no row says."""

    def __init__(self, site: Site, actor: User, *, comma: bool = False) -> None:
        super().__init__()
        self.site, self.actor = site, actor
        self.zone = zoneinfo.ZoneInfo(site.time_zone)
        self.fields = {name: self._field(name, comma=comma) for name in self.columns}
        self.sheet = sheets.Sheet((), ())
        self.equipment: dict[str, Equipment] = {}
        self.texts: dict[str, list[str]] = {}
        self.known: dict[Key, Any] = {}
        self.numbers: dict[Key, int] = {}
        self.told: list[tuple[str, Any, dict[str, Any]]] = []

    def _field(self, name: str, *, comma: bool) -> fields.Field:
        field: Any = self._meta.model._meta.get_field(name)
        cell = self.cell(field, comma=comma)
        default = field.get_default() if field.has_default() else None if field.null else ""
        empty = fields.NOT_PROVIDED if isinstance(field, models.ForeignKey) else default
        return fields.Field(attribute=name, column_name=name, widget=cell, default=empty)

    def cell(self, field: Any, *, comma: bool) -> Any:
        """How the cells of a field are read."""
        return exchange_cells.of(field, comma=comma, zone=self.zone, find=self.find_equipment)

    def find_equipment(self, tag: str) -> Equipment:
        """Raises ``ValueError`` where the site has none of that tag."""
        if tag in self.equipment:
            return self.equipment[tag]
        if self._meta.model is Equipment and (tag,) in self.numbers:
            raise ValueError(f"{tag} is in row {self.numbers[tag,]}, which must come before and be free of faults.")
        raise ValueError(f"There is no equipment {tag!r} in {self.site}.")

    # Importing

    def run(self, sheet: sheets.Sheet, *, trial: bool) -> list[Outcome]:
        """Import a sheet, or only try to; if any row is wrong nothing is stored. Raises ``BadSheet``."""
        self.sheet = sheet
        if unknown := [name for name in sheet.headers if name not in self.columns]:
            raise sheets.BadSheet(f"There is no column {', '.join(unknown)}; there are {', '.join(self.columns)}.")
        if missing := [name for name in self.required if name not in sheet.headers]:
            raise sheets.BadSheet(f"A column is missing: {', '.join(missing)}.")
        data = tablib.Dataset(*(row.cells for row in sheet.rows), headers=list(sheet.headers))
        result = self.import_data(
            data, dry_run=trial, use_transactions=True, rollback_on_validation_errors=True, raise_errors=False
        )
        return self._outcomes(result)

    def _outcomes(self, result: Result) -> list[Outcome]:
        for error in [*result.base_errors, *(one for row in result.rows for one in row.errors)]:
            raise error.error  # No fault of the table but one of ours: it is not to be told as a row's.
        return [
            Outcome(
                row.number, self._key_of(row), WORDS[made.import_type],
                () if made.validation_error is None else tuple(sentences(made.validation_error)),
            )
            for row, made in zip(self.sheet.rows, result.rows, strict=True)
        ]  # fmt: skip

    def _key_of(self, row: sheets.Row) -> str:
        said = dict(zip(self.sheet.headers, row.cells, strict=True))
        return ": ".join(str(said.get(name, "")) for name in self.named_by or self.key)

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        """Find and lock what the rows name, always in the same order."""
        self.texts = {name: self._texts(dataset, name) for name in self.columns if name in dataset.headers}
        tags = {text for name in self.columns if self._is_tag(name) for text in self.texts.get(name, ())}
        if tags:
            found = Equipment.objects.filter(site=self.site, tag__in=tags).select_related("parent", "machine")
            locked = found.select_for_update(of=("self",), no_key=True).order_by("id")
            self.equipment = {one.tag: one for one in locked}
        self.known = self.stored(list(zip(*(self.texts[name] for name in self.key), strict=True)))

    def _is_tag(self, name: str) -> bool:
        return isinstance(self.fields[name].widget, exchange_cells.Tag) or (
            self._meta.model is Equipment and name in self.key
        )

    def _texts(self, dataset: Any, name: str) -> list[str]:
        text = exchange_cells.Text()
        return [sheets.plain(str(value)) if isinstance(value, str) else text.clean(value) for value in dataset[name]]

    def stored(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """The rows of ours that have these keys, locked."""
        raise NotImplementedError

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        line = self.sheet.rows[kwargs["row_number"] - 1]
        if line.fault:
            raise ValidationError(line.fault)
        key = self._key(row)
        if empty := [name for name, text in zip(self.key, key, strict=True) if not text]:
            raise ValidationError({name: "It must be said." for name in empty})
        if key in self.numbers:
            raise ValidationError({self.key[-1]: f"{': '.join(key)} is in row {self.numbers[key]} already."})
        if key:
            self.numbers[key] = line.number

    def _key(self, row: Any) -> Key:
        """Raises ``ValidationError`` where a cell of it cannot be meant."""
        found, wrong = [], {}
        for name in self.key:
            try:
                found.append(exchange_cells.Text().clean(row[name]))
            except ValueError as error:
                wrong[name] = str(error)
        if wrong:
            raise ValidationError(wrong)
        return tuple(found)

    def get_instance(self, instance_loader: Any, row: Any) -> Any:
        return self.known.get(self._key(row)) if self.key else None

    def init_instance(self, row: Any = None) -> Any:
        return self._meta.model(site=self.site)

    def after_init_instance(self, instance: Any, new: bool, row: Any, **kwargs: Any) -> None:
        self.before = {} if new else self.said(instance)

    def said(self, row: Any) -> dict[str, Any]:
        """What a row says, as plain JSON."""
        values = {name: getattr(row, name) for name in self.columns}
        return {
            name: value.tag
            if isinstance(value, Equipment)
            else value
            if value is None or isinstance(value, int | float)
            else str(value)
            for name, value in values.items()
        }  # fmt: skip

    def validate_instance(
        self, instance: Any, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        """Every fault of a row at once; one without is validated when it is saved."""
        errors = {**(import_validation_errors or {}), **self.forbidden(instance)}
        if not errors:
            return
        try:
            instance.full_clean(exclude=[*errors, *self.unchecked], validate_unique=False, validate_constraints=False)
        except ValidationError as error:
            errors = errors | {name: told for name, told in error.error_dict.items() if name not in errors}
        raise ValidationError(errors)

    def forbidden(self, row: Any) -> dict[str, ValidationError]:
        """What may not be changed of a row that is stored, by field."""
        return {}

    def do_instance_save(self, instance: Any, is_create: bool) -> None:
        """The table's constraints are looked at in words only where the database has refused a row: for each row they
        would take most of the time."""
        try:
            with transaction.atomic():
                self.save(instance)
        except IntegrityError as error:
            instance.validate_constraints()
            raise ValidationError("Somebody has stored something that contradicts it meanwhile.") from error
        after = self.said(instance)
        changed = {name: value for name, value in after.items() if is_create or value != self.before[name]}
        data = {"before": {name: self.before.get(name) for name in changed}, "after": changed, "imported": True}
        self.told.append(("added" if is_create else "changed", instance, data))

    def save(self, row: Any) -> None:
        raise NotImplementedError

    def after_import(self, dataset: Any, result: Result, **kwargs: Any) -> None:
        """Keep in the journal what was added and changed. The key of an entry names the newest before it."""
        name = self._meta.model._meta.model_name
        subjects = [f"{name}/{row.pk}" for _, row, _ in self.told]
        newest = dict(Event.objects.filter(subject__in=subjects).values_list("subject").annotate(models.Max("id")))
        now = timezone.now()
        journal.record([
            journal.Entry(
                f"{name}.{what}", subject, f"{name}.{what}/{subject}/after/{newest.get(subject, 0)}", now, self.site.pk,
                self.actor.get_username(), data,
            )
            for (what, _, data), subject in zip(self.told, subjects, strict=True)
        ])  # fmt: skip

    # Exporting

    def table(self, rows: Iterable[Any]) -> tablib.Dataset:
        """Rows as a table that could be imported."""
        return self.export(rows)

    class Meta:
        abstract = True
        import_id_fields: Sequence[str] = ()
        skip_unchanged = True
        report_skipped = True
        skip_html_diff = True


def sentences(error: ValidationError) -> list[str]:
    """What is wrong with a row, a sentence for each fault, with the column it is in."""
    if not hasattr(error, "error_dict"):
        return list(error.messages)
    found: Mapping[str, list[str]] = error.message_dict
    return [text if name == NON_FIELD_ERRORS else f"{name}: {text}" for name, texts in found.items() for text in texts]
