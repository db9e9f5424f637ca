"""``export``: a spec of what exists, whose plan adopts it and changes nothing, or is empty for a stack."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from enireconcile.aws.lab import named
from enireconcile.errors import EnireconcileError
from enireconcile.export.document import Exported
from enireconcile.model import Action
from enireconcile.ownership import OWN_TAGS
from enireconcile.spec.expand import escaped
from tests.ec2 import Call, Fail, Quotas
from tests.harness import SLOW, Harness, image_id, open_harness
from tests.lab_vpc import lab
from tests.scenarios.firewalls import Firewalls
from tests.scenarios.test_specs import every_spec, prepared
from tests.two_enis import Account

GOLDEN = Path(__file__).parents[1] / "export" / "golden"
PEER = "210987654321"


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Harness]:
    """An account with room for ten Elastic IPs."""
    with open_harness(tmp_path, replace(SLOW, quotas=Quotas(addresses=10))) as harness:
        yield harness


def text_of(harness: Harness, **selected: Any) -> str:
    """The exported text."""
    text = harness.export(**selected).text
    assert text is not None
    return text


def rows(harness: Harness, **selected: Any) -> Any:
    """The exported file as data, with what it says once laid under the rows."""
    data = yaml.safe_load(text_of(harness, **selected))
    for section, default in data.get("defaults", {}).items():
        for row in data[section].values():
            row |= {key: value for key, value in default.items() if key not in row and "external" not in row}
    return data


def assert_adopts(harness: Harness, text: str) -> None:
    """The plan has adoptions only; once they are done, it is empty, and so is that of the stack's own export."""
    plan = harness.plan(text)
    assert {change.action for change in plan.changes} == {Action.ADOPT}
    assert {field.field for change in plan.changes for field in change.fields} == {"tags"}
    assert {step.call for step in plan.steps} == {"CreateTags"}
    report = harness.apply(text)
    assert (report.outcome, report.error) == ("converged", None)
    harness.loop.now += 60
    assert harness.plan(text).empty
    assert harness.plan(text_of(harness, stack=yaml.safe_load(text)["stack"])).empty


def disown(harness: Harness, stack: str) -> None:
    """From now on it is as if another tool had made everything."""
    ec2, mine = harness.client(), [{"Name": "tag:enireconcile:stack", "Values": [stack]}]
    reservations = ec2.describe_instances(Filters=mine)["Reservations"]
    ids = [
        *(each["InstanceId"] for found in reservations for each in found["Instances"]),
        *(each["GroupId"] for each in ec2.describe_security_groups(Filters=mine)["SecurityGroups"]),
        *(
            each["NetworkInterfaceId"]
            for each in ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"]
        ),
        *(each["AllocationId"] for each in ec2.describe_addresses(Filters=mine)["Addresses"]),
    ]
    ec2.delete_tags(Resources=ids, Tags=[{"Key": key} for key in OWN_TAGS])
    harness.loop.now += 60


def instances(harness: Harness) -> tuple[str, ...]:
    found = harness.client().describe_instances()["Reservations"]
    return tuple(each["InstanceId"] for reservation in found for each in reservation["Instances"])


# ---- round trips


@every_spec
def test_the_plan_of_an_exported_stack_is_empty(name: str, account: Harness) -> None:
    """Each spec in specs/, applied and exported: nothing to do, nothing left over, nothing to warn of."""
    account.apply(prepared(name, account))
    account.loop.now += 60
    made = account.export(stack=name)
    assert made.notes == ()
    plan = account.plan(made.text)
    assert (plan.empty, plan.warnings, plan.leftovers) == (True, (), ())
    assert "adopt:" not in str(made.text)


@every_spec
@pytest.mark.parametrize("how", ["instances", "vpcs"])
def test_what_another_tool_made_is_only_adopted(name: str, how: str, account: Harness) -> None:
    """The same without the stack's tags, by instance and by VPC: all of it is exported, and adopted as it is."""
    spec = prepared(name, account)
    account.apply(spec)
    account.loop.now += 60
    disown(account, name)
    interfaces = account.client().describe_network_interfaces()["NetworkInterfaces"]
    vpcs = tuple({each["VpcId"] for each in interfaces})
    text = text_of(account, **{how: instances(account) if how == "instances" else vpcs})
    exported, wanted = account.spec(text).document, account.spec(spec).document
    for section in ("security_groups", "network_interfaces", "elastic_ips"):
        assert set(getattr(wanted, section)) <= set(getattr(exported, section))
    assert_adopts(account, text)


@pytest.mark.parametrize("how", ["stack", "instances"])
def test_it_reads_as_a_person_would_write_it(how: str, slow_harness: Harness) -> None:
    """The text for specs/two-enis.yaml; ids and addresses, which EC2 chose, are masked."""
    slow_harness.apply()
    slow_harness.loop.now += 60
    if how == "stack":
        text = text_of(slow_harness, stack="two-enis")
    else:
        disown(slow_harness, "two-enis")
        text = text_of(slow_harness, instances=instances(slow_harness))
    masked = re.sub(r"\b(ami|eipalloc|eni|i|sg)-[0-9a-f]{17}\b", r"\1-ID", text)
    masked = re.sub(r"# \d+\.\d+\.\d+\.\d+", "# PUBLIC", re.sub(r"172\.31\.\d+\.\d+", "172.31.N.N", masked))
    assert masked == (GOLDEN / f"two-enis-{how}.yaml").read_text(encoding="utf-8")


def firewalls(account: Harness) -> str:
    """specs/firewall-pair.yaml for three firewalls, applied."""
    pair = "pair: {a: {ip: 11}, b: {ip: 12}}"
    spec = prepared("firewall-pair", account)
    assert pair in spec
    spec = spec.replace(pair, f"{pair[:-1]}, c: {{ip: 13}}}}")
    assert account.apply(spec).outcome == "converged"
    account.loop.now += 60
    return spec


TEMPLATES = {
    "instances": {"fw-${each.key}"},
    "network_interfaces": {"fw-${each.key}-mgmt", "fw-${each.key}-outside", "fw-${each.key}-inside"},
    "elastic_ips": {"fw-${each.key}"},
}


def test_rows_that_are_alike_are_a_template(account: Harness) -> None:
    """Of a stack with three firewalls; the Elastic IPs, which EC2 chose, are comments of the elements."""
    spec = firewalls(account)
    text = text_of(account, stack="firewall-pair")
    data = yaml.safe_load(text)
    assert data["variables"] == {
        "fw": {
            key: {"mgmt": f"10.0.2.{ip}", "outside": f"10.0.1.{ip}", "inside": f"10.0.3.{ip}"}
            for key, ip in (("a", 11), ("b", 12), ("c", 13))
        }
    }
    for section, names in TEMPLATES.items():
        assert {name for name, row in data[section].items() if "for_each" in row} == names
    assert re.search(
        r"^    a: \{mgmt: 10.0.2.11, outside: 10.0.1.11, inside: 10.0.3.11\}  # [\d.]+$", text, re.MULTILINE
    )
    assert set(account.spec(text).document.resources) == set(account.spec(spec).document.resources)
    plan = account.plan(text)
    assert (plan.empty, plan.warnings, plan.leftovers) == (True, (), ())


def test_templates_adopt(account: Harness) -> None:
    """Elements have the ids that their rows adopt."""
    spec = firewalls(account)
    disown(account, "firewall-pair")
    text = text_of(account, instances=instances(account))
    data = yaml.safe_load(text)
    assert data["network_interfaces"]["fw-${each.key}-inside"]["adopt"] == "${each.value.inside.adopt}"
    assert set(account.spec(text).document.resources) == set(account.spec(spec).document.resources)
    assert_adopts(account, text)


# ---- an account that grew by hand


class Grown:
    """Instances that the console launched, with names, tags and rules as they come."""

    def __init__(self, harness: Harness) -> None:
        self.harness, self.ec2, self.world = harness, harness.client(), harness.strict.world
        self.vpc, self.subnets = lab(harness)

    def launch(self, name: str, subnet: str = "lab-a", kind: str = "t3.medium", **more: Any) -> str:
        place = {} if "NetworkInterfaces" in more else {"SubnetId": self.subnets[subnet]}
        launched = self.ec2.run_instances(
            ImageId=image_id(self.ec2),
            InstanceType=kind,
            MinCount=1,
            MaxCount=1,
            **place,
            TagSpecifications=named("instance", name) if name else [],
            **more,
        )
        self.wait()
        return str(launched["Instances"][0]["InstanceId"])

    def interface(self, instance: str, index: int = 1, **more: Any) -> str:
        made = self.ec2.create_network_interface(SubnetId=self.subnets["lab-a"], **more)
        eni = str(made["NetworkInterface"]["NetworkInterfaceId"])
        self.wait()
        self.ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=index)
        self.wait()
        return eni

    def primary(self, instance: str) -> str:
        filters = [
            {"Name": "attachment.instance-id", "Values": [instance]},
            {"Name": "attachment.device-index", "Values": ["0"]},
        ]
        [found] = self.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return str(found["NetworkInterfaceId"])

    def group(self, name: str, vpc: str | None = None, **more: Any) -> str:
        made = self.ec2.create_security_group(GroupName=name, Description="d", VpcId=vpc or self.vpc, **more)
        self.wait()
        return str(made["GroupId"])

    def address(self, interface: str | None = None, **more: Any) -> str:
        allocation = str(self.ec2.allocate_address()["AllocationId"])
        self.wait()
        if interface:
            self.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=interface, **more)
            self.wait()
        return allocation

    def tag(self, resource: str, **tags: str) -> None:
        self.ec2.create_tags(Resources=[resource], Tags=[{"Key": key, "Value": tags[key]} for key in tags])

    def wait(self) -> None:
        self.harness.loop.now += 60


@pytest.fixture
def grown(account: Harness) -> Grown:
    return Grown(account)


def test_unnamed_resources_get_the_names_of_their_roles(grown: Grown) -> None:
    """Two instances with one Name, interfaces and addresses without any; the default group needs no word."""
    web, twin, nameless = grown.launch("web"), grown.launch("web"), grown.launch("")
    second = grown.interface(web)
    grown.tag(second, Name="web")
    grown.address(second)
    made = grown.ec2.assign_private_ip_addresses(NetworkInterfaceId=second, SecondaryPrivateIpAddressCount=1)
    [ip] = [each["PrivateIpAddress"] for each in made["AssignedPrivateIpAddresses"]]
    grown.wait()
    grown.address(second, PrivateIpAddress=ip)
    first = "web-1" if web < twin else "web-2"
    data = rows(grown.harness, vpcs=(grown.vpc,))
    assert set(data["instances"]) == {"web-1", "web-2", f"instance-{nameless[-5:]}"}
    assert data["instances"][first]["adopt"] == web
    assert data["instances"][first]["tags"] == {"Name": "web"}
    assert data["network_interfaces"]["web"]["attachment"] == {"instance": first, "device_index": 1}
    assert {f"{first}-eth0", f"instance-{nameless[-5:]}-eth0"} < set(data["network_interfaces"])
    assert all("security_groups" not in row for row in data["network_interfaces"].values())
    assert data["elastic_ips"]["web"]["association"] == {"network_interface": "web"}
    further = data["elastic_ips"][f"web-{ip.rpartition('.')[2]}"]
    assert further["association"] == {"network_interface": "web", "private_ip": ip}
    assert "security_groups" not in data
    assert_adopts(grown.harness, text_of(grown.harness, vpcs=(grown.vpc,)))


def test_what_a_launch_made_is_exported_as_it_is(grown: Grown) -> None:
    """Deleted with its instance, with an automatic public address, of which the comment warns."""
    default = grown.ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"][0]
    grown.subnets["default"] = default["SubnetId"]
    web = grown.launch("web", subnet="default", MetadataOptions={"HttpTokens": "optional"}, KeyName="ops")
    text = text_of(grown.harness, instances=(web,))
    data = yaml.safe_load(text)
    row = data["network_interfaces"]["web-eth0"]
    assert row["attachment"] == {"instance": "web", "device_index": 0, "delete_on_termination": True}
    assert row["subnet"] == {"default_for_az": default["AvailabilityZone"]}
    assert row["associate_public_ip_address"] is True
    assert re.search(r"associate_public_ip_address: true  # [\d.]+ now; EC2 gives another one after a stop", text)
    assert data["instances"]["web"]["metadata_options"] == {"http_tokens": "optional"}
    assert data["instances"]["web"]["key_name"] == "ops"
    assert "user_data" not in data["instances"]["web"]
    assert_adopts(grown.harness, text)


TRAPS = {
    "on": "yes",
    "012": "1:30",
    "null": "~",
    "a: b": "# no comment",
    "price": "${var.nothing} $${x} ${elastic_ips.a.public_ip}",
    "quotes": "\"'\\",
    "empty": "",
    "city": "Zürich – 北京 \U0001f600",
    "indicator": "- [x]",
    "end": "trailing: ",
    "-": "?",
}


def test_tags_are_what_they_are(grown: Grown) -> None:
    """What YAML readers or our own references would take for something else comes back as it was."""
    web = grown.launch("no")
    grown.tag(web, **TRAPS)
    grown.world.data.instances[web].tags |= {"aws:autoscaling:groupName": "fleet", "tab": "a\tb"}
    made = grown.harness.export(instances=(web,))
    assert yaml.safe_load(str(made.text))["stack"] == "no"
    row = grown.harness.spec(made.text).document.own_instances["no"]
    assert row.tags == TRAPS
    assert f"{web} (no) is also managed by the Auto Scaling group fleet" in made.notes
    assert f"left out: the tag 'tab' of {web}: it has control characters" in made.notes
    assert_adopts(grown.harness, str(made.text))


def test_a_name_cannot_write_yaml(grown: Grown) -> None:
    """A Name with line breaks, and names of which nothing is left."""
    web = grown.launch("")
    grown.world.data.instances[web].tags["Name"] = "x\n\nversion: 2"
    other = grown.launch("北京")
    data = rows(grown.harness, instances=(web, other))
    assert set(data["instances"]) == {"x-version-2", f"instance-{other[-5:]}"}
    assert data["instances"][f"instance-{other[-5:]}"]["tags"] == {"Name": "北京"}


def test_rules_of_every_sort(grown: Grown) -> None:
    """By the names of groups in the file, of others in the VPC, by ids of peers; what differs by source is one."""
    s3 = grown.world.add_prefix_list(5, by_aws=True, name="com.amazonaws.us-east-1.s3")
    twin, _ = (grown.world.add_prefix_list(5, name="offices") for _ in range(2))
    peer = grown.world.add_peer_group(grown.vpc, PEER)
    group, ops, other = grown.group("my web: #1"), grown.group("ops"), grown.group("other")
    grown.tag(group, Name="sg-web")
    default = grown.world.default_group(grown.vpc).id
    pairs = [{"GroupId": each} for each in (group, ops, other, default)]
    peered = {"GroupId": peer, "UserId": PEER}
    grown.ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "UserIdGroupPairs": [*pairs, peered]},
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": _ranges("10.0.0.0/8", "0.0.0.0/0")},
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
            {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 90, "PrefixListIds": _lists(s3, twin)},
            {"IpProtocol": "icmp", "FromPort": 3, "ToPort": 4, "IpRanges": _ranges("10.0.0.0/8", text="mtu")},
            {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": _ranges("10.0.0.0/8")},
            {"IpProtocol": "50", "IpRanges": _ranges("10.0.0.0/8")},
            {"IpProtocol": "-1", "IpRanges": _ranges("10.9.0.0/16", text="$all {of} it")},
        ],
    )
    grown.ec2.revoke_security_group_egress(
        GroupId=ops, IpPermissions=[{"IpProtocol": "-1", "IpRanges": _ranges("0.0.0.0/0")}]
    )
    web = grown.launch("web", SecurityGroupIds=[group, ops])
    data = rows(grown.harness, instances=(web,))
    assert set(data["security_groups"]) == {"web", "ops"}
    assert data["network_interfaces"]["web-eth0"]["security_groups"] == ["ops", "web"]
    row = data["security_groups"]["web"]
    assert (row["group_name"], row["tags"]) == ("my web: #1", {"Name": "sg-web"})
    assert row["vpc"] == {"tags": {"Name": "lab"}}
    assert "egress" not in row
    assert data["security_groups"]["ops"]["egress"] == []
    assert data["security_groups"]["ops"]["ingress"] == []
    assert row["ingress"] == [
        {"protocol": "all", "sources": ["10.9.0.0/16"], "description": "$all {of} it"},
        {"protocol": "esp", "sources": ["10.0.0.0/8"]},
        {"protocol": "icmp", "sources": ["10.0.0.0/8"]},
        {"protocol": "icmp", "ports": "3/4", "sources": ["10.0.0.0/8"], "description": "mtu"},
        {"protocol": "tcp", "sources": row["ingress"][4]["sources"]},
        {
            "protocol": "tcp",
            "ports": "80-90",
            "sources": [each[1] for each in sorted([(s3, {"prefix_list_name": S3}), (twin, twin)], key=_first)],
        },
        {"protocol": "tcp", "ports": 443, "sources": ["0.0.0.0/0", "10.0.0.0/8", "::/0"]},
    ]
    sources = [str(each) for each in row["ingress"][4]["sources"]]
    expected = [f"{PEER}/{peer}", "self", "ops", "{'group_name': 'other'}", "{'group_name': 'default'}"]
    assert sorted(sources) == sorted(expected)
    assert_adopts(grown.harness, text_of(grown.harness, instances=(web,)))


S3 = "com.amazonaws.us-east-1.s3"


def _first(pair: tuple[str, object]) -> str:
    return pair[0]


def _ranges(*cidrs: str, text: str = "") -> list[dict[str, str]]:
    return [{"CidrIp": cidr} | ({"Description": text} if text else {}) for cidr in cidrs]


def _lists(*ids: str) -> list[dict[str, str]]:
    return [{"PrefixListId": each} for each in ids]


def test_what_is_unusual_of_instances_and_interfaces(grown: Grown) -> None:
    """Everything far from its default is said, and equals what there is."""
    grown.world.add_placement_group("near", "cluster")
    web = grown.launch(
        "web",
        kind="m5.large",
        Monitoring={"Enabled": True},
        IamInstanceProfile={"Name": "web"},
        Placement={"GroupName": "near"},
        DisableApiTermination=True,
        InstanceInitiatedShutdownBehavior="terminate",
        MaintenanceOptions={"AutoRecovery": "disabled"},
        MetadataOptions={
            "HttpPutResponseHopLimit": 3,
            "InstanceMetadataTags": "enabled",
            "HttpTokens": "required",
        },
    )
    burst = grown.launch("burst", kind="t3.small", CreditSpecification={"CpuCredits": "standard"})
    eni = grown.interface(
        web, Description="the data path: #2", ConnectionTrackingSpecification={"TcpEstablishedTimeout": 400}
    )
    grown.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
    grown.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4PrefixCount=1)
    [table] = [
        each["RouteTableId"]
        for each in grown.ec2.describe_route_tables()["RouteTables"]
        if {"Key": "Name", "Value": "lab-private"} in each.get("Tags", ())
    ]
    grown.ec2.create_route(RouteTableId=table, DestinationCidrBlock="192.0.2.0/24", NetworkInterfaceId=eni)
    grown.ec2.stop_instances(InstanceIds=[burst])
    grown.wait()
    text = text_of(grown.harness, instances=(web, burst))
    data = yaml.safe_load(text)
    assert {key: value for key, value in data["instances"]["web"].items() if key not in ("adopt", "image")} == {
        "instance_type": "m5.large",
        "iam_instance_profile": "web",
        "termination_protection": True,
        "monitoring": True,
        "auto_recovery": False,
        "shutdown_behavior": "terminate",
        "placement": {"group": "near"},
        "metadata_options": {"http_put_response_hop_limit": 3, "instance_metadata_tags": "enabled"},
    }
    assert data["instances"]["burst"]["state"] == "stopped"
    assert data["instances"]["burst"]["cpu_credits"] == "standard"
    row = data["network_interfaces"]["web-eth1"]
    assert (row["source_dest_check"], row["description"]) == (False, "the data path: #2")
    assert len(row["ipv4_prefixes"]) == 1
    assert row["connection_tracking"] == {"tcp_established_timeout": 400}
    assert row["routes"] == [{"route_table": {"tags": {"Name": "lab-private"}}, "destination": "192.0.2.0/24"}]
    assert "routes:  # in others' route tables: only these routes are managed" in text
    assert_adopts(grown.harness, text)


def test_selectors_are_stable_only_where_they_are_unique(grown: Grown) -> None:
    """Two subnets and two VPCs of one Name: by their CIDRs; without a unique one, by their ids."""
    twin = grown.world.add_vpc("10.0.0.0/16", tags={"Name": "lab"})
    grown.subnets["twin"] = grown.world.add_subnet(twin, "10.0.1.0/24", "us-east-1a", tags={"Name": "lab-a"})
    grown.subnets["other"] = grown.world.add_subnet(twin, "10.0.9.0/24", "us-east-1a", tags={"Name": "lab-a"})
    for subnet, said in (("twin", grown.subnets["twin"]), ("other", {"cidr": "10.0.9.0/24"})):
        group = grown.group(f"g-{subnet}", vpc=twin)
        web = grown.launch(subnet, subnet=subnet, SecurityGroupIds=[group])
        data = rows(grown.harness, instances=(web,))
        assert data["network_interfaces"][f"{subnet}-eth0"]["subnet"] == said
        assert data["security_groups"][f"g-{subnet}"]["vpc"] == twin


def test_what_services_manage_is_left_out_and_told(grown: Grown) -> None:
    """A load balancer's interface; the address of a NAT gateway stays where it is, and the file says where."""
    service = grown.world.add_service_interface(grown.subnets["lab-a"])
    web = grown.launch("web")
    allocation = grown.address()
    grown.tag(allocation, Name="way-out", team="net")
    made = grown.ec2.create_nat_gateway(SubnetId=grown.subnets["lab-a"], AllocationId=allocation)
    gateway = made["NatGateway"]["NatGatewayId"]
    grown.wait()
    exported = grown.harness.export(vpcs=(grown.vpc,))
    assert f"left out: {service}: managed by the Application Load Balancer lb" in exported.notes
    assert any(note.endswith(f": managed by the NAT gateway {gateway}") for note in exported.notes)
    data = yaml.safe_load(str(exported.text))
    assert (set(data["instances"]), set(data["network_interfaces"])) == ({"web"}, {"web-eth0"})
    assert data["instances"]["web"]["adopt"] == web
    tagged = grown.harness.export(tags={"team": "net"})
    assert f"associated with the NAT gateway {gateway}" in str(tagged.text)
    row = {"adopt": allocation, "tags": {"team": "net"}}
    assert yaml.safe_load(str(tagged.text))["elastic_ips"]["way-out"] == row
    assert_adopts(grown.harness, str(tagged.text))


# ---- selections


def test_a_tag_selects_what_has_it_and_what_that_needs(grown: Grown) -> None:
    """An address brings its interface, its instance and their groups; what only shares the VPC stays out."""
    ops = grown.group("ops")
    web, other = grown.launch("web", SecurityGroupIds=[ops]), grown.launch("other")
    allocation, spare = grown.address(grown.primary(web)), grown.address()
    for resource in (allocation, spare):
        grown.tag(resource, team="a", env="prod")
    grown.tag(other, team="a", env="test")
    data = rows(grown.harness, tags={"team": "a", "env": "prod"})
    assert data["stack"].startswith("exported")
    assert (set(data["instances"]), set(data["network_interfaces"])) == ({"web"}, {"web-eth0"})
    assert set(data["security_groups"]) == {"ops"}
    assert {row["adopt"] for row in data["elastic_ips"].values()} == {allocation, spare}
    assert_adopts(grown.harness, text_of(grown.harness, tags={"team": "a", "env": "prod"}))


def test_the_stack_gets_a_name_of_its_own(grown: Grown) -> None:
    """A stack of that name exists already: what it owns would be left over, and pruned."""
    grown.harness.apply(prepared_text("two-enis").replace("stack: two-enis", "stack: my-web"))
    webs = [grown.launch("My Web"), grown.launch("My Web"), grown.launch("42")]
    assert [rows(grown.harness, instances=(each,))["stack"] for each in webs] == [
        "my-web-2",
        "my-web-2",
        "exported-42",
    ]
    assert rows(grown.harness, instances=tuple(webs))["stack"] == "exported"
    assert rows(grown.harness, vpcs=(grown.vpc,))["stack"] == "lab"
    assert grown.harness.plan(text_of(grown.harness, instances=(webs[0],))).leftovers == ()


def test_what_another_stack_owns_is_not_adopted(account: Harness) -> None:
    """The service interface of a stack, on a foreign instance: only the instance's own interface is left."""
    firewalls = Firewalls(account)
    account.apply(prepared_text("ha-failover"))
    account.loop.now += 60
    made = account.export(instances=(firewalls.ids["fw-a"],))
    data = yaml.safe_load(str(made.text))
    assert set(data["network_interfaces"]) == {"fw-a-eth0"}
    assert "elastic_ips" not in data
    told = [note for note in made.notes if "belongs to the stack ha-failover" in note]
    assert len(told) == 3
    assert all("see `enireconcile export --stack ha-failover`" in note for note in told)
    assert account.plan(str(made.text)).summary()["adopt"] == 2


def prepared_text(name: str) -> str:
    return (Path(__file__).parents[2] / "specs" / f"{name}.yaml").read_text(encoding="utf-8")


def test_a_stack_that_has_adopted_keeps_what_has_no_name(slow_harness: Harness) -> None:
    """A Name that is another, and one that is missing: the plan of the export changes neither."""
    slow_harness.apply()
    account = Account(slow_harness)
    web, eth1 = account.instance()["InstanceId"], account.interface("web-eth1")["NetworkInterfaceId"]
    account.ec2.create_tags(Resources=[web], Tags=[{"Key": "Name", "Value": "The web"}])
    account.ec2.delete_tags(Resources=[eth1], Tags=[{"Key": "Name"}])
    slow_harness.loop.now += 60
    data = rows(slow_harness, stack="two-enis")
    assert data["instances"]["web"]["tags"] == {"Name": "The web"}
    assert data["network_interfaces"]["web-eth1"]["adopt"] == eth1
    assert slow_harness.plan(text_of(slow_harness, stack="two-enis")).empty


ADDRESSES = (
    "security_groups.my-sg-1",
    "security_groups.my-sg-2",
    "instances.web",
    "network_interfaces.web-eth0",
    "network_interfaces.web-eth1",
    "elastic_ips.web-1",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_stack_that_has_lost_a_resource(address: str, slow_harness: Harness) -> None:
    """It is not the stack's any more: what still refers to it names it by its id, and stays as it is."""
    slow_harness.apply()
    slow_harness.loop.now += 60
    account = Account(slow_harness)
    section, _, name = address.partition(".")
    lost = {
        "security_groups": lambda: account.group(name)["GroupId"],
        "instances": lambda: account.instance()["InstanceId"],
        "network_interfaces": lambda: account.interface(name)["NetworkInterfaceId"],
        "elastic_ips": lambda: account.address(name)["AllocationId"],
    }[section]()
    account.ec2.delete_tags(Resources=[lost], Tags=[{"Key": key} for key in OWN_TAGS])
    slow_harness.loop.now += 60
    text = text_of(slow_harness, stack="two-enis")
    assert address not in slow_harness.spec(text).document.resources
    assert slow_harness.plan(text).empty
    slow_harness.strict.clear()
    assert slow_harness.apply(text).outcome == "unchanged"


@pytest.mark.parametrize("owned", [True, False])
def test_an_interface_in_a_subnet_that_ec2_does_not_list(owned: bool, slow_harness: Harness) -> None:
    """Another account no longer shares it: the file says so, and leaves the interface there."""
    slow_harness.apply()
    slow_harness.loop.now += 60
    eth1 = Account(slow_harness).interface("web-eth1")
    if not owned:
        disown(slow_harness, "two-enis")
    slow_harness.strict.world.unshare_subnet(eth1["SubnetId"])
    selected: Any = {"stack": "two-enis"} if owned else {"instances": instances(slow_harness)}
    text = text_of(slow_harness, **selected)
    assert f"  web-eth1:  # in {eth1['SubnetId']}, which EC2 does not list\n" in text
    row = yaml.safe_load(text)["network_interfaces"]["web-eth1"]
    assert row.get("lifecycle") == ({"ignore": ["subnet"]} if owned else None)
    assert row.get("subnet") == (eth1["SubnetId"] if owned else None)
    plan = slow_harness.plan(text)
    assert plan.empty if owned else {change.action for change in plan.changes} == {Action.ADOPT}


def test_names_that_the_tags_do_not_tell(slow_harness: Harness) -> None:
    """Two resources of one name, and one whose name is none: no plan can tell which is which."""
    slow_harness.apply()
    account = Account(slow_harness)
    one, two = (account.address(name)["AllocationId"] for name in ("web-1", "web-2"))
    group = account.group("my-sg-2")["GroupId"]
    account.ec2.create_tags(Resources=[two], Tags=[{"Key": "enireconcile:name", "Value": "elastic_ips.web-1"}])
    account.ec2.create_tags(Resources=[group], Tags=[{"Key": "enireconcile:name", "Value": "groups.my sg"}])
    slow_harness.loop.now += 60
    made = slow_harness.export(stack="two-enis")
    assert sorted(made.notes) == sorted(
        [
            f"left out: {one} (web-1): elastic_ips.web-1 is the name of several resources",
            f"left out: {two} (web-2): elastic_ips.web-1 is the name of several resources",
            f"left out: {group} (my-sg-2): its tag enireconcile:name is not the name of a row",
        ]
    )
    data = yaml.safe_load(str(made.text))
    assert "elastic_ips" not in data
    assert set(data["security_groups"]) == {"my-sg-1"}


def test_an_interface_that_cannot_stay_where_it_is(grown: Grown) -> None:
    """Its instance ends: the file does not say where it is attached."""
    web = grown.launch("web")
    eni = grown.interface(web)
    grown.tag(eni, Name="data", team="net")
    grown.ec2.terminate_instances(InstanceIds=[web])
    text = text_of(grown.harness, tags={"team": "net"})
    assert f"  data:  # attached to {web}, which cannot have a row\n" in text
    assert set(yaml.safe_load(text)) == {"version", "stack", "region", "network_interfaces"}
    grown.wait()
    assert_adopts(grown.harness, text_of(grown.harness, tags={"team": "net"}))


def test_a_hash_of_few_values_is_read_back(slow_harness: Harness) -> None:
    """A stack's own tags tell which of them it was."""
    keys = "m5.xlarge\n    spot: {}\n    enclave: true\n    guest_network: networkd"
    spec = prepared_text("two-enis").replace("t2.micro", keys)
    assert slow_harness.apply(spec).outcome == "converged"
    slow_harness.loop.now += 60
    made = slow_harness.export(stack="two-enis")
    assert made.notes == ()
    row = yaml.safe_load(str(made.text))["instances"]["web"]
    assert (row["spot"], row["enclave"], row["guest_network"]) == ({}, {"enabled": True}, "networkd")
    plan = slow_harness.plan(made.text)
    assert (plan.empty, plan.warnings) == (True, ())


def test_a_spot_instance_is_told(grown: Grown) -> None:
    """Launched anew from the file, it would be an On-Demand Instance."""
    web = grown.launch("web", InstanceMarketOptions={"MarketType": "spot"})
    [note] = grown.harness.export(instances=(web,)).notes
    assert note.startswith("instances.web was launched with spot, which cannot be read back: add it to its row")


def test_what_no_spec_can_say_is_left_out_and_told(grown: Grown) -> None:
    """EC2 protects an instance that is stopped already; the spec says that this makes no sense."""
    web = grown.launch("web")
    grown.ec2.stop_instances(InstanceIds=[web])
    grown.wait()
    grown.ec2.modify_instance_attribute(InstanceId=web, DisableApiStop={"Value": True})
    made = grown.harness.export(instances=(web,))
    [note] = made.notes
    assert note.startswith("left out: instances.web.stop_protection: cannot be combined with `state: stopped`")
    assert_adopts(grown.harness, str(made.text))


VOLUMES = """t3.micro
    root_volume: {size_gib: 20, type: gp3, encrypted: true}
    volumes:
      - {device_name: /dev/sdg, size_gib: 100, type: gp3}
      - {device_name: /dev/sdf, size_gib: 100, type: io2, iops: 4000, delete_on_termination: false}
    volume_tags: {Backup: daily}"""


def test_volumes_are_read_back_where_their_hash_tells_them(slow_harness: Harness) -> None:
    """EC2 sets them at launch only. What they are now counts if that is what the launch was asked for."""
    assert slow_harness.apply(prepared_text("two-enis").replace("t2.micro", VOLUMES)).outcome == "converged"
    slow_harness.loop.now += 60
    made = slow_harness.export(stack="two-enis")
    assert made.notes == ()
    row = yaml.safe_load(str(made.text))["instances"]["web"]
    assert row["root_volume"] == {"size_gib": 20, "type": "gp3", "encrypted": True}
    assert [each["device_name"] for each in row["volumes"]] == ["/dev/sdg", "/dev/sdf"]
    assert row["volume_tags"] == {"Backup": "daily"}
    plan = slow_harness.plan(made.text)
    assert (plan.empty, plan.warnings) == (True, ())


def test_volumes_of_others_are_comments(slow_harness: Harness) -> None:
    """What another tool asked for at a launch is not known, also once the stack has adopted the instance."""
    slow_harness.apply(prepared_text("two-enis").replace("t2.micro", VOLUMES))
    slow_harness.loop.now += 60
    disown(slow_harness, "two-enis")
    text = text_of(slow_harness, instances=instances(slow_harness))
    assert (
        "  # root_volume: {size_gib: 20, type: gp3, encrypted: true}, volumes: "
        "[{device_name: /dev/sdf, size_gib: 100, type: io2, iops: 4000, delete_on_termination: false}, "
        "{device_name: /dev/sdg, size_gib: 100, type: gp3}]\n"
    ) in text
    assert slow_harness.plan(text).warnings == ()
    assert_adopts(slow_harness, text)
    slow_harness.loop.now += 60
    assert "# root_volume: {size_gib: 20, " in text_of(slow_harness, stack=yaml.safe_load(text)["stack"])


def test_volumes_that_have_changed_since_the_launch_are_told(slow_harness: Harness) -> None:
    """Their hash is that of what they were: a note says which keys to add, and what EC2 shows."""
    spec = prepared_text("two-enis").replace("t2.micro", "t3.micro\n    root_volume: {size_gib: 20, type: gp3}")
    slow_harness.apply(spec)
    slow_harness.loop.now += 60
    [volume] = slow_harness.strict.world.data.volumes.values()
    volume.size = 30
    made = slow_harness.export(stack="two-enis")
    assert made.notes == (
        "instances.web was launched with root_volume, which cannot be read back: add it to its row for the "
        "next launch; EC2 shows root_volume: {size_gib: 30, type: gp3}",
    )
    assert slow_harness.plan(made.text).empty


# ---- reads


NAMES = ["DescribeAddresses", "DescribeInstances", "DescribeNetworkInterfaces", "DescribeSecurityGroups"]
READS = [
    "DescribeAddresses",
    "DescribeAddressesAttribute",
    "DescribeInstanceAttribute",
    "DescribeInstanceAttribute",
    "DescribeInstanceAttribute",
    "DescribeInstanceCreditSpecifications",
    "DescribeInstances",
    "DescribeNetworkInterfaces",
    "DescribeRouteTables",
    "DescribeSecurityGroups",
    "DescribeSecurityGroups",
    "DescribeSubnets",
    "DescribeVolumes",
    "DescribeVpcs",
]


@pytest.mark.parametrize("how", ["stack", "instances", "vpcs", "tags"])
def test_a_call_for_each_kind(how: str, slow_harness: Harness) -> None:
    """A few calls, however many resources there are; the account is only read."""
    slow_harness.apply()
    slow_harness.loop.now += 60
    if how != "stack":
        disown(slow_harness, "two-enis")
    vpcs = {each["VpcId"] for each in slow_harness.client().describe_network_interfaces()["NetworkInterfaces"]}
    ids = instances(slow_harness)
    slow_harness.strict.clear()
    which = {"stack": "two-enis", "instances": ids, "vpcs": tuple(vpcs), "tags": {"Project": "testing-eni"}}
    assert slow_harness.export(**{how: which[how]}).notes == ()
    once = READS if how != "instances" else [each for each in READS if each != "DescribeSecurityGroups"]
    # The last calls ask for stacks of the name that the file would have.
    more = {
        "instances": ["DescribeSecurityGroups", *NAMES],
        "vpcs": NAMES,
        "tags": ["DescribeNetworkInterfaces", *NAMES],
    }
    assert sorted(slow_harness.strict.actions()) == sorted([*once, *more.get(how, [])])
    assert slow_harness.strict.mutating() == []


def test_what_may_not_be_read_is_left_out_and_told(slow_harness: Harness) -> None:
    """Without these permissions the file says less; it still plans to nothing."""
    slow_harness.apply()
    slow_harness.loop.now += 60
    optional = sorted(OPTIONAL)
    for call in optional:
        slow_harness.strict.faults.add(Fail(action=call, code="UnauthorizedOperation", times=9))
    made = slow_harness.export(stack="two-enis")
    assert made.notes == tuple(
        f"{call} was not answered (UnauthorizedOperation): what only it shows is left out" for call in optional
    )
    slow_harness.strict.faults.clear()
    assert slow_harness.plan(made.text).empty


OPTIONAL = {
    "DescribeAddressesAttribute",
    "DescribeInstanceAttribute",
    "DescribeInstanceCreditSpecifications",
    "DescribeRouteTables",
    "DescribeVolumes",
}


# ---- nothing there


def refused(harness: Harness, **selected: Any) -> str:
    with pytest.raises(EnireconcileError) as raised:
        harness.export(**selected)
    return str(raised.value)


def test_what_is_not_there_is_answered_with_what_is(slow_harness: Harness) -> None:
    """The error names what was looked for, the hint what there is."""
    missing = "i-0123456789abcdef0"
    nothing = (
        "no instance i-0123456789abcdef0 in us-east-1\n  hint: there are no instances in this account and Region"
    )
    assert refused(slow_harness, instances=(missing,)) == nothing
    slow_harness.apply()
    slow_harness.loop.now += 60
    [web] = instances(slow_harness)
    [vpc] = (each["VpcId"] for each in slow_harness.client().describe_vpcs()["Vpcs"])
    assert refused(slow_harness, instances=(missing, web)).endswith(f"\n  hint: instances here: {web} (web)")
    assert refused(slow_harness, vpcs=("vpc-0123456789abcdef0",)) == (
        f"no VPC vpc-0123456789abcdef0 in us-east-1\n  hint: VPCs here: {vpc}"
    )
    assert refused(slow_harness, vpcs=(vpc, "vpc-0123456789abcdef0")).startswith("no VPC vpc-0123456789abcdef0 in")
    assert refused(slow_harness, stack="two-enos") == (
        "nothing in us-east-1 belongs to the stack two-enos\n  hint: stacks here: two-enis"
    )
    assert refused(slow_harness, tags={"Project": "x"}) == (
        "nothing in us-east-1 has the tags Project=x\n  hint: tags Project here: Project=testing-eni"
    )
    assert refused(slow_harness, tags={"Projekt": "x"}).endswith(
        "hint: there are no resources with a tag of the key 'Projekt' in this account and Region"
    )


def test_a_terminated_instance_is_not_there(slow_harness: Harness) -> None:
    slow_harness.apply()
    [web] = instances(slow_harness)
    slow_harness.client().terminate_instances(InstanceIds=[web])
    slow_harness.loop.now += 60
    assert refused(slow_harness, instances=(web,)).startswith(f"no instance {web} in us-east-1")


# ---- user data

BOOT = "#!/bin/sh\necho ${HOME} $${USER} ${instances.web.private_ip} ${each.key} pass=hunter2\n"
PACKED = b"\x1f\x8b\x08\x00\xff\xfe"


def booted(harness: Harness, *, guest_network: bool = False) -> None:
    """A stack of instances with user data of all kinds, and of some that have none of their own."""
    rows: dict[str, dict[str, Any]] = {
        **{f"fw-{key}": {"user_data": escaped(BOOT, user_data=True)} for key in "abc"},
        "late": {"user_data": "#cloud-config\n# ${network_interfaces.late-eth0.private_ip}\n"},
        "packed": {"user_data_file": "packed.gz"},
        "plain": {"user_data": "<powershell>x</powershell>"},
        "bare": {},
    }
    if guest_network:
        rows = {"mixed": {"user_data": "#!/bin/sh\n", "guest_network": "ip"}, "made": {"guest_network": "ip"}}
    image = {"name": "al2023-ami-2023.*-kernel-6.1-x86_64", "owner": "amazon"}
    document = {
        "version": 1,
        "stack": "boot",
        "region": "us-east-1",
        "defaults": {"instances": {"image": image, "instance_type": "t3.micro"}},
        "instances": rows,
        "network_interfaces": {
            f"{name}-eth0": {
                "subnet": {"default_for_az": "us-east-1a"},
                "attachment": {"instance": name, "device_index": 0},
            }
            for name in rows
        },
    }
    Path("packed.gz").write_bytes(PACKED)
    report = harness.apply(json.dumps(document))
    assert (report.outcome, report.error) == ("converged", None)
    harness.loop.now += 60


def saved(made: Exported) -> dict[str, bytes]:
    """The files of an export, which are written below the working directory."""
    for path, secret in made.files.items():
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(secret.content)
    return {path: secret.content for path, secret in made.files.items()}


def test_user_data_of_a_stack_is_in_files_that_rows_name(
    slow_harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text, what is none, and what references made of it: the plan is empty, and warns of nothing."""
    monkeypatch.chdir(tmp_path)
    booted(slow_harness)
    made = slow_harness.export(stack="boot", folder="boot")
    contents = saved(made)
    assert made.notes == ()
    assert sorted(contents) == [
        *(f"boot/fw-{key}.sh" for key in "abc"),
        "boot/late.cfg",
        "boot/packed.gz",
        "boot/plain.txt",
    ]
    assert contents["boot/packed.gz"] == PACKED
    assert contents["boot/fw-a.sh"].decode() == escaped(BOOT, user_data=True)
    assert re.fullmatch(rb"#cloud-config\n# 172\.31\.\d+\.\d+\n", contents["boot/late.cfg"])
    text = str(made.text)
    assert "user_data_file: boot/fw-${each.key}.sh" in text
    assert ("hunter2" in text, "hunter2" in repr(made), "#" in text.splitlines()[1]) == (False, False, False)
    plan = slow_harness.plan(text)
    assert (plan.empty, plan.warnings) == (True, ())


def test_user_data_of_what_is_adopted_is_in_files_that_rows_name(
    slow_harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan has adoptions only; after them, nothing is to do, and no user data is read again."""
    monkeypatch.chdir(tmp_path)
    booted(slow_harness)
    disown(slow_harness, "boot")
    made = slow_harness.export(instances=instances(slow_harness), folder=".")
    assert len(saved(made)) == 6
    text = str(made.text)
    assert yaml.safe_load(text)["instances"]["packed"]["user_data_file"] == "packed.gz"
    assert text.splitlines()[1] == "# Volumes are comments: make them keys before you launch an instance anew."
    plan = slow_harness.plan(text)
    assert ({change.action for change in plan.changes}, plan.warnings) == ({Action.ADOPT}, ())
    assert slow_harness.apply(text).outcome == "converged"
    plan = slow_harness.plan(text)
    assert (plan.empty, plan.warnings) == (True, ())


def test_what_guest_network_adds_is_not_taken_for_the_rows_own(
    slow_harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``mixed`` has both, which cannot be told apart; ``made`` has nothing of its own."""
    monkeypatch.chdir(tmp_path)
    booted(slow_harness, guest_network=True)
    made = slow_harness.export(stack="boot", folder="boot")
    [path] = saved(made)
    assert [note for note in made.notes if "comment" in note] == [
        f"{path} is in a comment only: the stack did not launch instances.mixed with this user data; "
        "guest_network adds to it, or another tool has set it"
    ]
    assert f"# user_data_file: {path}" in str(made.text)
    assert "user_data_file" not in str(yaml.safe_load(str(made.text)))


@pytest.mark.parametrize("how", ["stack", "instances"])
def test_user_data_that_may_not_be_read(
    slow_harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A comment says why, and a note; the rest is exported."""
    monkeypatch.chdir(tmp_path)
    booted(slow_harness)
    if how == "instances":
        disown(slow_harness, "boot")

    def secret(call: Call) -> bool:
        return bool(call.params["Attribute"] == "userData")

    denied = Fail("DescribeInstanceAttribute", times=99, code="UnauthorizedOperation", when=secret)
    slow_harness.strict.faults.add(denied)
    which = {"stack": "boot", "instances": instances(slow_harness)}
    made = slow_harness.export(**{how: which[how]}, folder="boot")
    assert made.files == {}
    assert "the user data of instances.plain was not read: UnauthorizedOperation" in made.notes
    assert "user data was not read: UnauthorizedOperation" in str(made.text)
    if how == "stack":
        assert slow_harness.plan(made.text).empty


def test_user_data_is_read_only_where_it_is_asked_for(slow_harness: Harness) -> None:
    """And not that of another stack's instance."""
    slow_harness.apply()
    slow_harness.loop.now += 60
    slow_harness.strict.clear()
    slow_harness.export(stack="two-enis")
    slow_harness.export(instances=instances(slow_harness), folder="boot")
    asked = [call.params["Attribute"] for call in slow_harness.strict.calls if "Attribute" in call.params]
    assert "userData" not in asked
