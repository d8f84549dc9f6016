from django.contrib import admin
from django.urls import path

from sensors import problems

urlpatterns = [
    path("admin/", admin.site.urls),
    path("problems/<slug:name>", problems.page, name="problem"),
]
handler404 = "sensors.problems.not_found"
handler500 = "sensors.problems.server_error"
