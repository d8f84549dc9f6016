"""Trainings of models: asked for by people, by time and by drift; done by a worker."""
