"""The recorder: open-loop load with known expected tokens, and its checker."""
