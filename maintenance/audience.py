"""Who is told of what: enabled channels with what their subscriptions ask for, and where machines stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from django.db import connection

from maintenance.messages import Recipient, Wish
from maintenance.models import Channel, Subscription
from sensors.models import Equipment

EQUIPMENT = Equipment._meta.db_table


def recipients(sites: Sequence[int]) -> tuple[Recipient, ...]:
    """The enabled channels of the sites, by id. Two queries."""
    enabled = list(Channel.objects.filter(site__in=sites, is_enabled=True).order_by("id"))
    of_channel, of_reader = _wishes(sites)
    return tuple(
        Recipient(
            channel_id=channel.pk,
            site_id=channel.site_id,
            lowest_priority=channel.lowest_priority,
            wishes=(*of_channel.get(channel.pk, ()), *of_reader.get(channel.reader_id or 0, ())),
            address=address(channel),
        )
        for channel in enabled
    )


def _wishes(sites: Sequence[int]) -> tuple[Mapping[int, list[Wish]], Mapping[int, list[Wish]]]:
    of_channel, of_reader = defaultdict[int, list[Wish]](list), defaultdict[int, list[Wish]](list)
    for row in Subscription.objects.filter(site__in=sites).order_by("id"):
        wish = Wish(row.equipment_id, row.lowest_priority, frozenset(row.kinds))
        if row.channel_id is not None:
            of_channel[row.channel_id].append(wish)
        elif row.reader_id is not None:
            of_reader[row.reader_id].append(wish)
    return of_channel, of_reader


def address(channel: Channel) -> str:
    """A mailbox is the same to its reader whatever its channel is called; programs know messages by their keys."""
    return f"{channel.kind}/{channel.target.lower()}" if channel.kind == Channel.Kind.EMAIL else ""


def places(machine_ids: Iterable[int]) -> dict[int, frozenset[int]]:
    """For each machine its id and those of the lines it stands in. One query."""
    found = defaultdict[int, set[int]](set)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE up (machine, place) AS (SELECT id, id FROM {EQUIPMENT} WHERE id = ANY(%s)"
            f" UNION SELECT up.machine, e.parent_id FROM up JOIN {EQUIPMENT} e ON e.id = up.place"
            " WHERE e.parent_id IS NOT NULL) SELECT machine, place FROM up",
            [sorted(set(machine_ids))],
        )
        for machine, place in cursor.fetchall():
            found[machine].add(place)
    return {machine: frozenset(around) for machine, around in found.items()}
