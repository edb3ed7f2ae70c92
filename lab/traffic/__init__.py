"""The recorder: open-loop load whose every answer is known beforehand, and its checker."""
