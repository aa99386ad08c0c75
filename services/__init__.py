"""What nodes are handed: settings, models, clock, telemetry."""
