"""Every AWS API action that enireconcile calls: one table, one row an action.

A row says which service has the action, whether it reads or writes, how large its token bucket is, how its answer
is paged and, for describes whose objects steps wait for, where the answer lists them. A call that has no row is a
bug: ``action`` raises instead of guessing a bucket or a page size.

Bucket sizes: EC2 developer guide, "Request throttling" (per account, Region and action). Page sizes: EC2 API
reference, MaxResults of each action.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct


class BucketSize(NamedTuple):
    """A token bucket: ``capacity`` in calls, ``refill`` in calls per second."""

    capacity: float
    refill: float


_READ = BucketSize(100.0, 20.0)
_WRITE = BucketSize(50.0, 5.0)
_LARGE = BucketSize(100.0, 5.0)
_TAGS = BucketSize(100.0, 10.0)
_LAUNCH = BucketSize(5.0, 2.0)
_CLOUDTRAIL = BucketSize(2.0, 2.0)


class Listing(Struct, frozen=True):
    """How a describe answer lists its objects.

    ``objects`` is the JMESPath of the list, ``id_key`` the key of an object's id. ``id_filter`` is the name of the
    filter that takes ids; without one, ``params`` describe all objects of the account and Region. ``prefix`` is
    that of the ids, for the call that shows whether an object exists.
    """

    objects: str
    id_key: str
    id_filter: str | None
    params: Mapping[str, str] = {}
    prefix: str = ""


class ApiAction(Struct, frozen=True):
    """One row: an AWS API action.

    ``page_size`` is the MaxResults to ask for, None where the action is not paged. The answer of an action that is
    ``asked_once`` does not change during a run. ``listing`` is set for describes that the poller can wait with.
    ``dry_run`` says whether a call takes DryRun, which asks for its permission and changes nothing.
    """

    name: str
    reads: bool
    bucket: BucketSize
    service: str = "ec2"
    page_size: int | None = None
    asked_once: bool = False
    listing: Listing | None = None
    dry_run: bool = False

    @property
    def lists(self) -> bool:
        """Whether its answer is a list, which EC2 sends even when it is empty."""
        one = ("DescribeInstanceAttribute", "DescribeNetworkInterfaceAttribute")
        return self.reads and self.service == "ec2" and self.name not in one


def _read(
    name: str,
    *,
    service: str = "ec2",
    page_size: int | None = None,
    asked_once: bool = False,
    listing: Listing | None = None,
    bucket: BucketSize = _READ,
) -> ApiAction:
    return ApiAction(name, True, bucket, service, page_size, asked_once, listing)


def _write(name: str, bucket: BucketSize = _WRITE, *, service: str = "ec2", dry_run: bool = True) -> ApiAction:
    return ApiAction(name, False, bucket, service, dry_run=dry_run)


_ROWS = (
    _read("DescribeAccountAttributes", asked_once=True),
    _read("DescribeAddresses", listing=Listing("Addresses[]", "AllocationId", "allocation-id", prefix="eipalloc")),
    _read(
        "DescribeAddressesAttribute",
        page_size=1000,
        listing=Listing("Addresses[]", "AllocationId", None, {"Attribute": "domain-name"}),
    ),
    _read("DescribeCapacityReservations", page_size=1000),
    _read("DescribeHosts", page_size=500),
    _read("DescribeIamInstanceProfileAssociations", page_size=1000),
    _read("DescribeImages", page_size=1000),
    _read("DescribeInstanceAttribute"),
    _read(
        "DescribeInstanceCreditSpecifications",
        page_size=1000,
        listing=Listing("InstanceCreditSpecifications[]", "InstanceId", "instance-id"),
    ),
    _read(
        "DescribeInstances",
        page_size=1000,
        listing=Listing("Reservations[].Instances[]", "InstanceId", "instance-id", prefix="i"),
    ),
    _read("DescribeInstanceStatus"),
    _read("DescribeInstanceTypes", page_size=100, asked_once=True),
    _read("DescribeInstanceTypeOfferings", page_size=1000, asked_once=True),
    _read("DescribeInternetGateways", page_size=1000),
    _read("DescribeKey", service="kms"),
    _read("DescribeKeyPairs"),
    _read("DescribeManagedPrefixLists", page_size=100, asked_once=True),
    _read("DescribeNetworkAcls", page_size=1000),
    _read(
        "DescribeNetworkInterfaces",
        page_size=1000,
        listing=Listing("NetworkInterfaces[]", "NetworkInterfaceId", "network-interface-id", prefix="eni"),
    ),
    _read("DescribeNetworkInterfaceAttribute"),
    _read("DescribePlacementGroups"),
    _read(
        "DescribeRouteTables",
        page_size=100,
        listing=Listing("RouteTables[]", "RouteTableId", "route-table-id", prefix="rtb"),
    ),
    _read(
        "DescribeSecurityGroups",
        page_size=1000,
        listing=Listing("SecurityGroups[]", "GroupId", "group-id", prefix="sg"),
    ),
    _read("DescribeSecurityGroupVpcAssociations", page_size=1000),
    _read("DescribeSnapshots", page_size=1000),
    _read("DescribeSubnets", page_size=1000),
    _read("DescribeTransitGatewayVpcAttachments", page_size=1000),
    _read("DescribeVpcPeeringConnections", page_size=1000),
    _read("DescribeVolumes", page_size=500),
    _read("DescribeVpcs", page_size=1000),
    _read("GetCallerIdentity", service="sts"),
    _read("GetObject", service="s3"),
    _read("GetParameter", service="ssm"),
    # CloudTrail's limit holds for all callers in an account and Region together.
    _read("LookupEvents", service="cloudtrail", bucket=_CLOUDTRAIL),
    _write("AllocateAddress"),
    _write("AssignIpv6Addresses", _LARGE, dry_run=False),
    _write("AssignPrivateIpAddresses", _LARGE, dry_run=False),
    _write("AssociateAddress"),
    _write("AssociateIamInstanceProfile", dry_run=False),
    _write("AttachNetworkInterface"),
    _write("AuthorizeSecurityGroupEgress"),
    _write("AuthorizeSecurityGroupIngress"),
    _write("CancelSpotInstanceRequests"),
    _write("CreateNetworkInterface", _LARGE),
    _write("CreateRoute"),
    _write("CreateSecurityGroup"),
    _write("CreateTags", _TAGS),
    _write("DeleteNetworkInterface", _LARGE),
    _write("DeleteRoute"),
    _write("DeleteSecurityGroup"),
    _write("DeleteTags", _TAGS),
    _write("DetachNetworkInterface"),
    _write("DisassociateAddress"),
    _write("ModifyAddressAttribute"),
    _write("ModifyInstanceAttribute"),
    _write("ModifyInstanceCreditSpecification"),
    _write("ModifyInstanceMaintenanceOptions"),
    _write("ModifyInstanceMetadataOptions"),
    _write("ModifyInstancePlacement", dry_run=False),
    _write("ModifyNetworkInterfaceAttribute", _LARGE),
    _write("MonitorInstances"),
    _write("PutObject", service="s3", dry_run=False),
    _write("ReleaseAddress"),
    _write("ReplaceIamInstanceProfileAssociation", dry_run=False),
    _write("ReplaceRoute"),
    _write("ResetAddressAttribute"),
    _write("RevokeSecurityGroupEgress"),
    _write("RevokeSecurityGroupIngress"),
    _write("RunInstances", _LAUNCH),
    _write("StartInstances", _LAUNCH),
    _write("StopInstances"),
    _write("TerminateInstances", _LARGE),
    _write("UnassignIpv6Addresses", dry_run=False),
    _write("UnassignPrivateIpAddresses", _LARGE, dry_run=False),
    _write("UnmonitorInstances"),
    _write("UpdateSecurityGroupRuleDescriptionsEgress"),
    _write("UpdateSecurityGroupRuleDescriptionsIngress"),
)

ACTIONS: Mapping[str, ApiAction] = {row.name: row for row in _ROWS}


class UnknownAction(AssertionError):
    """A call that has no row: a bug in enireconcile, never a mistake of the user."""

    def __init__(self, call: str) -> None:
        super().__init__(f"{call} has no row in enireconcile/aws/actions.py")


def action(call: str) -> ApiAction:
    """The row of a call, e.g. ``RunInstances``. Raises UnknownAction."""
    try:
        return ACTIONS[call]
    except KeyError:
        raise UnknownAction(call) from None


def is_read(call: str) -> bool:
    """Whether a call is known and changes nothing. An unknown call does not count as a read."""
    return call in ACTIONS and ACTIONS[call].reads


def describe_of(resource_id: str) -> str | None:
    """The call that shows whether an id, e.g. ``eni-…``, exists; None if there is none."""
    return _DESCRIBES.get(resource_id.rpartition("-")[0])


_DESCRIBES = {row.listing.prefix: row.name for row in _ROWS if row.listing is not None and row.listing.prefix}


def listing_of(call: str) -> Listing:
    """How the answer of a describe lists its objects. Raises UnknownAction, also for a call without a listing."""
    found = action(call).listing
    if found is None:
        raise UnknownAction(f"the listing of {call}")
    return found
