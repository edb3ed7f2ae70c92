"""One Linux machine as a vSphere site: the lab and its tools."""
