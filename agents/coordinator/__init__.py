"""The coordinator: which agents there are, what each does, and how each is."""
