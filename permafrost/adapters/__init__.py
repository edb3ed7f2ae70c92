"""Effects, one module a product."""
