"""The lab's frozen checkpoints: packed, and their behaviour recorded from the engine alone."""
