"""See formats.py: Django looks for it by language."""
