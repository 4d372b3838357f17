"""The execution pool: the order life cycle and the paper venue."""
