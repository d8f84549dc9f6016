"""The benchmark of alarm storms in small: that it runs, that its books balance, and that it notices if they do not."""

from __future__ import annotations

import pytest

from maintenance.models import Notification
from tests.bench import storms

pytestmark = pytest.mark.django_db


def test_a_person_gets_a_handful_of_messages_and_the_books_balance() -> None:
    made, rows = storms.bench(storms=2, findings=200, machines=12)
    assert [one.findings for one in made] == [200, 200]
    assert [row["ok"] for row in rows if row["goal"] is not None] == [True, True]
    for one in made:
        assert one.alone > 60
        assert one.sent <= storms.HANDFUL
        assert max(one.digests) > 30
        assert one.quiet > one.word >= 30


def test_a_message_that_was_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    balance = storms.Raging.balance

    def lose_one(raging: storms.Raging, mails: list[storms.Mail]) -> None:
        row = Notification.objects.filter(status="DIGESTED").first()
        assert row is not None
        row.delete()
        balance(raging, mails)

    monkeypatch.setattr(storms.Raging, "balance", lose_one)
    with pytest.raises(storms.BooksDoNotBalance, match="transitions not told"):
        storms.bench(storms=1, findings=60, machines=12)
