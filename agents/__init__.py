"""Who acts: the pool that users write, and the built-in pools."""
