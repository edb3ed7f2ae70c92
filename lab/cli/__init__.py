"""permafrost-lab: thin commands."""
