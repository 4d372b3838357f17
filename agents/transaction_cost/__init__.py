"""The transaction cost pool: commission, spread and market impact."""
