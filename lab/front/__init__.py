"""The front door: ``make up`` as ordered, timed parts. Standard library only."""
