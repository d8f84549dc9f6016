"""The buttons on parts, tools, and the parts of a work order: what they ask, and what they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib.auth.models import User
from unfold import widgets

from maintenance import part_rules, reservations, stores, tools
from maintenance.buttons import Assignee, Button, Confirmation, by_name, workers
from maintenance.models import WorkOrder
from maintenance.part_models import OrderPart, Part, Store, Tool

PARTS = "parts.act"

PICK = widgets.UnfoldAdminSelectWidget
TEXT = widgets.UnfoldAdminTextInputWidget
SMALL = {"rows": 3}


class Amount(forms.DecimalField):
    """An amount in the part's unit, to a thousandth; more than nothing unless it may be ``nothing``."""

    def __init__(self, *, nothing: bool = False, **more: Any) -> None:
        least = 0 if nothing else 0.001
        super().__init__(max_digits=12, decimal_places=3, min_value=least, widget=TEXT, **more)


class Why(forms.CharField):
    def __init__(self, *, required: bool = False) -> None:
        area = widgets.UnfoldAdminTextareaWidget(attrs=SMALL)
        super().__init__(label="Reason", required=required, max_length=2_000, widget=area)


class Receive(forms.Form):
    store = forms.ModelChoiceField(Store.objects.none(), widget=PICK)
    quantity = Amount()
    reason = Why()


class Adjust(forms.Form):
    store = forms.ModelChoiceField(Store.objects.none(), widget=PICK)
    counted = Amount(nothing=True, help_text="How much lies there.")
    reason = Why(required=True)


class Transfer(Receive):
    store = forms.ModelChoiceField(Store.objects.none(), label="From", widget=PICK)
    to_store = forms.ModelChoiceField(Store.objects.none(), label="To", widget=PICK)
    field_order = ("store", "to_store", "quantity", "reason")


class Goods(forms.Form):
    """A part by its number, a store, and how much; of the order's site."""

    number = forms.CharField(label="Part number", max_length=60, widget=TEXT)
    store = forms.ModelChoiceField(Store.objects.none(), widget=PICK)
    quantity = Amount()

    def __init__(self, data: Any, *, site_id: int, initial: Any = None) -> None:
        super().__init__(data, initial=initial)
        self.site_id = site_id
        offer(self, "store", Store.objects.filter(site=site_id))

    def clean_number(self) -> Part:
        number = str(self.cleaned_data["number"]).strip()
        found = Part.objects.filter(site=self.site_id, number__iexact=number).order_by("id").first()
        if found is None:
            raise forms.ValidationError(f"There is no part {number!r} in this site.")
        return found


class OfLine(forms.Form):
    line = forms.ModelChoiceField(OrderPart.objects.none(), label="Which", widget=PICK)


class Back(OfLine):
    quantity = Amount()
    reason = Why()


class Holder(Assignee):
    order = forms.ModelChoiceField(WorkOrder.objects.none(), label="For work order", required=False, widget=PICK)


class Remark(forms.Form):
    remark = forms.CharField(
        required=False, max_length=2_000, widget=widgets.UnfoldAdminTextareaWidget(attrs=SMALL),
        help_text="How it came back, if that matters.",
    )  # fmt: skip


def offer(form: forms.Form, name: str, rows: Any) -> None:
    """What a choice offers."""
    choice = form.fields[name]
    if isinstance(choice, forms.ModelChoiceField):
        choice.queryset = rows


def _of_part(kind: type[forms.Form]) -> Callable[[Sequence[Any], Any], forms.Form]:
    def form(rows: Sequence[Part], data: Any) -> forms.Form:
        made = kind(data)
        mine = Store.objects.filter(site=rows[0].site_id)
        offer(made, "store", mine)
        if "to_store" in made.fields:
            offer(made, "to_store", mine.filter(is_active=True))
        return made

    return form


def _goods(rows: Sequence[WorkOrder], data: Any) -> forms.Form:
    held = rows[0].parts.filter(reserved__gt=0).select_related("part").first()
    said = None if held is None else {"number": held.part.number, "store": held.store_id, "quantity": held.reserved}
    return Goods(data, site_id=rows[0].site_id, initial=said)


def _lines(kind: type[OfLine], fits: Callable[[OrderPart], bool]) -> Callable[[Sequence[Any], Any], forms.Form]:
    def form(rows: Sequence[WorkOrder], data: Any) -> forms.Form:
        made = kind(data)
        lines = OrderPart.objects.filter(order=rows[0]).select_related("part", "store")
        offer(made, "line", lines.filter(pk__in=[line.pk for line in lines if fits(line)]))
        return made

    return form


def _holder(rows: Sequence[Tool], data: Any) -> forms.Form:
    made = Holder(data)
    offer(made, "assignee", workers(rows))
    todo = WorkOrder.objects.filter(site=rows[0].site_id, status__in=sorted(part_rules.TAKES))
    offer(made, "order", todo)
    return made


def takes(order: WorkOrder) -> bool:
    return order.status in part_rules.TAKES


def plans(order: WorkOrder) -> bool:
    return order.status in part_rules.PLANS


def _give_back(order: WorkOrder, actor: User, said: dict[str, Any]) -> object:
    return reservations.give_back(said["line"].pk, quantity=said["quantity"], actor=actor, reason=said["reason"])


RECEIVE = Button(
    "receive", "Receive parts", "Receive", "Received", fits=lambda part: True,
    perform=lambda part, actor, said: stores.receive(part.pk, actor=actor, **said),
    form=_of_part(Receive),
    explain="They have come. Orders that wait for them have them reserved at once, the most urgent first.",
)  # fmt: skip
TRANSFER = Button(
    "transfer", "Bring parts to another store", "Transfer", "Transferred", fits=lambda part: True,
    perform=lambda part, actor, said: stores.transfer(part.pk, actor=actor, **said),
    form=_of_part(Transfer),
    explain="What nobody has reserved.",
)  # fmt: skip
ADJUST = Button(
    "adjust", "Adjust the stock", "Adjust", "Adjusted", fits=lambda part: True, takes="parts.edit",
    perform=lambda part, actor, said: stores.adjust(part.pk, actor=actor, **said),
    form=_of_part(Adjust),
    explain="To what was counted. Where less lies there than is reserved, the least urgent orders lose theirs.",
)  # fmt: skip
RESERVE = Button(
    "reserve", "Reserve a part", "Reserve", "Reserved for", fits=plans, takes=PARTS,
    perform=lambda order, actor, said: reservations.reserve(
        order.pk, part=said["number"], store=said["store"], quantity=said["quantity"], actor=actor
    ),
    form=lambda rows, data: Goods(data, site_id=rows[0].site_id),
    explain="What is free is kept for this order. The rest is short, and reserved as it arrives. While it waits for "
    "approval nothing is kept, and the part counts in what it is expected to cost.",
)  # fmt: skip
ISSUE = Button(
    "issue", "Issue a part", "Issue", "Issued for", fits=takes, takes=PARTS,
    perform=lambda order, actor, said: reservations.issue(
        order.pk, part=said["number"], store=said["store"], quantity=said["quantity"], actor=actor
    ),
    form=_goods,
    explain="It leaves the store for this order: first what the order has reserved, then what is free.",
)  # fmt: skip
ISSUE_RESERVED = Button(
    "issue_reserved", "Issue all that is reserved", "Issue all", "Issued for", fits=takes, takes=PARTS,
    perform=lambda order, actor, said: reservations.issue_reserved(order.pk, actor=actor),
    form=lambda rows, data: Confirmation(data),
)  # fmt: skip
RELEASE = Button(
    "release", "Release a part", "Release", "Released of", fits=plans, takes=PARTS,
    perform=lambda order, actor, said: reservations.release(said["line"].pk, actor=actor),
    form=_lines(OfLine, lambda line: line.wanted > line.used),
    explain="The order wants no more of it than it has used: others may have it.",
)  # fmt: skip
GIVE_BACK = Button(
    "give_back", "Return a part", "Return", "Returned of", fits=lambda order: order.status in part_rules.GIVES_BACK,
    takes=PARTS,
    perform=_give_back,
    form=_lines(Back, lambda line: line.used > 0),
    explain="It was not used up and lies in its store again; the order is not charged for it.",
)  # fmt: skip
LEND = Button(
    "lend", "Issue a tool", "Issue", "Issued", fits=lambda tool: tool.is_active and not tool.out,
    perform=lambda tool, actor, said: tools.issue(
        tool.pk, holder=said["assignee"], order=said["order"], actor=actor
    ),
    form=_holder,
)  # fmt: skip
TAKE_BACK = Button(
    "take_back", "Take back a tool", "It is back", "Back", fits=lambda tool: bool(tool.out),
    perform=lambda tool, actor, said: tools.take_back(tool.pk, actor=actor, remark=said["remark"]),
    form=lambda rows, data: Remark(data),
)  # fmt: skip

OF_PARTS = by_name(RECEIVE, TRANSFER, ADJUST)
OF_ORDERS = by_name(RESERVE, ISSUE, ISSUE_RESERVED, RELEASE, GIVE_BACK)
OF_TOOLS = by_name(LEND, TAKE_BACK)
