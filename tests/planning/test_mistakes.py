"""What a hint says of a selector that matches nothing."""

from __future__ import annotations

import pytest

from enireconcile.live.records import LiveVpc
from enireconcile.planning.mistakes import no_match_hint
from enireconcile.spec import Selector


@pytest.mark.parametrize(
    ("tags", "hint"),
    [
        (
            {"Name": "net-5x"},
            "did you mean `net-5`? values of Name on VPCs: net-5, net-1, net-2, net-3, net-4 and 2 more",
        ),
        ({"Name": "office"}, "values of Name on VPCs: net-1, net-2, net-3, net-4, net-5 and 2 more"),
        ({"Name": "net-1", "Team": "b"}, "values of Team on VPCs: a"),
        ({"Name": "net-2", "Team": "a"}, "see `aws ec2 describe-vpcs`"),
    ],
)
def test_the_nearest_value_and_some_others(tags: dict[str, str], hint: str) -> None:
    """The last one: each value exists, on different VPCs."""
    vpcs = [
        LiveVpc(f"vpc-{number}", {"Name": f"net-{number}", **({"Team": "a"} if number == 1 else {})}, (), False)
        for number in range(1, 8)
    ]
    assert no_match_hint(Selector(tags=tags), vpcs, "VPC") == hint
