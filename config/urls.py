"""Every address of the web server."""

from __future__ import annotations

from datetime import date

from django.contrib import admin
from django.http import HttpResponseRedirect
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

from agents import health_page, learn_page, readiness_page, tuning_page
from agents.api import Ingest
from agents.backtests.api import Backtests
from agents.case_api import Cases
from agents.coordinator import page as agents_page
from agents.coordinator.api import Agents
from agents.exports.api import Exports
from agents.health_api import EquipmentHealth, FleetHealth
from agents.learn_api import TrainingWindows
from agents.live.api import Live
from agents.questions.api import DetectAnomaly, Forecast, Predict, Questions
from agents.questions.drift import CheckDrift
from agents.reporting.api import Reports
from agents.run_api import Runs
from agents.schedule.api import Schedules, ScheduleVisits
from agents.trainings.api import Retrain, Trainings
from config import appearance, health
from maintenance import (
    carrying_page,
    exchange_page,
    kpi_page,
    link_views,
    order_board_page,
    order_calendar_page,
    order_print,
    people_api,
    performance_page,
)
from maintenance.api import Alarms, Anomalies
from maintenance.approval_api import Decisions, Waits
from maintenance.approval_policy_api import Delegations, Policies
from maintenance.audience_api import Channels, Readers, Subscriptions
from maintenance.checklist_api import Checklists
from maintenance.definition_api import AlarmDefinitions
from maintenance.effort_api import Downtimes, LabourLines, OtherCosts
from maintenance.escalation_api import Chains, Escalations
from maintenance.flood_api import Floods
from maintenance.kpi_api import Kpis, KpiTable
from maintenance.log_api import Log
from maintenance.message_api import Notifications
from maintenance.meter_api import Meters
from maintenance.operating_api import OperatingRules, OperatingStates
from maintenance.order_api import WorkOrders
from maintenance.order_part_api import OrderParts
from maintenance.parent_api import ParentRules
from maintenance.part_api import Movements, Parts, Stocks, Stores
from maintenance.permit_api import Attachments, Permits
from maintenance.plan_api import Plans
from maintenance.record_api import DetectorRecords
from maintenance.report_api import AlarmReport
from maintenance.rota_api import Overrides, Rotas
from maintenance.rules_api import ChecklistTemplates, LabourRates, RulesOfWork
from maintenance.suppression_api import Suppressions
from maintenance.tool_api import ToolLoans, Tools
from maintenance.webhook_api import WebhookDeliveries, Webhooks
from maintenance.window_api import Windows
from mlops.api import Deployments, Models, Predictions
from mlops.drift_api import DriftChecks
from mlops.performance_api import LivePerformances
from sensors import my_sessions_page, problems, second_factor_page, sessions_api, tokens
from sensors.api import Batches, EquipmentTree, Sensors, Sites
from sensors.audit_api import Audit
from sensors.default_api import SensorDefaults
from sensors.deprecation import Deprecation
from sensors.description import Description
from sensors.key_api import ApiKeys
from sensors.label_api import Labels, Regimes
from sensors.permissions import PUBLIC
from sensors.policy import by_method


class Router(DefaultRouter):
    """Without the root page, which would be one more thing to guard."""

    include_root_view = False
    include_format_suffixes = False


class Explorer(SpectacularSwaggerSplitView):
    policy = by_method(get=PUBLIC)


def _second(name: str) -> Deprecation:
    """Of an address that is the second one of the same."""
    return Deprecation(since=date(2026, 11, 28), until=date(2027, 11, 28), instead=name)


router = Router()
router.register("sites", Sites, basename="site")
router.register("equipment", EquipmentTree, basename="equipment")
router.register("equipment-health", FleetHealth, basename="equipment-health")
router.register("sensors", Sensors, basename="sensor")
router.register("api-keys", ApiKeys, basename="api-key")
router.register("sensor-defaults", SensorDefaults, basename="sensor-default")
router.register("batches", Batches, basename="batch")
router.register("labels", Labels, basename="label")
router.register("regimes", Regimes, basename="regime")
router.register("anomalies", Anomalies, basename="anomaly")
router.register("alarms", Alarms, basename="alarm")
router.register("floods", Floods, basename="flood")
router.register("alarm-definitions", AlarmDefinitions, basename="alarm-definition")
router.register("detector-records", DetectorRecords, basename="detector-record")
router.register("suppressions", Suppressions, basename="suppression")
router.register("maintenance-windows", Windows, basename="maintenance-window")
router.register("operating-rules", OperatingRules, basename="operating-rule")
router.register("parent-rules", ParentRules, basename="parent-rule")
router.register("operating-states", OperatingStates, basename="operating-state")
router.register("escalations", Escalations, basename="escalation")
router.register("escalation-chains", Chains, basename="escalation-chain")
router.register("rotas", Rotas, basename="rota")
router.register("on-call-overrides", Overrides, basename="on-call-override")
router.register("persons", Readers, basename="person")
router.register("channels", Channels, basename="channel")
router.register("subscriptions", Subscriptions, basename="subscription")
router.register("webhooks", Webhooks, basename="webhook")
router.register("webhook-deliveries", WebhookDeliveries, basename="webhook-delivery")
router.register("work-orders", WorkOrders, basename="work-order")
router.register("plans", Plans, basename="plan")
router.register("meters", Meters, basename="meter")
router.register("work-order-parts", OrderParts, basename="work-order-part")
router.register("parts", Parts, basename="part")
router.register("stores", Stores, basename="store")
router.register("stocks", Stocks, basename="stock")
router.register("stock-movements", Movements, basename="stock-movement")
router.register("tools", Tools, basename="tool")
router.register("tool-loans", ToolLoans, basename="tool-loan")
router.register("checklist-templates", ChecklistTemplates, basename="checklist-template")
router.register("checklists", Checklists, basename="checklist")
router.register("labour-rates", LabourRates, basename="labour-rate")
router.register("labour", LabourLines, basename="labour")
router.register("other-costs", OtherCosts, basename="other-cost")
router.register("downtimes", Downtimes, basename="downtime")
router.register("work-rules", RulesOfWork, basename="work-rule")
router.register("permits", Permits, basename="permit")
router.register("attachments", Attachments, basename="attachment")
router.register("log", Log, basename="log")
router.register("approvals-waiting", Waits, basename="approval-waiting")
router.register("approval-decisions", Decisions, basename="approval-decision")
router.register("approval-policies", Policies, basename="approval-policy")
router.register("delegations", Delegations, basename="delegation")
router.register("notifications", Notifications, basename="notification")
router.register("schedules", Schedules, basename="schedule")
router.register("schedule-visits", ScheduleVisits, basename="schedule-visit")
for name, view in people_api.LISTS.items():
    router.register(name, view, basename=name)
router.register("audit", Audit, basename="audit")
router.register("runs", Runs, basename="run")
router.register("cases", Cases, basename="case")
router.register("backtests", Backtests, basename="backtest")
router.register("reports", Reports, basename="report")
router.register("exports", Exports, basename="export")
router.register("ml/models", Models, basename="ml-model")
router.register("ml/drift-checks", DriftChecks, basename="ml-drift-check")
router.register("ml/performances", LivePerformances, basename="ml-performance")
router.register("ml/deployments", Deployments, basename="ml-deployment")
router.register("ml/predictions", Predictions, basename="ml-prediction")
router.register("ml/trainings", Trainings, basename="ml-training")
router.register("ml/training-windows", TrainingWindows, basename="ml-training-window")
router.register("ml/questions", Questions, basename="ml-question")

api: list[URLPattern | URLResolver] = [
    path("data/ingest", Ingest.as_view(), name="ingest"),
    path("auth/token/", tokens.Login.as_view(), name="token"),
    path("auth/refresh/", tokens.Refresh.as_view(), name="token-refresh"),
    path("auth/blacklist/", tokens.Blacklist.as_view(), name="token-blacklist"),
    path(
        "auth/token/refresh/",
        tokens.Refresh.as_view(deprecation=_second("token-refresh")),
        name="token-refresh-under-token",
    ),
    path(
        "auth/token/blacklist/",
        tokens.Blacklist.as_view(deprecation=_second("token-blacklist")),
        name="token-blacklist-under-token",
    ),
    path("auth/sessions/", sessions_api.Sessions.as_view(), name="auth-sessions"),
    re_path("^auth/sessions/(?P<pk>[^/.]+)/$", sessions_api.OneSession.as_view(), name="auth-session"),
    path("ml/predict/", Predict.as_view(), name="ml-predict"),
    path("ml/forecast/", Forecast.as_view(), name="ml-forecast"),
    path("ml/detect_anomaly/", DetectAnomaly.as_view(), name="ml-detect-anomaly"),
    path("ml/check_drift/", CheckDrift.as_view(), name="ml-check-drift"),
    path("ml/retrain/", Retrain.as_view(), name="ml-retrain"),
    re_path("^equipment/(?P<pk>[^/.]+)/health/$", EquipmentHealth.as_view(), name="equipment-health-detail"),
    path("live/", Live.as_view(), name="live-stream"),
    path("alarm-report/", AlarmReport.as_view(), name="alarm-report"),
    path("agents/", Agents.as_view(), name="agents-health"),
    path("kpis/", Kpis.as_view(), name="kpis"),
    path("kpis/csv/", KpiTable.as_view(), name="kpis-csv"),
    path("schema/", Description.as_view(), name="schema"),
    path("docs/", Explorer.as_view(), name="docs"),
    path("", include(router.urls)),
]

urlpatterns = [
    path("api/v1/", include(api)),  # first, and in it readings first: each pattern before them costs every request
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("favicon.ico", lambda request: HttpResponseRedirect(appearance.icon(request)), name="icon"),
    path("admin/alarm-performance/", admin.site.admin_view(performance_page.view), name=performance_page.NAME),
    path("admin/maintenance-figures/", admin.site.admin_view(kpi_page.view), name=kpi_page.NAME),
    path("admin/alarm-tuning/", admin.site.admin_view(tuning_page.view), name=tuning_page.NAME),
    path("admin/machine-health/", admin.site.admin_view(health_page.view), name=health_page.NAME),
    path("admin/agents-health/", admin.site.admin_view(agents_page.view), name=agents_page.NAME),
    path("admin/training-windows/", admin.site.admin_view(learn_page.view), name=learn_page.NAME),
    path("admin/readiness/", admin.site.admin_view(readiness_page.view), name=readiness_page.NAME),
    path("admin/carry-out/<int:order_id>/", admin.site.admin_view(carrying_page.view), name=carrying_page.NAME),
    path("admin/attachments/<int:attachment_id>/", admin.site.admin_view(carrying_page.file), name=carrying_page.FILE),
    path("admin/import-export/", admin.site.admin_view(exchange_page.view), name=exchange_page.NAME),
    path("admin/import-export/file", admin.site.admin_view(exchange_page.export), name=exchange_page.EXPORT),
    path("admin/order-board/", admin.site.admin_view(order_board_page.view), name=order_board_page.NAME),
    path(
        "admin/order-board/<int:key>/<slug:name>/",
        admin.site.admin_view(order_board_page.move),
        name=order_board_page.MOVE,
    ),
    path("admin/order-calendar/", admin.site.admin_view(order_calendar_page.view), name=order_calendar_page.NAME),
    path(
        "admin/order-calendar/<int:key>/",
        admin.site.admin_view(order_calendar_page.move),
        name=order_calendar_page.MOVE,
    ),
    path("admin/order-print/<int:key>/", admin.site.admin_view(order_print.view), name=order_print.NAME),
    path("admin/second-factor/", admin.site.admin_view(second_factor_page.view), name=second_factor_page.NAME),
    path("admin/my-sessions/", admin.site.admin_view(my_sessions_page.view), name=my_sessions_page.NAME),
    path("admin/", admin.site.urls),
    path("act/<slug:purpose>/<str:token>", link_views.act, name="act"),
    path("problems/<slug:name>", problems.page, name="problem"),
    path("health/live", health.live, name="live"),
    path("health/ready", health.ready, name="ready"),
    path("health/deep", health.deep, name="deep"),
    path("metrics", health.metrics, name="metrics"),
]
handler400 = "sensors.problems.bad_request"
handler403 = "config.not_allowed.view"
handler404 = "sensors.problems.not_found"
handler500 = "sensors.problems.server_error"
