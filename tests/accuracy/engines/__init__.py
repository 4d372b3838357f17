"""Other engines on the accuracy workloads, each in an environment of its own; see run.sh."""
