"""What operators see of a running service: figures for Prometheus. Nothing here decides anything."""
