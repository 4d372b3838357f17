"""Who learns: policies trained on replayed topics."""
