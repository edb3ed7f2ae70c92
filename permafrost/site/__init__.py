"""What is wanted: the site file, its models and its cross-field checks."""
