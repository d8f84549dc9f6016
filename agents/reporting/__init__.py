"""Reports: of anomalies, maintenance, the health of the system and the quality of its data, from what is stored."""
