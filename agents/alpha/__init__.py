"""The alpha pool: from prices to opinions."""
