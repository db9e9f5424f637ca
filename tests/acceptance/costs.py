"""What a run makes, and what that costs at most."""

from __future__ import annotations

from dataclasses import dataclass

from tests.acceptance.account import LARGER, SMALL

PRICES_OF = "us-east-1, on demand, 2025"
MINUTES = 60
"""Longer than a run takes: expect about 30, cleaning up included."""
ELASTIC_IPS = 3
"""The most at one time. EC2's default quota is 5."""


@dataclass(frozen=True)
class Item:
    """Something that costs money. `count` is the most at one time, `price` US dollars an hour for one."""

    what: str
    count: int
    price: float


ITEMS = (
    Item(f"{SMALL} instances", 3, 0.0052),
    Item(f"{LARGER} instance", 1, 0.0104),
    Item("public IPv4 addresses (Elastic IPs)", ELASTIC_IPS, 0.005),
    Item("gp3 volumes of 8 GiB", 4, 8 * 0.08 / 730),
)


def total() -> float:
    """US dollars, if everything were there for the whole time."""
    return sum(item.count * item.price for item in ITEMS) * MINUTES / 60


def lines() -> list[str]:
    """The costs, for the question before a run."""
    rows = [f"  {item.count} × {item.what}: ${item.price:.4f} an hour each" for item in ITEMS]
    return [
        *rows,
        "  1 VPC with 2 subnets, an internet gateway and a route table, interfaces, security groups: free",
        f"  at most ${total():.2f} in {MINUTES} minutes (list prices: {PRICES_OF}; some Regions cost twice that)",
    ]
