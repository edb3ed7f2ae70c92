"""systemd-nspawn machines in place of ESXi VMs."""
