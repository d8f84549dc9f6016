"""Questions to models over REST, and their answers."""
