"""What every test is given: examples are judged by what they show, not by how long they take.

How fast an example is depends on what else the machine does; speed is measured in tests/bench.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "permafrost", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("permafrost")
