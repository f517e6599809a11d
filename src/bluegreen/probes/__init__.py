"""Health checks and smoke tests: `http` asks real replicas, `fake` answers as it was told."""
