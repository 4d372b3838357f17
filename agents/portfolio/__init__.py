"""The portfolio pool: from opinions to sizes, and the ledger of what happened."""
