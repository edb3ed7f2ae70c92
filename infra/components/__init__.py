"""Component resources of the Pulumi program."""
