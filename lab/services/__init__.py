"""The lab's own servers: vCenter, OCI registry, package source."""
