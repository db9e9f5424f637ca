"""``routes`` of an interface: routes of others' route tables that lead to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Impact, Plan, Status
from enireconcile.outputs.text import plan_text
from tests.harness import SLOW, Harness, image_id, open_harness

CREATE, REPLACE, DELETE = "CreateRoute", "ReplaceRoute", "DeleteRoute"
ROUTE_CALLS = {CREATE, REPLACE, DELETE}
PRIVATE = {"tags": {"Name": "private-a"}}
EVERYWHERE = {"route_table": PRIVATE, "destination": "0.0.0.0/0"}
IMAGE = {"name": "al2023-ami-2023.*-kernel-6.1-x86_64", "owner": "amazon"}
DOWN = "its routes lead here only once it is attached to a running instance; until then they stay as they are"


class Account:
    """A VPC with an internet gateway: a public subnet, and a private one with a route table of its own."""

    def __init__(self, harness: Harness) -> None:
        self.harness, self.ec2, world = harness, harness.client(), harness.strict.world
        self.world = world
        self.vpc = world.add_vpc("10.0.0.0/16", gateway=True, tags={"Name": "lab"})
        self.public = world.add_subnet(self.vpc, "10.0.1.0/24", tags={"Name": "public-a"})
        self.subnet = world.add_subnet(self.vpc, "10.0.3.0/24", tags={"Name": "private-a"})
        self.main = world.main_route_table(self.vpc).id
        self.gateway = str(world.main_route_table(self.vpc).routes["0.0.0.0/0"].target)
        self.private = world.add_route_table(self.vpc, {"Name": "private-a"})
        self.ec2.associate_route_table(RouteTableId=self.private, SubnetId=self.subnet)
        self.office = world.add_prefix_list(5, name="office")
        self.names: dict[str, str] = {}

    def spec(
        self,
        *routes: Any,
        more: Mapping[str, Any] | None = None,
        row: Mapping[str, Any] | None = None,
        instance: Mapping[str, Any] | None = None,
    ) -> str:
        """An instance with one interface and its routes; ``more`` are further interfaces by name."""
        interface: dict[str, Any] = {
            "subnet": {"tags": {"Name": "public-a"}},
            "source_dest_check": False,
            "attachment": {"instance": "nat", "device_index": 0},
        }
        interface |= {"routes": list(routes)} if routes else {}
        launch: dict[str, Any] = {"image": IMAGE, "instance_type": "t3.small"}
        document = {
            "version": 1,
            "stack": "lab",
            "region": "us-east-1",
            "instances": {"nat": launch | dict(instance or {})},
            "network_interfaces": {"nat": interface | dict(row or {}), **(more or {})},
        }
        return json.dumps(document)

    def apply(self, spec: str, **more: Any) -> list[str]:
        """Apply; after that, a plan is empty. The calls that it took."""
        self.harness.strict.clear()
        report = self.harness.apply(spec, **more)
        assert (report.outcome, report.error) == ("converged", None), str(report)
        calls = [call.action for call in self.harness.strict.mutating() if call.acted]
        self.harness.loop.now += 30
        assert self.harness.plan(spec, **{key: value for key, value in more.items() if key == "prune"}).empty
        return calls

    def routes(self, table: str | None = None) -> dict[str, str]:
        """What each route of a table leads to, as EC2 shows it: interfaces by their names, black holes marked."""
        [shown] = self.ec2.describe_route_tables(RouteTableIds=[table or self.private])["RouteTables"]
        names = {each["NetworkInterfaceId"]: _name(each) for each in self._interfaces()}
        self.names |= names
        keys = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
        return {
            next(route[key] for key in keys if key in route): (
                self.names.get(target, target) + ("!" if route["State"] == "blackhole" else "")
            )
            for route in shown["Routes"]
            for target in [route.get("NetworkInterfaceId") or route.get("GatewayId") or "?"]
            if target != "local"
        }

    def _interfaces(self) -> list[Any]:
        return list(self.ec2.describe_network_interfaces()["NetworkInterfaces"])

    def interface(self, name: str) -> str:
        return next(str(each["NetworkInterfaceId"]) for each in self._interfaces() if _name(each) == name)

    def lead(self, destination: str = "0.0.0.0/0", **target: str) -> None:
        """Another tool leads a route of the private table elsewhere."""
        known = destination in self.routes()
        call = self.ec2.replace_route if known else self.ec2.create_route
        call(RouteTableId=self.private, DestinationCidrBlock=destination, **target)

    def stranger(self) -> str:
        """A running instance of another owner; the id of its interface."""
        launched = self.ec2.run_instances(
            ImageId=image_id(self.ec2), InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=self.public
        )
        self.harness.loop.now += 30
        return str(launched["Instances"][0]["NetworkInterfaces"][0]["NetworkInterfaceId"])


def _name(interface: Mapping[str, Any]) -> str:
    tags = {tag["Key"]: tag["Value"] for tag in interface["TagSet"]}
    return str(tags.get("enireconcile:name", interface["NetworkInterfaceId"])).removeprefix("network_interfaces.")


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with open_harness(tmp_path / "state", SLOW) as harness:
        yield Account(harness)


def _steps(plan: Plan) -> list[tuple[str, str, Impact, str | None]]:
    return [(step.call, step.address, step.impact, step.note) for step in plan.steps if step.call in ROUTE_CALLS]


def _order(plan: Plan, *calls: str) -> list[str]:
    return [step.call for step in plan.steps if step.call in calls]


# ---- created, kept, mended, ended


def test_it_is_created_once_the_instance_runs(account: Account) -> None:
    """The last call; a plan after that is empty and reads the route tables in one call."""
    spec = account.spec(EVERYWHERE)
    plan = account.harness.plan(spec)
    assert _steps(plan) == [(CREATE, "network_interfaces.nat", Impact.SAFE, None)]
    assert f"routes             0.0.0.0/0 of {account.private}" in plan_text(plan)
    assert account.apply(spec)[-2:] == ["RunInstances", CREATE]
    assert account.routes() == {"0.0.0.0/0": "nat"}
    account.harness.strict.clear()
    assert account.harness.plan(spec).empty
    reads = [call.action for call in account.harness.strict.calls]
    assert reads.count("DescribeRouteTables") == 1


def test_a_spec_without_routes_reads_no_route_tables(account: Account) -> None:
    account.apply(account.spec())
    account.lead("10.9.0.0/16", NetworkInterfaceId=account.interface("nat"))
    account.harness.strict.clear()
    assert account.harness.plan(account.spec()).empty
    assert "DescribeRouteTables" not in [call.action for call in account.harness.strict.calls]


def test_one_that_leads_elsewhere_is_moved_in_one_call(account: Account) -> None:
    """The plan names what it displaces."""
    account.lead(GatewayId=account.gateway)
    spec = account.spec(EVERYWHERE)
    note = f"route 0.0.0.0/0 of {account.private} (private-a) no longer leads to {account.gateway}"
    plan = account.harness.plan(spec)
    assert _steps(plan) == [(REPLACE, "network_interfaces.nat", Impact.DISRUPTIVE, note)]
    account.apply(spec)
    assert account.routes() == {"0.0.0.0/0": "nat"}
    stranger = account.stranger()
    account.lead(NetworkInterfaceId=stranger)
    [change] = [each for each in account.harness.plan(spec).changes if each.fields]
    [field] = change.fields
    both = [{"route_table": account.private, "destination": "0.0.0.0/0"}]
    assert (field.field, field.before, field.after) == ("routes", [], both)
    assert account.apply(spec) == [REPLACE]
    assert account.routes() == {"0.0.0.0/0": "nat"}


def test_one_that_is_missing_is_made_again(account: Account) -> None:
    spec = account.spec(EVERYWHERE)
    account.apply(spec)
    account.ec2.delete_route(RouteTableId=account.private, DestinationCidrBlock="0.0.0.0/0")
    assert account.apply(spec) == [CREATE]


def test_a_black_hole_of_another_owner_is_replaced(account: Account) -> None:
    eni = account.ec2.create_network_interface(SubnetId=account.public)["NetworkInterface"]["NetworkInterfaceId"]
    account.harness.loop.now += 5
    account.lead(NetworkInterfaceId=eni)
    spec = account.spec(EVERYWHERE)
    [(_, _, _, note)] = _steps(account.harness.plan(spec))
    assert str(note).endswith(f"no longer leads to a black hole to {eni}")
    account.apply(spec)
    assert account.routes() == {"0.0.0.0/0": "nat"}


def test_what_has_left_the_list_ends(account: Account) -> None:
    """Only in a table that the spec names, and only what leads here: others' routes are never touched."""
    other = {"route_table": PRIVATE, "destination": "10.8.0.0/16"}
    account.apply(account.spec(EVERYWHERE, other))
    account.lead("10.7.0.0/16", GatewayId=account.gateway)
    account.ec2.create_route(
        RouteTableId=account.main,
        DestinationCidrBlock="10.8.0.0/16",
        NetworkInterfaceId=account.interface("nat"),
    )
    spec = account.spec(EVERYWHERE)
    note = f"route 10.8.0.0/16 of {account.private} (private-a) ends"
    assert _steps(account.harness.plan(spec)) == [(DELETE, "network_interfaces.nat", Impact.DISRUPTIVE, note)]
    assert account.apply(spec) == [DELETE]
    assert account.routes() == {"0.0.0.0/0": "nat", "10.7.0.0/16": account.gateway}
    assert account.routes(account.main)["10.8.0.0/16"] == "nat"
    # Without any routes in the file, no table is named any more.
    assert account.harness.plan(account.spec()).empty


def test_additive_routes_only_add(account: Account) -> None:
    keep = {"lifecycle": {"additive": ["routes"]}}
    account.apply(account.spec(EVERYWHERE, row=keep))
    account.lead("10.9.0.0/16", NetworkInterfaceId=account.interface("nat"))
    assert account.harness.plan(account.spec(EVERYWHERE, row=keep)).empty
    other = {"route_table": PRIVATE, "destination": "10.8.0.0/16"}
    assert account.apply(account.spec(other, row=keep)) == [CREATE]
    assert set(account.routes()) == {"0.0.0.0/0", "10.8.0.0/16", "10.9.0.0/16"}


def test_additive_routes_follow_an_interface_that_is_replaced(account: Account) -> None:
    """Also those that other tools have added."""
    row: dict[str, Any] = {
        "subnet": account.public,
        "attachment": {"instance": "nat", "device_index": 1},
        "routes": [EVERYWHERE],
        "source_dest_check": False,
        "lifecycle": {"additive": ["routes"]},
    }
    account.apply(account.spec(more={"second": row | {"private_ip": "10.0.1.50"}}))
    account.lead("10.9.0.0/16", NetworkInterfaceId=account.interface("second"))
    account.apply(account.spec(more={"second": row | {"private_ip": "10.0.1.51"}}))
    assert account.routes() == {"0.0.0.0/0": "second", "10.9.0.0/16": "second"}


def test_a_propagated_route_gives_way(account: Account) -> None:
    """A gateway propagates the same destination; EC2 lists both, in any order."""
    account.world.data.route_tables[account.private].propagated["10.8.0.0/16"] = "vgw-0123456789abcdef0"
    spec = account.spec({"route_table": PRIVATE, "destination": "10.8.0.0/16"}, EVERYWHERE)
    assert account.apply(spec)[-2:] == [CREATE, CREATE]
    assert account.apply(account.spec(EVERYWHERE)) == [DELETE]
    assert account.harness.apply(account.spec(EVERYWHERE), destroy=True).outcome == "converged"


def test_ignored_routes_are_set_once(account: Account) -> None:
    """Neither drift nor a table that has gone matters then."""
    spec = account.spec(EVERYWHERE, row={"lifecycle": {"ignore": ["routes"]}})
    account.apply(spec)
    account.lead(GatewayId=account.gateway)
    plan = account.harness.plan(spec)
    assert plan.empty
    assert any("routes differs" in warning for warning in plan.warnings)
    account.ec2.create_tags(Resources=[account.private], Tags=[{"Key": "Name", "Value": "renamed"}])
    assert account.harness.plan(spec).empty


# ---- selectors


@pytest.mark.parametrize("how", ["id", "tags", "subnet", "main", "main of an id", "the main one of a subnet"])
def test_ways_to_name_a_route_table(account: Account, how: str) -> None:
    selector, table = {
        "id": (account.private, account.private),
        "tags": (PRIVATE, account.private),
        "subnet": ({"subnet": {"cidr": "10.0.3.0/24"}}, account.private),
        "main": ({"main_of": {"tags": {"Name": "lab"}}}, account.main),
        "main of an id": ({"main_of": account.vpc}, account.main),
        "the main one of a subnet": ({"subnet": account.public}, account.main),
    }[how]
    account.apply(account.spec({"route_table": selector, "destination": "10.200.0.0/16"}))
    assert account.routes(table)["10.200.0.0/16"] == "nat"


@pytest.mark.parametrize("by_tags", [True, False])
def test_vpcs_are_read_only_to_look_for_one(account: Account, by_tags: bool) -> None:
    main_of = {"tags": {"Name": "lab"}} if by_tags else account.vpc
    account.harness.plan(account.spec({"route_table": {"main_of": main_of}, "destination": "10.200.0.0/16"}))
    assert ("DescribeVpcs" in {call.action for call in account.harness.strict.calls}) is by_tags


@pytest.mark.parametrize("how", ["ipv6", "id", "name", "a subnet of the VPC", "the VPC itself"])
def test_destinations(account: Account, how: str) -> None:
    """A CIDR of either family, or a prefix list. Within the VPC a whole subnet, or what EC2 leads locally."""
    written, shown = {
        "ipv6": ("2001:DB8::/32", "2001:db8::/32"),
        "id": (account.office, account.office),
        "name": ({"prefix_list_name": "office"}, account.office),
        "a subnet of the VPC": ("10.0.3.0/24", "10.0.3.0/24"),
        "the VPC itself": ("10.0.0.0/16", "10.0.0.0/16"),
    }[how]
    spec = account.spec({"route_table": PRIVATE, "destination": written}, EVERYWHERE)
    calls = account.apply(spec)
    assert account.routes() == {shown: "nat", "0.0.0.0/0": "nat"}
    assert (REPLACE in calls) is (how == "the VPC itself")
    # The local route cannot be deleted: it becomes local again.
    assert account.apply(account.spec(EVERYWHERE)) == [REPLACE if how == "the VPC itself" else DELETE]
    assert account.routes() == {"0.0.0.0/0": "nat"}


REFUSALS: Mapping[str, tuple[Any, Any, str]] = {
    "no table": ({"tags": {"Name": "x"}}, "0.0.0.0/0", "no route table in us-east-1 matches Name=x"),
    "no id": ("rtb-0123456789abcdef0", "0.0.0.0/0", "no route table in us-east-1 matches rtb-0123456789abcdef0"),
    "several": ({"tags": {"kind": "both"}}, "0.0.0.0/0", "2 route tables match kind=both"),
    "other VPC": ({"main_of": "default"}, "0.0.0.0/0", "and the interface in vpc-"),
    "part of a subnet": (PRIVATE, "10.0.3.0/25", "10.0.3.0/25 is inside vpc-"),
    "no list": (PRIVATE, {"prefix_list_name": "x"}, "no prefix list in us-east-1 matches x"),
    "no list id": (PRIVATE, "pl-0123456789abcdef0", "there is no prefix list pl-0123456789abcdef0 in us-east-1"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_ec2_would_refuse_is_found_before(account: Account, what: str) -> None:
    """At its place in the file. The other rows are planned."""
    table, destination, words = REFUSALS[what]
    for each in (account.private, account.main):
        account.ec2.create_tags(Resources=[each], Tags=[{"Key": "kind", "Value": "both"}])
    spec = account.spec(
        {"route_table": table, "destination": destination}, more={"spare": {"subnet": account.public}}
    )
    [error] = account.harness.plan(spec, partly=True).errors
    assert words in error.problem.message
    assert error.problem.path.startswith("network_interfaces.nat.routes.0.")
    assert error.left_out == ("instances.nat", "network_interfaces.nat")
    report = account.harness.apply(spec, partly=True)
    assert report.outcome == "partial"
    assert account.interface("spare")


def test_two_rows_cannot_have_one_route(account: Account) -> None:
    """However each row names the table."""
    other = {"subnet": account.public, "routes": [{"route_table": account.private, "destination": "0.0.0.0/0"}]}
    with pytest.raises(SpecErrors, match=r"leads to network_interfaces\.nat already"):
        account.harness.plan(account.spec(EVERYWHERE, more={"second": other}))
    twice = account.spec(EVERYWHERE, {"route_table": account.private, "destination": "0.0.0.0/0"})
    with pytest.raises(SpecErrors, match=r"leads to network_interfaces\.nat already"):
        account.harness.plan(twice)


# ---- when traffic can be led here


def test_no_traffic_is_led_to_an_interface_without_a_running_instance(account: Account) -> None:
    """Neither is an existing route taken from it, as what it leads to may come back."""
    account.lead(GatewayId=account.gateway)
    stopped = account.spec(EVERYWHERE, instance={"state": "stopped"})
    plan = account.harness.plan(stopped)
    assert _steps(plan) == []
    assert [each for each in plan.warnings if DOWN in each] == [f"network_interfaces.nat: {DOWN}"]
    account.apply(stopped)
    assert account.routes() == {"0.0.0.0/0": account.gateway}
    assert account.apply(account.spec(EVERYWHERE))[-2:] == ["StartInstances", REPLACE]
    account.apply(stopped)
    assert account.routes() == {"0.0.0.0/0": "nat!"}
    assert account.apply(account.spec(EVERYWHERE)) == ["StartInstances"]


def test_an_unattached_interface_takes_no_traffic(account: Account) -> None:
    more: dict[str, Any] = {"spare": {"subnet": account.public, "routes": [EVERYWHERE]}}
    account.apply(account.spec(more=more))
    assert account.routes() == {}
    more["spare"]["attachment"] = {"instance": "nat", "device_index": 1}
    assert account.apply(account.spec(more=more)) == ["AttachNetworkInterface", CREATE]


def test_a_source_destination_check_that_drops_the_traffic_is_told(account: Account) -> None:
    spec = account.spec(EVERYWHERE, row={"source_dest_check": True})
    warnings = account.harness.plan(spec).warnings
    assert any("write source_dest_check: false" in warning for warning in warnings)
    account.apply(spec)
    assert account.harness.plan(spec).warnings == ()


# ---- moves and ends


def _pair(account: Account, first: str, second: str) -> str:
    """Two NAT instances, of which one has the route."""
    row = {
        "subnet": {"tags": {"Name": "public-a"}},
        "source_dest_check": False,
        "attachment": {"instance": "nat", "device_index": 1},
    }
    more = {"second": row | ({"routes": [EVERYWHERE]} if second else {})}
    return account.spec(*([EVERYWHERE] if first else []), more=more)


def test_a_route_moves_between_interfaces_of_the_stack(account: Account) -> None:
    account.apply(_pair(account, "route", ""))
    spec = _pair(account, "", "route")
    eni = account.interface("nat")
    [(call, address, _, note)] = _steps(account.harness.plan(spec))
    assert (call, address) == (REPLACE, "network_interfaces.second")
    assert str(note).endswith(f"no longer leads to network_interfaces.nat ({eni})")
    assert account.apply(spec) == [REPLACE]
    assert account.routes() == {"0.0.0.0/0": "second"}


def test_the_route_has_moved_before_the_former_interface_ends(account: Account) -> None:
    """Without a gap."""
    account.apply(_pair(account, "", "route"))
    spec = account.spec(EVERYWHERE)
    plan = account.harness.plan(spec, prune=True)
    ends = ("DetachNetworkInterface", "DeleteNetworkInterface")
    assert _order(plan, REPLACE, *ends) == [REPLACE, *ends]
    assert plan.interruptions == ()
    assert not any("black hole" in warning for warning in plan.warnings)
    account.apply(spec, prune=True)
    assert account.routes() == {"0.0.0.0/0": "nat"}


def test_an_interface_stays_as_long_as_its_successor_is_left_out(account: Account) -> None:
    """Its route would end with it."""
    account.apply(_pair(account, "", "route"))
    spec = account.spec(EVERYWHERE, row={"security_groups": ["sg-0123456789abcdef0"]})
    plan = account.harness.plan(spec, prune=True, partly=True)
    assert plan.steps == ()
    heir = "until network_interfaces.nat can take it over"
    [warning] = [each for each in plan.warnings if heir in each]
    assert "network_interfaces.second" in warning
    account.harness.apply(spec, prune=True, partly=True)
    assert account.routes() == {"0.0.0.0/0": "second"}
    account.apply(account.spec(EVERYWHERE), prune=True)
    assert account.routes() == {"0.0.0.0/0": "nat"}


def test_a_route_ends_before_its_interface(account: Account) -> None:
    """Where another row still names the table."""
    other = {"route_table": PRIVATE, "destination": "10.8.0.0/16"}
    row = {"subnet": account.public, "attachment": {"instance": "nat", "device_index": 1}, "routes": [other]}
    account.apply(account.spec(EVERYWHERE, more={"second": row}))
    plan = account.harness.plan(account.spec(EVERYWHERE), prune=True)
    ends = ("DetachNetworkInterface", "DeleteNetworkInterface")
    assert _order(plan, DELETE, *ends) == [DELETE, *ends]
    account.apply(account.spec(EVERYWHERE), prune=True)
    assert account.routes() == {"0.0.0.0/0": "nat"}


def test_destroy_takes_the_routes_back_first(account: Account) -> None:
    spec = account.spec(EVERYWHERE)
    account.apply(spec)
    account.ec2.create_route(
        RouteTableId=account.main,
        DestinationCidrBlock="10.8.0.0/16",
        NetworkInterfaceId=account.interface("nat"),
    )
    plan = account.harness.plan(spec, destroy=True)
    ends = ("TerminateInstances", "DeleteNetworkInterface")
    assert _order(plan, DELETE, *ends) == [DELETE, *ends]
    [warning] = [each for each in plan.warnings if "black hole" in each]
    assert f"route 10.8.0.0/16 of {account.main}" in warning
    assert account.routes() == {"0.0.0.0/0": "nat"}
    report = account.harness.apply(spec, destroy=True)
    assert report.outcome == "converged"
    assert account.routes() == {}
    assert account.routes(account.main)["10.8.0.0/16"] == "nat!"


def test_a_route_follows_an_interface_that_is_replaced(account: Account) -> None:
    """EC2 keeps the device index until the former one is detached, so there is a gap, which the plan shows."""
    row = {
        "subnet": {"tags": {"Name": "public-a"}},
        "attachment": {"instance": "nat", "device_index": 1},
        "routes": [EVERYWHERE],
        "source_dest_check": False,
    }
    account.apply(account.spec(more={"second": row | {"private_ip": "10.0.1.50"}}))
    spec = account.spec(more={"second": row | {"private_ip": "10.0.1.51"}})
    plan = account.harness.plan(spec)
    assert _order(plan, "DetachNetworkInterface", "AttachNetworkInterface", REPLACE, "DeleteNetworkInterface") == [
        "DetachNetworkInterface",
        "AttachNetworkInterface",
        REPLACE,
        "DeleteNetworkInterface",
    ]
    what = {(each.address, each.what) for each in plan.interruptions}
    assert ("network_interfaces.second", f"route 0.0.0.0/0 of {account.private}") in what
    assert not any("black hole" in warning for warning in plan.warnings)
    account.apply(spec)
    assert account.routes() == {"0.0.0.0/0": "second"}


def test_a_route_stays_with_an_interface_that_moves(account: Account) -> None:
    launch = {"image": IMAGE, "instance_type": "t3.small"}
    row = {"subnet": account.public, "source_dest_check": False, "routes": [EVERYWHERE]}

    def spec(holder: str) -> str:
        document = json.loads(account.spec())
        document["instances"]["b"] = launch
        document["network_interfaces"] |= {
            "b": {"subnet": account.public, "attachment": {"instance": "b", "device_index": 0}},
            "service": row | {"attachment": {"instance": holder, "device_index": 1}},
        }
        return json.dumps(document)

    account.apply(spec("nat"))
    assert account.apply(spec("b")) == ["DetachNetworkInterface", "AttachNetworkInterface"]
    assert account.routes() == {"0.0.0.0/0": "service"}


# ---- compare and set


def test_a_route_that_changes_after_the_plan_is_planned_anew(account: Account) -> None:
    """The plan displaces only what it names."""
    account.lead(GatewayId=account.gateway)
    spec = account.spec(EVERYWHERE)
    stranger = account.stranger()

    def approve(_: Plan) -> Impact:
        account.lead(NetworkInterfaceId=stranger)
        return Impact.DESTRUCTIVE

    report = account.harness.apply(spec, approve=approve)
    assert report.outcome == "converged"
    tries = [(each.status, each.replan) for each in report.outcomes if each.step.call == REPLACE]
    assert tries == [(Status.FAILED, True), (Status.DONE, False)]
    # One by the other tool, one by us.
    assert [call.action for call in account.harness.strict.mutating()].count(REPLACE) == 2


@pytest.mark.parametrize("how", ["made", "deleted"])
def test_a_route_that_another_tool_makes_or_deletes_meanwhile(account: Account, how: str) -> None:
    spec = account.spec(EVERYWHERE)
    if how == "deleted":
        account.lead(GatewayId=account.gateway)

    def approve(_: Plan) -> Impact:
        if how == "made":
            account.lead(GatewayId=account.gateway)
        else:
            account.ec2.delete_route(RouteTableId=account.private, DestinationCidrBlock="0.0.0.0/0")
        return Impact.DESTRUCTIVE

    assert account.harness.apply(spec, approve=approve).outcome == "converged"
    assert account.routes() == {"0.0.0.0/0": "nat"}


# ---- permissions


@pytest.mark.parametrize("selector", ["id", "tags", "subnet", "main"])
def test_the_policy_allows_exactly_the_routes_of_the_tables(account: Account, selector: str) -> None:
    table: Any = {
        "id": account.private,
        "tags": PRIVATE,
        "subnet": {"subnet": account.subnet},
        "main": {"main_of": {"tags": {"Name": "lab"}}},
    }[selector]
    spec = account.spec({"route_table": table, "destination": "10.8.0.0/16"}, EVERYWHERE | {"route_table": table})
    changed = account.spec({"route_table": table, "destination": "10.8.0.0/16"})
    account.harness.obey(spec)
    for each in (spec, changed):
        assert account.harness.apply(each).outcome == "converged"
    assert account.harness.apply(changed, destroy=True).outcome == "converged"
    if selector in ("id", "tags"):
        account.harness.strict.world.data.route_tables[account.private].tags.clear()
        denied = account.spec({"route_table": account.main, "destination": "10.8.0.0/16"})
        report = account.harness.apply(denied)
        assert report.outcome in ("partial", "failed")
        assert "CreateRoute" in str(report.error or [each.error for each in report.outcomes])
