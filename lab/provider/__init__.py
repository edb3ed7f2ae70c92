"""The lab's stand-in for the vSphere provider plugin."""
