"""The admin's menu: the lists and pages that whoever asks may open, by what people come for."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from agents import health_page, learn_page, readiness_page
from agents.coordinator import page as agents_page
from maintenance import exchange_page, kpi_page, order_board_page, order_calendar_page, performance_page

MENU = (
    ("Work", (
        ("Alarms", "notifications_active", "maintenance_alarm"),
        ("Alarm performance", "monitoring", performance_page.NAME),
        ("Floods", "flood", "maintenance_flood"),
        ("Hidden alarms", "visibility_off", "maintenance_suppression"),
        ("Alarm definitions", "tune", "maintenance_alarmdefinition"),
        ("Maintenance windows", "event_repeat", "maintenance_maintenancewindow"),
        ("Operating states", "power_settings_new", "maintenance_operatingstate"),
        ("Operating rules", "rule_settings", "sensors_operatingrule"),
        ("Parent rules", "account_tree", "maintenance_parentrule"),
        ("Work orders", "build", "maintenance_workorder"),
        ("Board", "view_kanban", order_board_page.NAME),
        ("Calendar", "calendar_month", order_calendar_page.NAME),
        ("Preventive plans", "event_upcoming", "maintenance_plan"),
        ("Meters", "avg_pace", "maintenance_meter"),
        ("Checklists", "checklist", "maintenance_checklisttemplate"),
        ("Downtime", "power_off", "maintenance_downtime"),
        ("Safety permits", "health_and_safety", "maintenance_permit"),
        ("Labour rates", "payments", "maintenance_labourrate"),
        ("Rules of work", "gavel", "maintenance_workrules"),
        ("Maintenance log", "menu_book", "maintenance_logline"),
        ("Reports", "summarize", "agents_report"),
        ("Report schedules", "schedule_send", "agents_reportschedule"),
        ("Maintenance figures", "bar_chart", kpi_page.NAME),
        ("Waiting for approval", "pending_actions", "maintenance_approvalwait"),
        ("Approval policies", "policy", "maintenance_approvalpolicy"),
        ("Delegations", "supervisor_account", "maintenance_delegation"),
        ("What was approved", "approval", "maintenance_approvaldecision"),
        ("Schedule", "calendar_month", "maintenance_schedule"),
        ("Schedule by person", "view_timeline", "maintenance_schedulevisit"),
        ("Order timings", "hourglass", "maintenance_ordertiming"),
        ("Anomalies", "troubleshoot", "maintenance_anomaly"),
        ("Decisions", "rule", "maintenance_decision"),
        ("Detector record", "fact_check", "maintenance_detectorrecord"),
        ("Labels", "label", "sensors_label"),
        ("New normals", "restart_alt", "sensors_regime"),
        ("Backtests", "science", "agents_backtest"),
    )),
    ("Models", (
        ("Models", "psychology", "mlops_modelpolicy"),
        ("Versions", "deployed_code_history", "mlops_modelversion"),
        ("Who spoke when", "history", "mlops_deployment"),
        ("What models said", "online_prediction", "mlops_prediction"),
        ("How models do", "ecg_heart", "mlops_modelhealth"),
        ("Drift", "trending_down", "mlops_driftcheck"),
        ("Performance", "speed", "mlops_liveperformance"),
        ("Trainings", "model_training", "mlops_training"),
        ("Training windows", "dataset", learn_page.NAME),
    )),
    ("Plant", (
        ("Sites", "factory", "sensors_site"),
        ("Equipment", "precision_manufacturing", "sensors_equipment"),
        ("Health of machines", "vital_signs", health_page.NAME),
        ("Sensors", "sensors", "sensors_sensor"),
        ("Sensor defaults", "settings_input_component", "sensors_sensordefault"),
        ("Import and export", "swap_horiz", exchange_page.NAME),
        ("Silent sensors", "sensors_off", "sensors_sensorpresence"),
        ("Unknown sensors", "unknown_med", "sensors_discoveredsensor"),
    )),
    ("Stores", (
        ("Parts", "settings", "maintenance_part"),
        ("Stores", "warehouse", "maintenance_store"),
        ("Stock", "inventory_2", "maintenance_stock"),
        ("Movements", "swap_vert", "maintenance_movement"),
        ("Tools", "handyman", "maintenance_tool"),
        ("Tools issued", "outbound", "maintenance_toolloan"),
    )),
    ("Messages", (
        ("Channels", "outgoing_mail", "maintenance_channel"),
        ("Subscriptions", "mark_email_read", "maintenance_subscription"),
        ("Persons", "person", "maintenance_reader"),
        ("Escalations", "notification_important", "maintenance_escalation"),
        ("Escalation chains", "stairs", "maintenance_chain"),
        ("On call", "event_available", "maintenance_rota"),
        ("Notifications", "forward_to_inbox", "maintenance_notification"),
        ("Webhooks", "webhook", "maintenance_webhook"),
        ("Webhook deliveries", "outbox", "maintenance_webhookdelivery"),
        ("Ledger", "receipt_long", "maintenance_attempt"),
        ("Links used", "link", "maintenance_linkuse"),
    )),
    ("Flow", (
        ("Agents", "smart_toy", agents_page.NAME),
        ("Failed work", "stethoscope", "agents_case"),
        ("Audit trail", "verified_user", "sensors_auditentry"),
        ("Exports", "download", "agents_export"),
        ("Slowed clients", "speed", "agents_throttle"),
        ("Runs", "conversion_path", "agents_run"),
        ("Batches", "inbox", "sensors_batch"),
        ("Batch parts", "deployed_code", "sensors_batchpart"),
        ("Reading conflicts", "difference", "sensors_readingconflict"),
        ("Machine states", "memory", "mlops_machinestate"),
        ("Journal", "history_edu", "sensors_event"),
        ("Periodic jobs", "schedule", "agents_jobrun"),
        ("Backups", "settings_backup_restore", "agents_backup"),
        ("Readiness", "verified", readiness_page.NAME),
    )),
    ("Workforce", (
        ("Workers", "engineering", "maintenance_worker"),
        ("Teams", "groups", "maintenance_team"),
        ("Skills", "school", "maintenance_skill"),
        ("Skills of workers", "workspace_premium", "maintenance_workerskill"),
        ("Required skills", "rule_settings", "maintenance_requiredskill"),
        ("Working hours", "schedule", "maintenance_workinghours"),
        ("Absences", "event_busy", "maintenance_absence"),
        ("Holidays", "celebration", "maintenance_holiday"),
        ("Travel", "route", "maintenance_travel"),
        ("Machine hours", "more_time", "maintenance_machinehours"),
    )),
    ("People", (
        ("Users", "person", "auth_user"),
        ("Groups", "group", "auth_group"),
        ("API keys", "key", "sensors_apikey"),
        ("API sessions", "vpn_key", "sensors_tokenfamily"),
        ("Failed log-ins", "lock", "axes_accessattempt"),
    )),
)  # fmt: skip

PAGES = (health_page, learn_page, performance_page, kpi_page, order_board_page, order_calendar_page, exchange_page)
LINKS = {page.NAME: performance_page.may_view for page in PAGES} | {
    agents_page.NAME: agents_page.may_view,
    readiness_page.NAME: readiness_page.may_view,
}
"""Pages of the menu that are no list of a model, by the names of their addresses: who may view them."""


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Unfold's SIDEBAR navigation: the lists that whoever asks may open, by what people come for."""
    pages = {f"{m._meta.app_label}_{m._meta.model_name}": page for m, page in admin.site._registry.items()}
    overview = {"title": "Overview", "icon": "dashboard", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"items": [overview]}]
    for title, entries in MENU:
        items = [
            {"title": name, "icon": icon, "link": reverse(page if page in LINKS else f"admin:{page}_changelist")}
            for name, icon, page in entries
            if (LINKS[page](request) if page in LINKS else pages[page].has_view_permission(request))
        ]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    return groups
