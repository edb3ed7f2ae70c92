"""The project's test command: check, test, soak and bench, on a lab of their own."""
