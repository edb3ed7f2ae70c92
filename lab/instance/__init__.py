"""One lab on this Linux machine: its id, addresses, folders, secrets and processes.

Everything is found again from files, cgroups and the kernel's tables; nothing is held in memory
between two commands, so any of them may be killed at any point.
"""
