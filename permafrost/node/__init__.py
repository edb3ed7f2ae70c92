"""permafrost-node: the small service on each inference VM (standard library only)."""
