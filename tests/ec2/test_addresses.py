"""Rules of EC2 for Elastic IPs and the public addresses that EC2 gives by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ec2 import Quotas, Settings
from tests.ec2.lab import Lab, refused


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def public_ip(lab: Lab, allocation: str) -> str:
    return str(lab.show_address(allocation)["PublicIp"])


# -- allocate and release ------------------------------------------------------------------------------


def test_each_call_allocates_one_more_up_to_the_quota(lab: Lab) -> None:
    """EC2 docs: AllocateAddress has no token; the sixth address is AddressLimitExceeded."""
    assert len({lab.eip() for _ in range(5)}) == 5
    with refused("AddressLimitExceeded", "maximum number of addresses"):
        lab.eip()
    assert len(lab.ec2.describe_addresses()["Addresses"]) == 5


def test_addresses_of_own_pools_do_not_count(lab: Lab) -> None:
    """EC2 docs: BYOIP addresses come from their pool, in an order that no call can choose, outside the quota."""
    pool = lab.world.add_pool("192.0.2.1")
    for _ in range(5):
        lab.eip()
    answer = lab.ec2.allocate_address(PublicIpv4Pool=pool)
    assert "PublicIp" not in answer  # EC2 docs: "Not available when using an address pool that you own"
    address = answer["AllocationId"]
    assert (public_ip(lab, address), lab.show_address(address)["PublicIpv4Pool"]) == ("192.0.2.1", pool)
    with refused("InsufficientAddressCapacity"):
        lab.eip(PublicIpv4Pool=pool)
    with refused("InvalidPublicIpv4PoolID.NotFound"):
        lab.eip(PublicIpv4Pool="ipv4pool-ec2-0123456789abcdef0")


def test_a_released_address_can_be_asked_for_again(lab: Lab) -> None:
    """EC2 docs: `Address` may bring a released address back; its id and tags are gone."""
    spec = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "a", "Value": "b"}]}]
    first = lab.eip(TagSpecifications=spec)
    ip = public_ip(lab, first)
    lab.ec2.release_address(AllocationId=first)
    second = lab.eip(Address=ip)
    assert second != first
    assert public_ip(lab, second) == ip
    assert "Tags" not in lab.show_address(second)
    with refused("InvalidAddress.NotFound", "'192.0.2.7' does not exist or is not available"):
        lab.eip(Address="192.0.2.7")


def test_an_address_of_an_own_pool_can_be_asked_for(lab: Lab) -> None:
    """EC2 docs: `Address` may be of the account's own pool. Observed on AWS: no call may name both."""
    pool = lab.world.add_pool("192.0.2.1", "192.0.2.2")
    address = lab.eip(Address="192.0.2.2")
    assert lab.show_address(address)["PublicIpv4Pool"] == pool
    for named in (pool, "amazon"):
        with refused("InvalidParameterCombination", "PublicIpv4Pool cannot be used with the parameter Address"):
            lab.eip(Address="192.0.2.1", PublicIpv4Pool=named)
    assert public_ip(lab, lab.eip(Address="192.0.2.1")) == "192.0.2.1"
    with refused("InvalidParameterValue", "invalid value for parameter pool: mine"):
        lab.eip(PublicIpv4Pool="mine")


def test_an_address_in_a_vpc_is_named_by_its_allocation(lab: Lab) -> None:
    """Observed on AWS: PublicIp instead of AllocationId is refused by both calls, each with its own code."""
    eni, address = lab.eni(), public_ip(lab, lab.eip())
    with refused("InvalidParameterCombination", "You must specify an allocation id when mapping an address"):
        lab.ec2.associate_address(PublicIp=address, NetworkInterfaceId=eni)
    with refused("InvalidParameterValue", "You must specify an allocation id when releasing"):
        lab.ec2.release_address(PublicIp=address)


def test_addresses_stay_in_their_border_group() -> None:
    """EC2 docs: an address and its interface share a network border group."""
    with Lab(Settings(border_groups=("us-east-1-bos-1",))) as lab:
        far = lab.eip(NetworkBorderGroup="us-east-1-bos-1")
        assert lab.show_address(far)["NetworkBorderGroup"] == "us-east-1-bos-1"
        with refused("InvalidParameterCombination", "border group"):
            lab.associate(far, lab.eni())


def test_the_border_group_must_be_the_regions(lab: Lab) -> None:
    """EC2 docs: a network border group that does not exist here is refused."""
    assert lab.show_address(lab.eip(NetworkBorderGroup="us-east-1"))["NetworkBorderGroup"] == "us-east-1"
    with refused("InvalidParameterValue"):
        lab.eip(NetworkBorderGroup="us-east-1-wl1-bos-wlz-1")


def test_releasing_what_is_gone(lab: Lab) -> None:
    """EC2 answers InvalidAllocationID.NotFound to a second release."""
    address = lab.eip()
    lab.ec2.release_address(AllocationId=address)
    with refused("InvalidAllocationID.NotFound"):
        lab.ec2.release_address(AllocationId=address)


def test_releasing_an_associated_address(lab: Lab) -> None:
    """EC2 docs: outside the default VPC InvalidIPAddress.InUse; in the default VPC it lets go by itself."""
    vpc = lab.world.add_vpc("10.0.0.0/16", gateway=True)
    eni, here = lab.eni(SubnetId=lab.world.add_subnet(vpc, "10.0.0.0/24")), lab.eni()
    far, near = lab.eip(), lab.eip()
    association = lab.associate(far, eni)
    lab.associate(near, here)
    with refused("InvalidIPAddress.InUse"):
        lab.ec2.release_address(AllocationId=far)
    lab.ec2.release_address(AllocationId=near)
    assert "Association" not in lab.show_eni(here)
    lab.ec2.disassociate_address(AssociationId=association)
    lab.ec2.release_address(AllocationId=far)


# -- associate -----------------------------------------------------------------------------------------


def test_associating_twice_is_no_error(lab: Lab) -> None:
    """EC2 docs: AssociateAddress is idempotent; the association keeps its id, even without reassociation."""
    eni, address = lab.eni(), lab.eip()
    first = lab.associate(address, eni)
    assert lab.associate(address, eni) == first
    assert lab.associate(address, eni, AllowReassociation=False) == first
    shown = lab.show_eni(eni)["Association"]
    assert (shown["AllocationId"], shown["AssociationId"]) == (address, first)


def test_reassociation_is_automatic_unless_forbidden(lab: Lab) -> None:
    """EC2 docs: an address moves silently, unless AllowReassociation is false."""
    one, two, address = lab.eni(), lab.eni(), lab.eip()
    first = lab.associate(address, one)
    with refused("Resource.AlreadyAssociated", first):
        lab.associate(address, two, AllowReassociation=False)
    second = lab.associate(address, two)
    assert second != first
    assert "Association" not in lab.show_eni(one)
    assert lab.show_address(address)["NetworkInterfaceId"] == two
    with refused("InvalidAssociationID.NotFound"):
        lab.ec2.disassociate_address(AssociationId=first)


def test_an_address_displaces_the_one_that_is_there(lab: Lab) -> None:
    """EC2 docs: the target's old address is displaced silently and stays allocated."""
    eni, old, new = lab.eni(), lab.eip(), lab.eip()
    lab.associate(old, eni)
    lab.associate(new, eni, AllowReassociation=False)
    assert lab.show_eni(eni)["Association"]["AllocationId"] == new
    assert "AssociationId" not in lab.show_address(old)


def test_one_address_for_each_private_address(lab: Lab) -> None:
    """EC2 docs: n Elastic IPs need n private addresses; the primary one is the default target."""
    eni, one, two = lab.eni(PrivateIpAddress="172.31.0.40"), lab.eip(), lab.eip()
    lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["172.31.0.50"])
    lab.associate(one, eni)
    lab.associate(two, eni, PrivateIpAddress="172.31.0.50")
    assert lab.show_address(one)["PrivateIpAddress"] == "172.31.0.40"
    assert lab.show_address(two)["PrivateIpAddress"] == "172.31.0.50"
    with refused("InvalidParameterValue", "172.31.0.60"):
        lab.associate(one, eni, PrivateIpAddress="172.31.0.60")


def test_a_vpc_needs_an_internet_gateway(lab: Lab) -> None:
    """EC2 docs: Gateway.NotAttached in a VPC without an internet gateway."""
    vpc = lab.world.add_vpc("10.0.0.0/16")
    eni, address = lab.eni(SubnetId=lab.world.add_subnet(vpc, "10.0.0.0/24")), lab.eip()
    with refused("Gateway.NotAttached"):
        lab.associate(address, eni)
    lab.world.add_gateway(vpc)
    lab.associate(address, eni)


def test_a_pending_instance_takes_no_address() -> None:
    """EC2 docs: not while the instance is pending; the code depends on the form of the call."""
    with Lab(Settings(pending_delay=10)) as lab:
        eni, address = lab.eni(), lab.eip()
        instance = lab.instance(eni)
        with refused("IncorrectInstanceState", "pending-instance-creation"):
            lab.associate(address, eni)
        with refused("InvalidInstanceID", "The pending instance"):
            lab.ec2.associate_address(AllocationId=address, InstanceId=instance)
        lab.clock.advance(10)
        lab.ec2.associate_address(AllocationId=address, InstanceId=instance)
        assert lab.show_address(address)["InstanceId"] == instance


def test_the_instance_form_demands_exactly_one_interface(lab: Lab) -> None:
    """EC2 docs: with several interfaces the call must name one of them, and never both forms at once."""
    eni, address = lab.eni(), lab.eip()
    instance = lab.instance(lab.eni(), eni)
    with refused("InvalidInstanceID", "multiple interfaces"):
        lab.ec2.associate_address(AllocationId=address, InstanceId=instance)
    with refused("InvalidParameterCombination"):
        lab.ec2.associate_address(AllocationId=address, InstanceId=instance, NetworkInterfaceId=eni)
    with refused("MissingParameter"):
        lab.ec2.associate_address(AllocationId=address)
    lab.ec2.terminate_instances(InstanceIds=[instance])
    with refused("InvalidInstanceID", "terminated"):
        lab.ec2.associate_address(AllocationId=address, InstanceId=instance)


def test_disassociating_twice(lab: Lab) -> None:
    """AWS's docs promise no error; in truth an association that is gone is InvalidAssociationID.NotFound."""
    association = lab.associate(lab.eip(), lab.eni())
    lab.ec2.disassociate_address(AssociationId=association)
    with refused("InvalidAssociationID.NotFound"):
        lab.ec2.disassociate_address(AssociationId=association)


def test_addresses_of_other_services_are_out_of_reach(lab: Lab) -> None:
    """EC2 docs: ServiceManaged addresses belong to a load balancer or the like."""
    address = lab.world.add_address(service_managed="nlb")
    assert lab.show_address(address)["ServiceManaged"] == "nlb"
    with refused("AuthFailure"):
        lab.associate(address, lab.eni())
    with refused("AuthFailure"):
        lab.ec2.release_address(AllocationId=address)


@pytest.mark.parametrize("name", ["allocation-id", "association-id", "network-interface-id", "instance-id"])
def test_addresses_are_found_by_what_they_are_on(lab: Lab, name: str) -> None:
    """Filters of DescribeAddresses see the association; the answer has no pages."""
    eni, address = lab.eni(), lab.eip()
    lab.eip()
    instance = lab.instance(eni)
    lab.clock.advance(1)
    assert lab.state(instance) == "running"
    lab.associate(address, eni)
    field = {
        "allocation-id": "AllocationId",
        "association-id": "AssociationId",
        "network-interface-id": "NetworkInterfaceId",
        "instance-id": "InstanceId",
    }[name]
    value = lab.show_address(address)[field]
    rows = lab.ec2.describe_addresses(Filters=[{"Name": name, "Values": [value]}])["Addresses"]
    assert [row["AllocationId"] for row in rows] == [address]


# -- reverse DNS -----------------------------------------------------------------------------------------


def test_reverse_dns_takes_time_and_locks_the_address() -> None:
    """EC2 docs: PTR updates are asynchronous; an address with a record cannot be released."""
    with Lab(Settings(ptr_delay=30)) as lab:
        address = lab.eip()

        def show() -> dict[str, Any]:
            rows = lab.ec2.describe_addresses_attribute(AllocationIds=[address], Attribute="domain-name")
            return dict(rows["Addresses"][0])

        lab.ec2.modify_address_attribute(AllocationId=address, DomainName="www.example.com")
        assert show()["PtrRecordUpdate"] == {"Value": "www.example.com.", "Status": "PENDING"}
        with refused("InvalidState"):
            lab.ec2.modify_address_attribute(AllocationId=address, DomainName="other.example.com")
        lab.clock.advance(30)
        assert show()["PtrRecord"] == "www.example.com."
        with refused("InvalidAddress.PtrSet"):
            lab.ec2.release_address(AllocationId=address)
        lab.ec2.reset_address_attribute(AllocationId=address, Attribute="domain-name")
        lab.clock.advance(30)
        lab.ec2.release_address(AllocationId=address)


def test_reverse_dns_keeps_an_address_longer_than_it_shows() -> None:
    """Others' experience: ReleaseAddress says InvalidAddress.PtrSet for minutes after the record has gone."""
    with Lab(Settings(ptr_linger_delay=120)) as lab:
        address = lab.eip()
        lab.ec2.modify_address_attribute(AllocationId=address, DomainName="www.example.com")
        lab.ec2.reset_address_attribute(AllocationId=address, Attribute="domain-name")
        # EC2 lists an address that has no record not at all, even if asked for by its id.
        for ids in ([address], []):
            rows = lab.ec2.describe_addresses_attribute(AllocationIds=ids, Attribute="domain-name")["Addresses"]
            assert rows == []
        with refused("InvalidAddress.PtrSet"):
            lab.ec2.release_address(AllocationId=address)
        lab.clock.advance(120)
        lab.ec2.release_address(AllocationId=address)


def test_reverse_dns_wants_forward_dns() -> None:
    """EC2 docs: the name must have an A record for the address first."""
    with Lab(Settings(forward_dns=True)) as lab:
        address = lab.eip()
        with refused("InvalidParameterValue", "no A record"):
            lab.ec2.modify_address_attribute(AllocationId=address, DomainName="www.example.com")
        lab.world.point("www.example.com", public_ip(lab, address))
        lab.ec2.modify_address_attribute(AllocationId=address, DomainName="www.example.com")


def test_a_locked_address_stays(lab: Lab) -> None:
    """EC2 docs: InvalidAddress.Locked, until Support unlocks it."""
    address = lab.eip()
    lab.world.lock_address(address)
    with refused("InvalidAddress.Locked"):
        lab.ec2.release_address(AllocationId=address)


@pytest.mark.parametrize("service", ["nat_gateway", "network_load_balancer", "ecs"])
def test_a_service_keeps_its_address(lab: Lab, service: str) -> None:
    """EC2: an address on an interface that a service manages is neither moved nor taken off: AuthFailure."""
    address, nat = lab.eip(), lab.world.add_service_interface(lab.subnet(), service)
    lab.world.hand_over(address, nat)
    shown = lab.show_address(address)
    assert (shown["NetworkInterfaceId"], "InstanceId" in shown) == (nat, False)
    with refused("AuthFailure"):
        lab.associate(address, lab.eni())
    with refused("AuthFailure"):
        lab.ec2.disassociate_address(AssociationId=shown["AssociationId"])
    with refused("AuthFailure"):
        lab.ec2.release_address(AllocationId=address)


# -- EC2's own public addresses ----------------------------------------------------------------------------


def own_address(lab: Lab, instance: str) -> str | None:
    address: str | None = lab.show_instance(instance).get("PublicIpAddress")
    return address


def test_an_automatic_public_address_comes_to_a_single_new_interface(lab: Lab) -> None:
    """EC2 docs: only a new, single interface at index 0 gets one, by request or by the subnet's habit."""
    plain = lab.instance(SubnetId=lab.subnet())
    shown = lab.show_instance(plain)["NetworkInterfaces"][0]
    assert shown["Association"]["IpOwnerId"] == "amazon"
    full = lab.show_eni(shown["NetworkInterfaceId"])["Association"]
    assert "AllocationId" not in full
    assert own_address(lab, lab.instance(lab.eni())) is None
    slot = {"DeviceIndex": 0, "SubnetId": lab.subnet(), "AssociatePublicIpAddress": False}
    assert own_address(lab, lab.instance(NetworkInterfaces=[slot])) is None
    assert lab.ec2.describe_addresses()["Addresses"] == []


def test_an_automatic_public_address_changes_with_stop_and_start(lab: Lab) -> None:
    """EC2 docs: it goes at stop, a new one comes at start, unless a second interface was attached."""
    instance = lab.instance(SubnetId=lab.subnet())
    first = own_address(lab, instance)
    for _ in range(2):
        lab.ec2.stop_instances(InstanceIds=[instance])
        assert own_address(lab, instance) is None
        lab.ec2.start_instances(InstanceIds=[instance])
        second = own_address(lab, instance)
    assert second not in (None, first)
    lab.attach(lab.eni(), instance)
    assert own_address(lab, instance) == second
    lab.ec2.stop_instances(InstanceIds=[instance])
    lab.ec2.start_instances(InstanceIds=[instance])
    assert own_address(lab, instance) is None


def test_an_elastic_ip_takes_the_place_of_the_automatic_one(lab: Lab) -> None:
    """EC2 docs: the automatic address is released when an Elastic IP comes, and a new one comes after it."""
    instance = lab.instance(SubnetId=lab.subnet())
    lab.show_instance(instance)
    first, address = own_address(lab, instance), lab.eip()
    association = lab.ec2.associate_address(AllocationId=address, InstanceId=instance)["AssociationId"]
    assert own_address(lab, instance) == public_ip(lab, address)
    lab.ec2.disassociate_address(AssociationId=association)
    assert own_address(lab, instance) not in (None, first, public_ip(lab, address))


def test_quotas_can_be_chosen() -> None:
    """A test may have as many addresses as it needs."""
    with Lab(Settings(quotas=Quotas(addresses=7))) as lab:
        for _ in range(7):
            lab.eip()
        with refused("AddressLimitExceeded"):
            lab.eip()
