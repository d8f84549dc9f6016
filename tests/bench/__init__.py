"""Benchmarks: each prints a table and keeps it as JSON. Run by make, never by the test runner."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()
