"""The load of the benchmarks: a process of its own, which knows nothing of the service."""
