"""What a launch of an instance can say besides its interfaces: volumes, placement, CPU options, Spot and the like.

The names are EC2's own. Limits are those of RunInstances, as its API reference states them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from enireconcile.spec.places import Path, shown
from enireconcile.spec.row import Row, choice, within
from enireconcile.spec.scalars import (
    ANY_SCALAR,
    Boolean,
    Integer,
    Text,
    boolean,
    matching,
    tuple_of_items,
    value_error,
)

if TYPE_CHECKING:
    from enireconcile.spec.rows import Instance

LAUNCH_KEYS = (
    "root_volume",
    "volumes",
    "volume_tags",
    "placement",
    "cpu_options",
    "hibernation",
    "enclave",
    "capacity_reservation",
    "spot",
)
"""The keys of an instance that EC2 sets at launch only; of ``placement``, all but the group."""


# ---- volumes

_SIZES: Mapping[str, tuple[int, int]] = {
    "gp3": (1, 65536),
    "gp2": (1, 16384),
    "io1": (4, 16384),
    "io2": (4, 65536),
    "st1": (125, 16384),
    "sc1": (125, 16384),
    "standard": (1, 1024),
}
"""The least and the most GiB of each type."""
_IOPS: Mapping[str, tuple[int, int, int]] = {
    "gp3": (3000, 80000, 500),
    "io1": (100, 64000, 50),
    "io2": (100, 256000, 1000),
}
"""The least, the most, and the most for each GiB. Every gp3 volume has 3000, whatever its size."""
_BASELINE = 3000
_THROUGHPUT = (125, 2000)
_IOPS_FOR_EACH_MIB = 4
"""A gp3 volume needs 4 IOPS for each MiB/s."""

VolumeType = Annotated[Literal["gp3", "gp2", "io1", "io2", "st1", "sc1", "standard"], choice(*_SIZES)]
KmsKey = Annotated[
    Text,
    matching(
        r"(mrk-)?[0-9a-f-]{32,36}|alias/[A-Za-z0-9/_-]{1,250}|"
        r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]{1,256}",
        "the id, alias or ARN of a KMS key",
        "for example alias/ebs",
    ),
]


class RootVolume(Row):
    """The root volume of an instance. What is left out is as in the image."""

    example: ClassVar[str | None] = "{size_gib: 20, type: gp3}"

    size_gib: Annotated[Integer, within(1, 65536, " GiB")] | None = Field(
        None, description="The size in GiB; default: the size of the snapshot"
    )
    type: VolumeType | None = Field(
        None, description="gp3, gp2, io1, io2, st1, sc1 or standard; default: the image's, or EC2's"
    )
    iops: Integer | None = Field(
        None, description="The provisioned IOPS; for gp3, and required for io1 and io2; needs `type`"
    )
    throughput: Annotated[Integer, within(*_THROUGHPUT, " MiB/s")] | None = Field(
        None, description="The throughput in MiB/s, 125 to 2000; for gp3 only; needs `type`"
    )
    encrypted: Boolean | None = Field(
        None, description="Whether the volume is encrypted; default: the snapshot's, or the account's default"
    )
    kms_key_id: KmsKey | None = Field(
        None, description="The KMS key of an encrypted volume; default: the account's default key"
    )
    delete_on_termination: Boolean | None = Field(
        None, description="Whether EC2 deletes the volume when the instance terminates; default: true"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_fields_set:
            raise value_error("must not be empty", "for example {size_gib: 20, type: gp3}")
        self._check_size()
        self._check_iops()
        self._check_throughput()
        if self.kms_key_id is not None and self.encrypted is not True:
            raise value_error("needs `encrypted: true`", "add it, or remove `kms_key_id`", at=("kms_key_id",))
        return self

    def _check_size(self) -> None:
        least, most = _SIZES.get(self.type or "", (1, 65536))
        if self.size_gib is not None and not least <= self.size_gib <= most:
            message = f"must be from {least} to {most} GiB for {self.type}, not {self.size_gib}"
            raise value_error(message, at=("size_gib",))

    def _check_iops(self) -> None:
        if self.iops is None:
            if self.type in ("io1", "io2"):
                raise value_error(f"{self.type} needs `iops`", "for example `iops: 3000`", at=("type",))
            return
        if self.type is None or self.type not in _IOPS:
            what = f"{self.type} takes no `iops`" if self.type else "needs `type`: gp3, io1 or io2"
            raise value_error(what, "write a type that takes it, or remove `iops`", at=("iops",))
        least, most, ratio = _IOPS[self.type]
        if self.size_gib is not None:
            most = min(most, max(self.size_gib * ratio, _BASELINE if self.type == "gp3" else 0))
        if not least <= self.iops <= most:
            size = f" of {self.size_gib} GiB" if self.size_gib is not None else ""
            if most < least:
                raise value_error(f"{self.type} takes at most {ratio} IOPS for each GiB", at=("iops",))
            message = f"must be from {least} to {most} for {self.type}{size}, not {self.iops}"
            hint = f"EC2 allows at most {ratio} IOPS for each GiB" if size else None
            raise value_error(message, hint, at=("iops",))

    def _check_throughput(self) -> None:
        if self.throughput is None:
            return
        if self.type != "gp3":
            what = f"{self.type} takes no `throughput`" if self.type else "needs `type: gp3`"
            raise value_error(what, "only gp3 takes it", at=("throughput",))
        iops = self.iops or _BASELINE
        if self.throughput * _IOPS_FOR_EACH_MIB > iops:
            least = self.throughput * _IOPS_FOR_EACH_MIB
            message = f"{self.throughput} MiB/s needs at least {least} IOPS, and the volume has {iops}"
            raise value_error(message, f"write `iops: {least}` or more", at=("throughput",))


_DEVICE = matching(
    r"/dev/(sd|xvd)[a-z]{1,2}([1-9]|1[0-5])?", "a device name such as /dev/sdf", "EC2 recommends /dev/sd[f-p]"
)


class Volume(RootVolume):
    """A further volume of an instance, new or from a snapshot."""

    example: ClassVar[str | None] = "{device_name: /dev/sdf, size_gib: 100, type: gp3}"

    device_name: Annotated[Text, _DEVICE] = Field(description="The device name, for example /dev/sdf")
    snapshot_id: (
        Annotated[Text, matching("snap-[0-9a-f]{8,17}", "a snapshot id", "for example snap-0123456789abcdef0")]
        | None
    ) = Field(None, description="The snapshot that the volume is made from; default: an empty volume")

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.size_gib is None and self.snapshot_id is None:
            raise value_error("needs `size_gib` or `snapshot_id`", "for example `size_gib: 100`")
        return self


def _volumes(value: tuple[Volume, ...]) -> tuple[Volume, ...]:
    names = [volume.device_name for volume in value]
    for index, name in enumerate(names):
        if name in names[:index]:
            message = f"{shown(name)} is the device name of two volumes"
            raise value_error(message, "choose another one", at=(index, "device_name"))
    return value


Volumes = Annotated[tuple[Volume, ...], BeforeValidator(tuple_of_items), AfterValidator(_volumes)]


# ---- placement


class Placement(Row):
    """Where EC2 places an instance: a placement group, dedicated hardware."""

    example: ClassVar[str | None] = "{group: my-cluster}"

    group: Annotated[Text, matching(r"[\x20-\x7e]{0,255}", "the name of a placement group"), ANY_SCALAR] | None = (
        Field(None, description='The name of a placement group; "": no group; default: not managed')
    )
    tenancy: Annotated[Literal["default", "dedicated", "host"], choice("default", "dedicated", "host")] | None = (
        Field(None, description="default, dedicated or host")
    )
    partition: Annotated[Integer, within(1, 7)] | None = Field(
        None, description="The partition of a partition placement group, 1 to 7; default: EC2 chooses"
    )
    host_id: Annotated[Text, matching("h-[0-9a-f]{8,17}", "the id of a Dedicated Host")] | None = Field(
        None, description="The Dedicated Host, h-…"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_fields_set:
            raise value_error("must not be empty", "for example {group: my-cluster}")
        if self.partition is not None and not self.group:
            raise value_error("needs `group`", "name the partition placement group", at=("partition",))
        if self.host_id is not None and self.tenancy not in (None, "host"):
            hint = "write `tenancy: host`, or remove `host_id`"
            raise value_error(f"cannot be combined with `tenancy: {self.tenancy}`", hint, at=("host_id",))
        return self


# ---- options


class CpuOptions(Row):
    """The cores and threads of an instance."""

    example: ClassVar[str | None] = "{core_count: 2, threads_per_core: 1}"

    core_count: Annotated[Integer, within(1, 1024)] | None = Field(None, description="How many CPU cores it has")
    threads_per_core: Annotated[Integer, within(1, 2, hint="1 turns multithreading off")] | None = Field(
        None, description="1 or 2; 1 turns multithreading off"
    )
    amd_sev_snp: Annotated[Literal["enabled", "disabled"], choice("enabled", "disabled")] | None = Field(
        None, description="AMD SEV-SNP: enabled or disabled"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_fields_set:
            raise value_error("must not be empty", "for example {core_count: 2, threads_per_core: 1}")
        if (self.core_count is None) != (self.threads_per_core is None):
            missing = "core_count" if self.core_count is None else "threads_per_core"
            raise value_error(f"needs `{missing}`", "EC2 takes both or neither")
        return self


class Hibernation(Row):
    """Whether the instance can hibernate."""

    example: ClassVar[str | None] = "{configured: true}"

    configured: Boolean = Field(
        description="Whether hibernation is enabled; EC2 requires an encrypted root volume"
    )


class Enclave(Row):
    """Whether the instance can run Nitro Enclaves."""

    example: ClassVar[str | None] = "{enabled: true}"

    enabled: Boolean = Field(description="Whether Nitro Enclaves are enabled")


def _switch(key: str) -> BeforeValidator:
    """A reader of a mapping with one boolean, for which the boolean alone stands, too."""

    def read(value: object) -> object:
        return {key: boolean(value)} if isinstance(value, (str, bool)) else value

    return BeforeValidator(read)


def or_boolean(schema: dict[str, Any]) -> None:
    """Let the JSON Schema of an optional field take a boolean, too."""
    schema["anyOf"].append({"type": "boolean"})


HibernationField = Annotated[Hibernation, _switch("configured")]
EnclaveField = Annotated[Enclave, _switch("enabled")]


class CapacityReservationTarget(Row):
    """A Capacity Reservation, or a group of them."""

    example: ClassVar[str | None] = "{capacity_reservation_id: cr-0123456789abcdef0}"

    capacity_reservation_id: (
        Annotated[Text, matching("cr-[0-9a-f]{8,17}", "the id of a Capacity Reservation")] | None
    ) = Field(None, description="The Capacity Reservation, cr-…")
    capacity_reservation_resource_group_arn: (
        Annotated[Text, matching("arn:aws[a-z-]*:resource-groups:.+", "the ARN of a resource group")] | None
    ) = Field(None, description="Instead: the ARN of a resource group of Capacity Reservations")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.capacity_reservation_id is None) == (self.capacity_reservation_resource_group_arn is None):
            keys = "`capacity_reservation_id` or `capacity_reservation_resource_group_arn`"
            raise value_error(f"needs either {keys}", "write exactly one of the two")
        return self


_PREFERENCES = ("open", "none", "capacity-reservations-only")


class CapacityReservation(Row):
    """Which Capacity Reservations the instance uses."""

    example: ClassVar[str | None] = "{capacity_reservation_preference: open}"

    capacity_reservation_preference: (
        Annotated[Literal["open", "none", "capacity-reservations-only"], choice(*_PREFERENCES)] | None
    ) = Field(None, description="open, none or capacity-reservations-only")
    capacity_reservation_target: CapacityReservationTarget | None = Field(
        None, description="Instead: one Capacity Reservation, or a group of them"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.capacity_reservation_preference is None) == (self.capacity_reservation_target is None):
            keys = "`capacity_reservation_preference` or `capacity_reservation_target`"
            raise value_error(f"needs either {keys}", "write exactly one of the two")
        return self


_BEHAVIORS = ("terminate", "stop", "hibernate")


class Spot(Row):
    """A Spot Instance. An empty mapping requests one once, at the current price."""

    max_price: (
        Annotated[Text, matching(r"[0-9]{1,4}(\.[0-9]{1,6})?", "a price in dollars an hour"), ANY_SCALAR] | None
    ) = Field(None, description='The most to pay, in USD an hour, for example "0.05"; default: the current price')
    spot_instance_type: Annotated[Literal["one-time", "persistent"], choice("one-time", "persistent")] = Field(
        "one-time", description="one-time or persistent: whether EC2 launches the instance again"
    )
    valid_until: (
        Annotated[Text, matching(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "a time in UTC", "2030-01-31T12:00:00Z")]
        | None
    ) = Field(None, description="For persistent requests: when the request ends, 2030-01-31T12:00:00Z")
    instance_interruption_behavior: (
        Annotated[Literal["terminate", "stop", "hibernate"], choice(*_BEHAVIORS)] | None
    ) = Field(None, description="What an interruption does: terminate, stop or hibernate; default: terminate")

    @property
    def one_time(self) -> bool:
        """Whether EC2 can never stop the instance."""
        return self.spot_instance_type == "one-time"

    @model_validator(mode="after")
    def _check(self) -> Self:
        interrupted = self.instance_interruption_behavior
        if self.max_price is not None and float(self.max_price) <= 0.001:
            raise value_error("must be more than 0.001", "leave it out for the current price", at=("max_price",))
        if self.one_time and self.valid_until is not None:
            raise value_error("needs `spot_instance_type: persistent`", "or remove it", at=("valid_until",))
        if self.one_time and interrupted in ("stop", "hibernate"):
            at = ("instance_interruption_behavior",)
            raise value_error(f"{interrupted} needs `spot_instance_type: persistent`", "or write terminate", at=at)
        if not self.one_time and interrupted not in ("stop", "hibernate"):
            hint = "write `instance_interruption_behavior: stop`"
            message = "a persistent request of RunInstances needs the interruption behavior stop or hibernate"
            raise value_error(message, hint, at=("spot_instance_type",))
        return self


# ---- what does not go together

Conflict = tuple[Path, str, str]
"""The path in the row, the message and the hint."""


def conflicts(row: "Instance") -> Iterator[Conflict]:
    """Keys of an instance that EC2 does not take together."""
    if row.stop_protection and row.state == "stopped":
        message = "cannot be combined with `state: stopped`: EC2 refuses to stop the instance"
        yield ("stop_protection",), message, "remove one of the two"
    if row.cpu_credits is not None and row.instance_type and not re.match("t[0-9]", row.instance_type):
        message = f"{row.instance_type} has no CPU credits"
        yield ("cpu_credits",), message, "only burstable types (T2, T3, T3a, T4g) have them; remove the key"
    if row.root_volume is not None and row.root_volume.type in ("st1", "sc1"):
        message = f"{row.root_volume.type} cannot be a root volume"
        yield ("root_volume", "type"), message, "write gp3, or another type of SSD volumes"
    if row.spot is not None:
        yield from _spot_conflicts(row, row.spot)
    if row.hibernation is None or not row.hibernation.configured:
        return
    if row.enclave is not None and row.enclave.enabled:
        yield ("enclave",), "cannot be combined with hibernation", "remove one of the two"
    if row.root_volume is not None and row.root_volume.encrypted is False:
        message = "hibernation needs an encrypted root volume"
        yield ("root_volume", "encrypted"), message, "write `encrypted: true`, or remove `hibernation`"


def _spot_conflicts(row: "Instance", spot: Spot) -> Iterator[Conflict]:
    persistent = "write `spot: {spot_instance_type: persistent, instance_interruption_behavior: stop}`"
    if spot.one_time and row.state == "stopped":
        yield ("state",), "EC2 cannot stop a one-time Spot Instance", f"{persistent}, or remove `state`"
    if spot.one_time and row.on_change == "restart":
        message = "restart stops the instance, and EC2 cannot stop a one-time Spot Instance"
        yield ("on_change",), message, f"write `on_change: replace`, or {persistent}"
    for key in ("termination_protection", "stop_protection"):
        if getattr(row, key):
            yield (key,), "EC2 does not protect Spot Instances", "remove one of the two"
    if row.placement is not None and row.placement.tenancy == "host":
        yield ("placement", "tenancy"), "Spot Instances cannot run on Dedicated Hosts", "remove one of the two"
    if row.capacity_reservation is not None and (
        row.capacity_reservation.capacity_reservation_preference not in ("none", "open")
    ):
        message = "Spot Instances cannot run in Capacity Reservations"
        yield ("capacity_reservation",), message, "remove one of the two"
    behavior = spot.instance_interruption_behavior
    if row.hibernation is not None and row.hibernation.configured and behavior not in (None, "hibernate"):
        message = f"an instance with hibernation cannot {behavior} when it is interrupted"
        yield ("spot", "instance_interruption_behavior"), message, "write hibernate"


def as_written(value: Any) -> Any:
    """The value of a key as the spec writes it: models as mappings of what is set, tuples as lists."""
    if isinstance(value, Row):
        return {name: as_written(each) for name, each in value if each is not None}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [as_written(each) for each in value]
    return value
