"""The recorded behaviour of a checkpoint: what it answers, in which serving class."""
