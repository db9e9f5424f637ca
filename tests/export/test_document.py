"""The text of what EC2 shows, also where no spec can say it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from enireconcile.errors import EnireconcileError
from enireconcile.export import document
from enireconcile.export.document import exported
from enireconcile.live.records import instance, network_interface
from enireconcile.live.selected import Selected, Selection

WEB, ETH0, SUBNET = "i-0123456789abcdef0", "eni-0123456789abcdef0", "subnet-0123456789abcdef0"


def _owned(address: str) -> list[dict[str, str]]:
    tags = {"Name": address.partition(".")[2], "enireconcile:stack": "s", "enireconcile:name": address}
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _web(kind: str, tags: list[dict[str, str]]) -> Any:
    """An instance with the interface at index 0."""
    place = {"AttachmentId": "eni-attach-1", "DeviceIndex": 0}
    return instance(
        {
            "InstanceId": WEB,
            "State": {"Name": "running"},
            "ImageId": "ami-0123456789abcdef0",
            "InstanceType": kind,
            "Tags": tags,
            "NetworkInterfaces": [{"NetworkInterfaceId": ETH0, "Attachment": place}],
        }
    )


def _eth(index: int, card: int = 0, status: str = "attached", host: str = WEB, tags: Any = ()) -> Any:
    place = {"AttachmentId": "eni-attach-1", "InstanceId": host, "DeviceIndex": index, "NetworkCardIndex": card}
    attachment = {**place, "Status": status}
    return network_interface(
        {"NetworkInterfaceId": ETH0, "SubnetId": SUBNET, "Attachment": attachment, "TagSet": tags}
    )


def test_a_key_that_no_spec_can_say() -> None:
    """An adopted row does without it."""
    found = Selected("us-east-1", instances=(_web("huge!", [{"Key": "Name", "Value": "web"}]),))
    made = exported(Selection(instances=(WEB,)), found)
    assert yaml.safe_load(str(made.text))["instances"] == {"web": {"adopt": WEB, "image": "ami-0123456789abcdef0"}}
    [note] = made.notes
    assert note.startswith("left out: instances.web.instance_type: must be an instance type")


def test_more_than_a_spec_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_BYTES", 100)
    found = Selected("us-east-1", instances=(_web("m5.large", []),))
    with pytest.raises(EnireconcileError, match="a spec with 1 rows would be larger than the 100 bytes"):
        exported(Selection(instances=(WEB,)), found)


def test_a_row_that_no_spec_can_say() -> None:
    """Without `adopt` an instance needs its type. What refers to it keeps that as it is."""
    web, eth0 = _web("huge!", _owned("instances.web")), _eth(0, tags=_owned("network_interfaces.web-eth0"))
    made = exported(Selection(stack="s"), Selected("us-east-1", (), (web,), (eth0,)))
    data = yaml.safe_load(str(made.text))
    assert "instances" not in data
    assert data["network_interfaces"] == {
        "web-eth0": {"lifecycle": {"ignore": ["attachment", "subnet"]}, "subnet": SUBNET}
    }
    first, second = made.notes
    assert first.startswith("left out: instances.web, because of its instance_type: must be")
    assert second.startswith("left out: network_interfaces.web-eth0.attachment: there is no instance 'web'")


def test_where_an_interface_is_attached() -> None:
    """With its network card; not while it is detaching, nor where its instance is unknown."""
    web = _web("p4d.24xlarge", [{"Key": "Name", "Value": "web"}])

    def rows(eni: Any) -> Any:
        made = exported(Selection(instances=(WEB,)), Selected("us-east-1", (), (web,), (eni,)))
        return yaml.safe_load(str(made.text))["network_interfaces"]

    placed = {"instance": "web", "device_index": 1, "network_card_index": 2}
    assert rows(_eth(1, card=2)) == {"web-card2-eth1": {"adopt": ETH0, "attachment": placed}}
    assert rows(_eth(1, status="detaching")) == {"web-eth1": {"adopt": ETH0}}
    assert rows(_eth(1, host="i-0aaaaaaaaaaaaaaaa")) == {"interface-cdef0": {"adopt": ETH0}}
