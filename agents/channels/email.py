"""A mail over SMTP, through the server of Django's mail settings.

``smtplib`` itself, not Django's mail backend: the replies to each command tell a mailbox that is unknown from a server
that is busy, and the reply to the text is the server's own name for the mail.
"""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail.utils import DNS_NAME
from django.core.validators import validate_email

from agents.channels import rendering
from agents.channels.contract import Message, Permanent, Transient
from agents.channels.deadline import Deadline
from maintenance import messages

log = structlog.get_logger(__name__)

LIMIT_SECONDS = 15.0  # within the workers' soft time limit
NO_SUCH_MAILBOX = {550, 551, 553}
POLICY = "5.7."  # enhanced status codes of this class blame the sender or a rule, not the mailbox (RFC 3463)


class _Client(smtplib.SMTP):
    """Under a deadline from its first step on; remembers the reply to the text of the mail."""

    accepted = b""

    def __init__(self, deadline: Deadline, **settled: Any) -> None:
        deadline.watch(lambda: getattr(self, "sock", None))
        super().__init__(**settled)

    def data(self, msg: Any) -> tuple[int, bytes]:
        code, self.accepted = super().data(msg)
        return code, self.accepted


class _TLSClient(_Client, smtplib.SMTP_SSL):
    """The same where the connection is encrypted from its first byte."""


@dataclass(frozen=True, slots=True)
class Email:
    limit_seconds: float = LIMIT_SECONDS

    def send(self, message: Message) -> str:
        mail = compose(message)
        with Deadline(self.limit_seconds) as deadline:
            try:
                return _talk(deadline, mail, message)
            except (OSError, smtplib.SMTPException) as error:
                if deadline.expired:
                    raise Transient(f"took longer than {self.limit_seconds:g} s") from error
                if isinstance(error, smtplib.SMTPResponseException):
                    raise _failure(error.smtp_code, error.smtp_error) from error
                raise Transient(f"{_name(error)}: {error}") from error


def compose(message: Message) -> EmailMessage:
    """The mail. Its Message-ID and Date are the same for each attempt, so that a second copy is known as one."""
    mail = EmailMessage(policy=SMTP)
    said = rendering.render(message)
    mail["Subject"] = said.subject
    mail["From"] = settings.DEFAULT_FROM_EMAIL
    mail["To"] = _address(message.target)
    mail["Date"] = format_datetime(message.created_at)
    mail["Message-ID"] = message_id(message.key)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(said.text)
    mail.add_alternative(said.html, subtype="html")
    for file in message.files:
        main, _, sub = file.media_type.partition(";")[0].partition("/")
        mail.add_attachment(file.content, maintype=main, subtype=sub, filename=file.name)
    return mail


def message_id(key: str) -> str:
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{domain}>"


def _address(target: str) -> str:
    try:
        validate_email(target)
    except ValidationError as error:
        raise Permanent("address refused: it is not one mail address", gone=True) from error
    if not target.isascii():
        raise Permanent("address refused: it is not written in ASCII", gone=True)
    return target


def _connect(deadline: Deadline) -> _Client:
    settled: dict[str, Any] = {
        "host": settings.EMAIL_HOST,
        "port": settings.EMAIL_PORT,
        "local_hostname": str(DNS_NAME),
        "timeout": settings.EMAIL_TIMEOUT,
    }
    if settings.EMAIL_USE_SSL:
        return _TLSClient(deadline, context=ssl.create_default_context(), **settled)
    return _Client(deadline, **settled)


def _talk(deadline: Deadline, mail: EmailMessage, message: Message) -> str:
    client = _connect(deadline)
    try:
        if settings.EMAIL_USE_TLS:
            client.starttls(context=ssl.create_default_context())
        if settings.EMAIL_HOST_USER:
            _log_in(client)
        _hand_over(client, mail, message)
        return client.accepted.decode("utf-8", "replace")
    finally:
        client.close()


def _hand_over(client: _Client, mail: EmailMessage, message: Message) -> None:
    try:
        client.send_message(mail, to_addrs=[message.target])
    except smtplib.SMTPRecipientsRefused as refused:
        code, said = refused.recipients[message.target]
        raise _failure(code, said, recipient=True) from refused
    try:
        client.quit()
    except (OSError, smtplib.SMTPException) as error:  # the mail is accepted: what comes now does not matter
        log.info("agents.email.not-closed", key=message.key, error=f"{_name(error)}: {error}")


def _log_in(client: _Client) -> None:
    """Wrong credentials are the operator's to mend, not the message's fault: it waits for that."""
    try:
        client.login(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)
    except smtplib.SMTPResponseException as error:
        raise Transient(f"login refused: {error.smtp_code} {_said(error.smtp_error)}") from error


def _failure(code: int, said: bytes | str, *, recipient: bool = False) -> Permanent | Transient:
    """What a reply means: 4yz may pass, 5yz will not; at the recipient's name it can mean that there is nobody."""
    words = _said(said)
    why = f"the mail server answered {code} {words}"
    if not 500 <= code < 600:
        return Transient(why)
    return Permanent(why, gone=recipient and code in NO_SUCH_MAILBOX and not words.startswith(POLICY))


def _said(reply: bytes | str) -> str:
    return messages.one_line(reply if isinstance(reply, str) else reply.decode("utf-8", "replace"), limit=200)


def _name(error: BaseException) -> str:
    return type(error).__name__
