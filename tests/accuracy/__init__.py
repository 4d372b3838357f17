"""Accuracy: the replay against hand-written loops and against other engines, on made and on real data."""
