"""Every spec in specs/ is applied and kept on a foreign EC2, as far as that goes."""

from __future__ import annotations

import pytest

from tests.harness import Harness
from tests.scenarios.test_specs import SPECS, prepared, stands

UBUNTU = '{name: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*", owner: "099720109477"}'
AMAZON = "{ssm: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64}"
GAPS = dict.fromkeys(
    ("mail-host", "many-addresses"), "moto shows every Elastic IP of an interface on its primary private address"
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.xfail(reason=GAPS[name]) if name in GAPS else ()) for name in SPECS],
)
def test_on_moto(name: str, moto_harness: Harness) -> None:
    """Applied and at rest on a foreign EC2, which knows no such Ubuntu and never lets go of an interface."""
    stands(moto_harness, prepared(name, moto_harness).replace(UBUNTU, AMAZON))


def test_ten_addresses_on_moto_as_far_as_it_goes(moto_harness: Harness) -> None:
    """All are allocated and lead to the interface; moto tells a quota of five, keeps none, and refuses none."""
    text = prepared("many-addresses", moto_harness)
    [warning] = moto_harness.plan(text).warnings
    assert warning.startswith("the account has 0 of 5 Elastic IPs, the spec allocates 10; this endpoint")
    assert moto_harness.apply(text).outcome == "partial"
    mine = [{"Name": "tag:enireconcile:stack", "Values": ["many-addresses"]}]
    [interface] = moto_harness.client().describe_network_interfaces(Filters=mine)["NetworkInterfaces"]
    on = [each["NetworkInterfaceId"] for each in moto_harness.client().describe_addresses()["Addresses"]]
    assert on == [interface["NetworkInterfaceId"]] * 10
