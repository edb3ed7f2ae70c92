"""What the files of a checkpoint say of themselves; weights are not read, only their headers."""
