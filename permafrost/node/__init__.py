"""permafrost-node: the small service on each inference VM (standard library only).

It fetches the pinned checkpoint, verifies its bytes before the model server loads them, and lets
the node into rotation only after a real generation has given the recorded tokens.

Installed as package ``permafrost_node``; its modules import each other relatively.
"""
