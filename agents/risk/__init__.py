"""The risk pool: pre-trade limits, the kill switch, value at risk."""
