"""The data sources: looking things up by name."""
