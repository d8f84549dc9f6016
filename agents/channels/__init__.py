"""The channels, by the kind that ``maintenance.models.Channel`` gives them."""

from __future__ import annotations

from collections.abc import Mapping

from agents.channels import console, contract, email, service, webhook

CHANNELS: Mapping[str, contract.Channel] = {
    "CONSOLE": console.Console(),
    "EMAIL": email.Email(),
    "SERVICE": service.Service(),
    "WEBHOOK": webhook.Webhook(),
}
