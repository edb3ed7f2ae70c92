"""VirtualMachine: its schema, and each thing that can happen to one."""
