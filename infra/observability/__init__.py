"""What the system tells of itself: metrics, structured logs."""
