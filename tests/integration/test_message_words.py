"""What messages say: in the reader's language and time, as text and as HTML, whatever names hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.template.loader import get_template
from pytest_django import Settings

from agents import deliver, notify
from agents.channels import rendering
from agents.channels.contract import Message
from agents.channels.sink import SmtpSink
from agents.findings import FaultKind
from maintenance import (
    alarm_life,
    definitions,
    failure_modes,
    messages,
    operating,
    operating_hides,
    suppressions,
    wording,
)
from maintenance.models import Channel, Suppression
from tests import outgoing
from tests.factories import NOON

SITE = {"id": 1, "name": "Works & <b>Sons</b>"}
ITEM = {name: value for name, value in outgoing.PAYLOAD.items() if name not in ("evidence", "past", "site")}
PAYLOADS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(messages.KINDS, outgoing.PAYLOAD | {"site": SITE}),
    "digest": {
        "what": "Digest", "action": "DIGEST", "subject": "channel/5", "title": "", "site": SITE, "machine": None,
        "priority": "HIGH", "at": "2026-03-01T12:05:00Z", "total": 7, "by_priority": [["HIGH", 3], ["LOW", 4]],
        "by_machine": [["P-101 <b>", 7]], "path": "/admin/",
        "items": [ITEM | {"notification": 9, "event_type": "alarm.raised", "subject_line": "x"}],
    },
    "digest.flood": {
        "what": "Flood", "action": "DIGEST", "subject": "channel/5", "title": "", "site": SITE, "machine": None,
        "priority": "HIGH", "at": "2026-03-01T12:05:00Z", "total": 7, "by_priority": [["HIGH", 7]], "path": "/admin/",
        "by_machine": [["P-101 <b>", 7]],
        "flood": {
            "began_at": "2026-03-01T12:04:00Z", "first_at": "2026-03-01T11:59:00Z", "alarms": 12, "machines": 1,
            "named": 1,
        },
        "items": [
            ITEM
            | {"notification": 9, "event_type": "alarm.raised", "subject_line": "x", "state": "ACKED",
               "first_at": "2026-03-01T12:04:05Z", "after_seconds": 305.0, "activations": 3, "of_machine": 12}
        ],
    },
    "channel.disabled": {
        "subject": "channel/5", "title": "Shift <b>", "site": SITE, "priority": "HIGH", "at": "2026-03-01T12:05:00Z",
        "reason": "550 no such <b> user", "path": "/admin/",
    },
    "test": {
        "subject": "channel/5", "title": "Shift <b>", "site": SITE, "priority": "LOW", "at": "2026-03-01T12:05:00Z",
        "asked_by": "ann <b>", "path": "/admin/",
    },
}  # fmt: skip
CASES = [(kind, language) for kind in PAYLOADS for language in wording.LANGUAGES]


def message(kind: str, **fields: Any) -> Message:
    made = Message(
        key="k", event_type=kind, subject_line="[HIGH] Alarm: P-101, LOO", payload=PAYLOADS[kind], target="",
        secret="", time_zone="Europe/Lisbon", created_at=NOON,
    )  # fmt: skip
    return replace(made, **fields)


@pytest.mark.parametrize(("kind", "language"), CASES)
def test_every_event_is_told_in_every_language_as_text_and_html(kind: str, language: str) -> None:
    links = {
        "alarm/7": {"acknowledge": "https://plant.example/act/tok<en>", "shelve": "https://plant.example/act/2<en>"}
    }
    said = rendering.render(message(kind, language=language, links=links))
    assert said.subject.startswith("[")
    for text in (said.text, said.html):
        assert "{" not in text.replace("{ font", "").replace("{ text", "").replace("{ padding", "").replace(
            "{ back", ""
        )
        assert "None" not in text
    assert "<b>" in said.text
    assert "<b>" not in said.html
    assert "&lt;b&gt;" in said.html
    assert f'<html lang="{language}">' in said.html
    assert said.text == rendering.render(message(kind, language=language, links=links)).text


def test_portuguese_is_portuguese() -> None:
    said = rendering.render(message("alarm.raised", language="pt"))
    assert said.subject == "[ALTA] Alarme agravado: P-101 – Feed pump <b>, LOO"
    assert said.text == (
        "Alarme agravado em P-101 – Feed pump <b>, unidade Works & <b>Sons</b>\n"
        "\n"
        "Prioridade:    ALTA\n"
        "Modo de falha: Produção baixa (LOO, ISO 14224)\n"
        "Desde:         01/03/2026 12:00:00 (Europe/Lisbon)\n"
        "Mensagem:      01/03/2026 12:05:00 (Europe/Lisbon)\n"
        "Sensor:        Flow\n"
        "Observado:     3,5 l/s (LOW)\n"
        "Esperado:      de 18 até 31,25 l/s\n"
        "\n"
        "O que fazer primeiro: Verificar sucção, filtros e válvulas e depois o desgaste do rotor; comparar com o ponto"
        " de operação.\n"
        "\n"
        "Casos semelhantes anteriores:\n"
        "- WO-3, 01/02/2026: Impeller worn <i>.\n"
        "\n"
        "http://127.0.0.1:8000/admin/maintenance/alarm/7/change/\n"
    )


def test_a_digest_counts_and_names_the_most_urgent() -> None:
    said = rendering.render(
        message("digest", language="pt", links={"alarm/7": {"acknowledge": "https://plant.example/act/x"}})
    )
    assert said.subject == "[ALTA] 7 mensagens: Works & <b>Sons</b>"
    assert "Por prioridade: ALTA 3, BAIXA 4\n" in said.text
    assert "- [ALTA] 01/03/2026 12:05 Alarme agravado: P-101 – Feed pump <b>, Produção baixa\n" in said.text
    assert "  Reconhecer: https://plant.example/act/x\n" in said.text


def test_a_flood_is_told_by_machine_first_out() -> None:
    said = rendering.render(message("digest.flood", language="pt"))
    assert said.subject == "[ALTA] Avalanche de alarmes, 12 alarmes de 1 máquina: Works & <b>Sons</b>"
    first = "Primeiro a disparar: P-101 – Feed pump <b>, Produção baixa, 01/03/2026 11:59:00 (Europe/Lisbon)\n"
    assert first in said.text
    line = "- +5:05 [ALTA] Produção baixa: ativo, reconhecido, 3 ativações\n"
    assert f"\nP-101 – Feed pump <b> (12 alarmes)\n{line}" in said.text
    assert "1 de 12 alarmes são citados aqui." in said.html


def test_every_state_has_words() -> None:
    assert all(wording.state(state, language=name) for state in alarm_life.State for name in wording.LANGUAGES)
    assert wording.state("", language="pt") == ""


def test_what_is_back_to_normal_asks_for_nothing() -> None:
    payload = outgoing.PAYLOAD | {"action": "RETURNED"}
    said = rendering.render(message("alarm.returned", payload=payload))
    assert "What to do first" not in said.text + said.html


def test_what_hides_an_alarm_is_told_in_the_readers_language() -> None:
    remark = "Hidden until 2026-03-01 14:00 UTC by maria: Cable <i>"
    payload = outgoing.PAYLOAD | {"action": "UNSHELVES_SOON", "what": "Shelving ends soon", "remark": remark}
    said = rendering.render(message("alarm.unshelves_soon", payload=payload))
    assert f"Remark:        {remark}\n" in said.text
    assert "<td>Hidden until 2026-03-01 14:00 UTC by maria: Cable &lt;i&gt;</td>" in said.html
    assert "When the shelving ends it has to be acknowledged anew." in said.text
    said = rendering.render(message("alarm.unshelves_soon", payload=payload, language="pt"))
    assert "Observação:    Oculto até 2026-03-01 14:00 UTC por maria: Cable <i>\n" in said.text
    assert "<td>Oculto até 2026-03-01 14:00 UTC por maria: Cable &lt;i&gt;</td>" in said.html
    ended = payload | {"action": "UNSHELVED", "remark": suppressions.TIME_IS_UP}
    said = rendering.render(message("alarm.unshelved", payload=ended, language="pt"))
    assert said.subject == "[ALTA] Alarme não está mais suspenso: P-101 – Feed pump <b>, LOO"
    assert "Observação:    O prazo terminou.\n" in said.text
    assert "<th>Observação</th><td>O prazo terminou.</td>" in said.html
    assert "<p>O alarme estava oculto e continua ativo: tem de ser reconhecido novamente.</p>" in said.html


@pytest.mark.parametrize(
    "text",
    [
        suppressions.TIME_IS_UP, suppressions.RETURNED,
        operating_hides.RUNS, operating.SILENT, operating.CHANGED, operating.TAKEN_AWAY,
        wording.noted("It is still active: told again, {time} of {times} times.", time=1, times=2),
        wording.noted("The window was cancelled: {why}", why="Rain {0}"), wording.noted("The window was changed."),
        wording.noted("WO-{order} is completed.", order="7 Low output"),
        wording.noted("WO-{order} is cancelled.", order="7 Low output"),
    ],
)  # fmt: skip
def test_what_the_product_itself_remarks_has_words(text: str) -> None:
    assert wording.remark(text, language="en") == text
    assert wording.remark(text, language="pt") != text


def test_what_people_remark_stays_as_it_is() -> None:
    for text in ("Cable fixed {0}", "The pump is completed.", "Hidden until noon"):
        assert wording.remark(text, language="pt") == text
    with pytest.raises(KeyError):
        wording.noted("Something without words")


def test_what_hides_has_words_in_every_language() -> None:
    assert all(wording.hidden(kind, language=name) for kind in Suppression.Kind for name in wording.LANGUAGES)
    hidden_before = {"alarm." + action.lower() for action in ("UNSHELVES_SOON", *alarm_life.SHOWS.values())}
    assert hidden_before <= set(messages.KINDS)
    assert {kind for kind in messages.KINDS if wording.note(kind, language="pt")} == hidden_before


@pytest.mark.parametrize("kind", [*definitions.ANOMALY_KINDS, *FaultKind])
def test_what_was_found_has_words_in_every_language(kind: str) -> None:
    words = {wording.finding(kind, language=language) for language in wording.LANGUAGES}
    assert len(words) == len(wording.LANGUAGES)
    assert kind not in words


def test_what_was_found_is_told_in_words() -> None:
    payload = outgoing.PAYLOAD | {"evidence": outgoing.PAYLOAD["evidence"] | {"kind": "LIMIT_LOW"}}
    said = [rendering.render(message("alarm.raised", payload=payload, language=name)) for name in wording.LANGUAGES]
    assert "Seen:          3.5 l/s (below the limit)\n" in said[0].text
    assert "Observado:     3,5 l/s (abaixo do limite)\n" in said[1].text
    assert "l/s (abaixo do limite)" not in said[0].html
    assert "</strong> (abaixo do limite)</td>" in said[1].html


def test_a_kind_without_words_is_called_what_the_payload_says() -> None:
    payload = outgoing.PAYLOAD | {"what": "Something new"}
    said = rendering.render(message("alarm.raised", event_type="alarm.unheard-of", payload=payload, language="pt"))
    assert said.subject == "[ALTA] Something new: P-101 – Feed pump <b>, LOO"
    assert said.text.startswith("Something new em P-101")


@pytest.mark.parametrize("kind", messages.KINDS)
def test_the_english_subject_is_that_of_the_ledger(kind: str) -> None:
    what = {f"{source}.{action.lower()}": word for (source, action), word in notify.WORDS.items()}[kind]
    assert wording.event(kind, language="en", otherwise="") == what


@pytest.mark.parametrize("language", wording.LANGUAGES)
def test_every_code_has_words_in_every_language(language: str) -> None:
    for code, mode in failure_modes.CATALOGUE.modes.items():
        name, response = wording.mode(code, language=language)
        assert response.endswith(".")
        assert name == mode.name or language != "en"
    assert {wording.mode(code, language=language)[0] for code in ("???", "UNK")} == {
        wording.mode("UNK", language=language)[0]
    }
    assert all(wording.priority(name, language=language) for name in messages.PRIORITIES)
    assert set(wording.LANGUAGES) == set(Channel.Language.values)


@pytest.mark.parametrize("name", sorted(set(rendering.TEMPLATES.values())))
def test_both_languages_have_the_same_templates(name: str) -> None:
    for language in wording.LANGUAGES:
        for form in ("txt", "html"):
            assert get_template(f"messages/{language}/{name}.{form}") is not None


@pytest.mark.django_db
def test_a_mail_carries_text_and_html_in_the_channels_language(settings: Settings) -> None:
    with SmtpSink() as sink:
        row = outgoing.mail_to(sink, settings)
        Channel.objects.update(language="pt")
        assert deliver.deliver(row.pk).result == "sent"
        (mail,) = sink.wait_for(1)
    assert mail.message["Subject"] == "[ALTA] Alarme agravado: P-101 – Feed pump <b>, LOO"
    assert mail.message.get_content_type() == "multipart/alternative"
    assert "Modo de falha: Produção baixa" in mail.text
    assert "<td>Produção baixa (LOO, ISO 14224)</td>" in mail.html
    assert "P-101 – Feed pump &lt;b&gt;" in mail.html
