"""The way in: a list of readings, each validated by a serializer; a batch; and the first task after the commit."""

import math

from django.db import transaction
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from plant.models import Batch
from plant.tasks import ingest


class ReadingIn(serializers.Serializer):
    sensor = serializers.CharField(max_length=200)
    measured_at = serializers.DateTimeField()
    value = serializers.FloatField()

    def validate_value(self, value: float) -> float:
        if not math.isfinite(value):
            raise serializers.ValidationError("Not a finite number.")
        return value


class Ingest(APIView):
    def post(self, request):
        readings = ReadingIn(data=request.data, many=True)
        readings.is_valid(raise_exception=True)
        with transaction.atomic():
            batch = Batch.objects.create(submitted_by=request.user, body=request.data)
            transaction.on_commit(lambda: ingest.delay(batch.pk))
        return Response({"batch": batch.pk, "accepted": len(readings.validated_data)}, status=202)
