"""Market data: where it comes from, how it is checked, and how ticks become bars and slices."""
