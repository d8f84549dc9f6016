"""What the API's schema calls its choices, where it could not tell them apart or would find a poor name."""

from __future__ import annotations

from typing import Any

from maintenance import failure_data

NAMES: dict[str, Any] = {
    "AlarmPriority": "maintenance.definition_models.AlarmPriority",
    "AlarmState": ["NORM", "UNACK", "ACKED", "RTNUN", "SHLVD", "DSUPR", "OOSRV"],
    "ApiKeyKind": "sensors.identity_models.ApiKey.Kind",
    "AttemptOutcome": "maintenance.models.Attempt.Outcome",
    "BacktestStatus": "agents.models.Backtest.Status",
    "CaseStatus": "agents.models.Case.Status",
    "ChannelKind": "maintenance.models.Channel.Kind",
    "ChecklistItemKind": "maintenance.checklist_models.ItemKind",
    "DriftVerdict": "mlops.drift_models.DriftCheck.Verdict",
    "ExportForm": "agents.export_models.Export.Form",
    "ExportStatus": "agents.export_models.Export.Status",
    "ExportWhat": "agents.export_models.Export.What",
    "FailureCause": list(failure_data.CAUSES.items()),
    "FailureMode": "maintenance.failure_modes.CODES",
    "ItemStatus": [("held", "held"), ("duplicate", "duplicate"), ("rejected", "rejected")],
    "LabelKind": "sensors.models.Label.Kind",
    "MeterUnit": "maintenance.plan_models.Meter.Unit",
    "NotificationStatus": "maintenance.models.Notification.Status",
    "OrderCostKind": "maintenance.effort_models.OrderCost.Kind",
    "PermitKind": "maintenance.checklist_models.PermitKind",
    "PlanKind": "maintenance.plan_models.Plan.Kind",
    "PlanUnit": "maintenance.plan_models.Plan.Unit",
    "Priority": "maintenance.models.Priority",
    "QuestionKind": "mlops.models.Question.Kind",
    "ReportForm": "agents.report_models.Form",
    "ReportKind": "agents.report_models.Kind",
    "RunStatus": "agents.models.Run.Status",
    "ScheduleStatus": "maintenance.schedule_models.Schedule.Status",
    "SensorKind": "sensors.models.Sensor.Kind",
    "TrainingCause": "mlops.models.Training.Cause",
    "TriageVerdict": "maintenance.models.Triaged.Verdict",
    "WebhookDeliveryStatus": "maintenance.webhook_models.WebhookDelivery.Status",
    "WebhookStatus": "maintenance.webhook_models.Webhook.Status",
    "WorkOrderStatus": "maintenance.models.WorkOrder.Status",
    "WorkOrderVerdict": "maintenance.models.WorkOrder.Verdict",
    "WhatEnum": "maintenance.approval_models.ApprovalDecision.What",
}
