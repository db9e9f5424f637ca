"""The chapter `failover`: an interface that moves between two instances, and a route that leads to it."""

from __future__ import annotations

from tests.acceptance.account import Failed, Item, expect
from tests.acceptance.stage import Chapter, Spec, Stage

NAME = "failover"
CHAPTER = Chapter(NAME)
DESTINATION = "192.0.2.0/24"


def spec(stage: Stage) -> Spec:
    """Two instances that the stack does not own, and an interface for one of them."""
    return {
        "security_groups": {"service": {"vpc": stage.selector("vpc")}},
        "instances": {name: {"external": stage.selector(name)} for name in ("fw-a", "fw-b")},
        "network_interfaces": {
            "service": {
                "subnet": stage.selector("public"),
                "security_groups": ["service"],
                "private_ip": "10.97.1.100",
                "source_dest_check": False,
                "attachment": {
                    "instances": ["fw-a", "fw-b"],
                    "device_index": 1,
                    "failover": {"health": "running", "preempt": False},
                },
            }
        },
        "elastic_ips": {"service": {"association": {"network_interface": "service"}}},
    }


def firewall(stage: Stage, name: str) -> str:
    """The id of an instance that the kit launched."""
    [found] = stage.account.instances({"tag:Name": f"{stage.account.run}-{name}"})
    return str(found["InstanceId"])


def check(stage: Stage, holder: str) -> None:
    """Raises Failed unless the interface, its Elastic IP and the route are at this instance."""
    stage.account.soon(lambda: _check(stage, firewall(stage, holder)))


def _check(stage: Stage, instance: str) -> None:
    shown, found = stage.interface(NAME, "service"), route(stage)
    interface, attachment = shown["NetworkInterfaceId"], shown.get("Attachment", {})
    expect("holder", (attachment.get("InstanceId"), attachment.get("Status")), (instance, "attached"))
    expect("source/destination check", shown["SourceDestCheck"], False)
    expect("target of the Elastic IP", stage.address(NAME, "service").get("NetworkInterfaceId"), interface)
    expect("the route", (found["NetworkInterfaceId"], found["State"]), (interface, "active"))


def route(stage: Stage) -> Item:
    """The route to the interface, as EC2 shows it."""
    [table] = stage.ec2.describe_route_tables(RouteTableIds=[stage.scratch.table])["RouteTables"]
    [found] = [each for each in table["Routes"] if each.get("DestinationCidrBlock") == DESTINATION]
    return dict(found)


@CHAPTER.scene
def the_first_instance_gets_the_interface(stage: Stage) -> None:
    """the interface is attached to the first instance, and a route leads to it"""
    account = stage.account
    ids = [account.launch(name, stage.scratch.public) for name in ("fw-a", "fw-b")]
    for instance in ids:
        account.until_state(instance, "running", measure="launch an instance")
    path = stage.write(NAME, spec(stage))
    stage.program.apply(path)
    stage.ec2.create_route(
        RouteTableId=stage.scratch.table,
        DestinationCidrBlock=DESTINATION,
        NetworkInterfaceId=stage.interface(NAME, "service")["NetworkInterfaceId"],
    )
    check(stage, "fw-a")
    stage.program.apply(path, outcome="unchanged")


@CHAPTER.scene
def it_fails_over(stage: Stage) -> None:
    """the first instance stops: the interface moves to the second one, with its Elastic IP and the route"""
    instance, path = firewall(stage, "fw-a"), stage.write(NAME, spec(stage))
    stage.ec2.stop_instances(InstanceIds=[instance])
    stage.account.until_state(instance, "stopped", measure="stop an instance")
    stage.account.until("the route is a black hole", lambda: route(stage)["State"] == "blackhole")
    stage.program.run("plan", "--detailed-exitcode", str(path), expect=2)
    report = stage.program.apply(path)
    stage.account.timings.setdefault("apply: fail over", []).append(report["seconds"])
    check(stage, "fw-b")


@CHAPTER.scene
def it_does_not_move_back(stage: Stage) -> None:
    """the first instance runs again: with preempt: false, nothing changes"""
    instance = firewall(stage, "fw-a")
    stage.ec2.start_instances(InstanceIds=[instance])
    stage.account.until_state(instance, "running", measure="start an instance")
    stage.program.apply(stage.write(NAME, spec(stage)), outcome="unchanged")
    check(stage, "fw-b")


@CHAPTER.scene
def a_black_hole_is_announced(stage: Stage) -> None:
    """a plan that deletes the interface warns of the route; afterwards the route is a black hole"""
    wanted = spec(stage)
    del wanted["network_interfaces"], wanted["elastic_ips"]
    path = stage.write(NAME, wanted)
    ran = stage.program.run("plan", "--prune", str(path))
    if "black hole" not in ran.said or stage.scratch.table not in ran.said:
        raise Failed(f"the plan does not say that the route in {stage.scratch.table} becomes a black hole")
    stage.program.apply(path, "--prune", expect=3, outcome="refused")
    stage.program.apply(path, "--prune", "--allow-destroy")
    stage.account.until("the route is a black hole", lambda: route(stage)["State"] == "blackhole")
    stage.ec2.delete_route(RouteTableId=stage.scratch.table, DestinationCidrBlock=DESTINATION)


@CHAPTER.scene
def destroy_leaves_external_instances(stage: Stage) -> None:
    """destroy removes the stack and leaves the instances that it does not own"""
    stage.program.destroy(stage.write(NAME, spec(stage)), "--allow-destroy")
    stage.expect_counts(NAME, 0, 0, 0, 0)
    ids = [firewall(stage, name) for name in ("fw-a", "fw-b")]
    for instance in ids:
        expect(f"state of {instance}", stage.account.instance_state(instance), "running")
    stage.ec2.terminate_instances(InstanceIds=ids)
    for instance in ids:
        stage.account.until_state(instance, "terminated", measure="terminate an instance")
