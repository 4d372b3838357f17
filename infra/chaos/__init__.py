"""Break a running system on purpose, by a seed, and hold what it decided against the undisturbed run."""
