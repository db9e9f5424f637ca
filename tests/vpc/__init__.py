"""A VPC's data plane in network namespaces, built from what the Describe calls of an EC2 say.

    with DataPlane(harness.client()) as plane:
        web = plane.guest(instance_id)
        web.boot()
        web.serve_http("Testing ENI")
        assert plane.fetch(public_ip) == "Testing ENI"

What EC2 delivers, filters and drops is EC2's; what a guest makes of it is the Linux kernel's.
"""

from __future__ import annotations

from .namespace import Namespace
from .plane import DataPlane, Guest

__all__ = ["DataPlane", "Guest", "Namespace"]
