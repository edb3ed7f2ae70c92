"""What every VM and rule of a site must have, checked by Pulumi before anything is touched."""
