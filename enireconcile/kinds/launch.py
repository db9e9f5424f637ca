"""The settings of an instance: how a launch says each, how EC2 shows it, and the call that changes it. Pure.

One table, ``SETTINGS``. From it come the parameters of RunInstances, the comparison, the calls of a change, and,
as from every attribute, the IAM policy, the questions to CloudTrail and what a plan shows.

What EC2 sets at launch only is told by a hash: the tag LAUNCH_TAG of an instance has one for each such setting of
the row that it was launched from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from enireconcile.kinds.attributes import Attribute, Changes
from enireconcile.kinds.world import Id
from enireconcile.live.records import INSTANCE_ATTRIBUTES, LiveInstance
from enireconcile.model import Expect, Template, fingerprint
from enireconcile.ownership import LAUNCH_TAG, tag_specifications
from enireconcile.spec import Path
from enireconcile.spec.launch import as_written
from enireconcile.spec.rows import Instance, Resource

MODIFY = "ModifyInstanceAttribute"
_HASH = slice(len("sha256:"), len("sha256:") + 12)
"""As much of each hash as lets all of them fit into the value of one tag."""


class Birth(Struct, frozen=True):
    """What a launch knows besides its row: the device name of the image's root volume, and tags.

    ``ownership`` are the tags that say whose the instance is, ``tags`` those of the file and of the row that are
    known before the launch.
    """

    root_device: str | None
    ownership: Mapping[str, str]
    tags: Mapping[str, str | Template]


Parameters = Mapping[str, Any]
Change = Callable[[Id, Any], tuple[str, Parameters]]
"""From the id of an instance and a value as EC2 has it to a call and its parameters."""


def _itself(value: Any) -> Any:
    return value


def _nothing(*_: Any) -> None:
    return None


def _impossible(instance: Id, value: Any) -> tuple[str, Parameters]:
    raise AssertionError(f"EC2 cannot change this of {instance}, nor make it {value}")


class Setting(Attribute, frozen=True):
    """An attribute of an instance that a launch can set.

    ``launch`` makes the part of RunInstances' parameters that says it; ``encoded`` turns a value into EC2's
    spelling. ``usual`` is the value that every launch has if nothing is said. ``change`` is the call for an
    existing instance, impossible for what EC2 sets at launch only, and ``shown`` where a describe answer shows its
    effect: describe call, JMESPath and the values to wait for. ``of_type`` says that only some types have it.

    ``kept`` is the part of a value that is compared with the live instance, ``launched`` the part that is told by
    a hash; None if there is none.
    """

    launch: Callable[[Any, Birth], Parameters] = lambda *_: {}
    encoded: Callable[[Any], Any] = _itself
    usual: Any = False
    change: Change = _impossible
    shown: Callable[[Any], tuple[str, str, tuple[Any, ...]]] | None = None
    of_type: bool = False
    kept: Callable[[Any], Any] = _itself
    launched: Callable[[Any], Any] = _nothing

    def written(self, row: Resource) -> Any:
        """The value in a row of the spec, as plain data; None if there is none."""
        return as_written(getattr(row, self.name))

    def wanted(self, row: Instance, *, anew: bool) -> Any:
        """What an instance should have: ``anew`` if a launch can still set it, else what can be kept."""
        value = self.written(row)
        return value if value is None or anew else self.kept(value)

    def found(self, live: LiveInstance, wanted: Any) -> Any:
        """What the instance has, in the form of ``wanted``; a hash if it was launched with something else."""
        if self.launched(wanted) is None:
            return self.observed(live)
        hashed = launched_with(live).get(self.name)
        if hashed == self.digest(wanted):
            return wanted
        return None if hashed is None else f"sha256:{hashed}"

    def digest(self, value: Any) -> str | None:
        """The hash of what only a launch can set; None for what every launch has."""
        told = None if value is None else self.launched(value)
        return None if told is None or told == self.usual else fingerprint(told)[_HASH]

    def parameters(self, value: Any, birth: Birth) -> Parameters:
        """The part of RunInstances' parameters that says the value."""
        return {} if value is None or value == self.usual else self.launch(self.encoded(value), birth)

    def expect(self, instance: Id, value: Any) -> Expect | None:
        """What to wait for after a change to ``value``, if a describe answer shows it."""
        if self.shown is None:
            return None
        describe, expression, values = self.shown(self.encoded(value))
        return Expect(describe, instance, has=((expression, values),), never=ENDED, timeout=_SOON)


_SOON = 120.0
"""EC2 shows a change within seconds, if it has made it; some calls answer without an error that it has not."""
ENDED = (("State.Name", ("shutting-down", "terminated")),)
"""States in which a wait for an instance fails at once."""


def reads_attributes(row: Instance) -> bool:
    """Does a plan for the row read what only DescribeInstanceAttribute shows?"""
    set_by_row = any(getattr(row, key) is not None for key in INSTANCE_ATTRIBUTES)
    return set_by_row or (row.adopt is not None and row.user_data is not None)


def launched_with(live: LiveInstance) -> dict[str, str]:
    """The hashes of the settings that the instance was launched with, by the names of the settings."""
    entries = (entry.partition(":") for entry in live.tags.get(LAUNCH_TAG, "").split())
    return {name: hashed for name, _, hashed in entries}


def launch_tag(row: Instance) -> dict[str, str]:
    """The tag with the hashes for an instance that is launched from a row; none if the row needs none."""
    hashed = {each.name: each.digest(each.written(row)) for each in SETTINGS}
    told = " ".join(f"{name}:{digest}" for name, digest in hashed.items() if digest is not None)
    return {LAUNCH_TAG: told} if told else {}


def changed_since_launch(row: Instance, live: LiveInstance) -> list[str]:
    """The settings of a row that only a launch can set, and that are not those of the instance's launch."""
    present = launched_with(live)
    return [
        each.name
        for each in SETTINGS
        if (value := each.written(row)) is not None
        and each.launched(value) is not None
        and each.digest(value) != present.get(each.name)
    ]


# ---- what a launch names and leaves as it is


class Used(Struct, frozen=True):
    """How a row names it in a message, the state in which it can be used (if it has any), and where to look."""

    what: str
    state: str
    look: str


DESCRIBE_KEY = "DescribeKey"
USED: Mapping[str, Used] = {
    "DescribeKeyPairs": Used("key pair", "", "see `aws ec2 describe-key-pairs`"),
    "DescribeSnapshots": Used(
        "snapshot",
        "completed",
        "see `aws ec2 describe-snapshots`; a snapshot of another account has to be shared with this one",
    ),
    "DescribeHosts": Used("Dedicated Host", "available", "see `aws ec2 describe-hosts`"),
    "DescribeCapacityReservations": Used(
        "Capacity Reservation", "active", "see `aws ec2 describe-capacity-reservations`"
    ),
    DESCRIBE_KEY: Used("KMS key", "Enabled", "see `aws kms list-keys` and `aws kms list-aliases`"),
}
"""By the call that shows whether it exists."""


def names_used(row: Instance) -> Iterator[tuple[str, Path, str]]:
    """What a launch from the row names: the call of USED, the path in the row, the name."""
    if row.key_name is not None:
        yield "DescribeKeyPairs", ("key_name",), row.key_name
    if row.placement is not None and row.placement.host_id is not None:
        yield "DescribeHosts", ("placement", "host_id"), row.placement.host_id
    target = row.capacity_reservation.capacity_reservation_target if row.capacity_reservation else None
    if target is not None and target.capacity_reservation_id is not None:
        path = ("capacity_reservation", "capacity_reservation_target", "capacity_reservation_id")
        yield "DescribeCapacityReservations", path, target.capacity_reservation_id
    if row.root_volume is not None and row.root_volume.kms_key_id is not None:
        yield DESCRIBE_KEY, ("root_volume", "kms_key_id"), row.root_volume.kms_key_id
    for index, volume in enumerate(row.volumes or ()):
        if volume.kms_key_id is not None:
            yield DESCRIBE_KEY, ("volumes", index, "kms_key_id"), volume.kms_key_id
        if volume.snapshot_id is not None:
            yield "DescribeSnapshots", ("volumes", index, "snapshot_id"), volume.snapshot_id


def merged(parts: Iterable[Parameters]) -> dict[str, Any]:
    """Parameters put together: mappings key by key, lists one after the other."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            present = whole.get(key)
            if isinstance(present, Mapping) and isinstance(value, Mapping):
                whole[key] = merged([present, value])
            elif isinstance(present, list) and isinstance(value, list):
                whole[key] = [*present, *value]
            else:
                whole[key] = value
    return whole


# ---- EC2's spelling

_NAMES = {"size_gib": "VolumeSize", "type": "VolumeType"}


def _unsaid(*_: Any) -> Parameters:
    """RunInstances has no parameter for it."""
    return {}


def _camel(value: Any) -> Any:
    """Mappings with EC2's names of their keys."""
    if isinstance(value, Mapping):
        return {_NAMES.get(key) or key.title().replace("_", ""): _camel(item) for key, item in value.items()}
    return value


def _at(path: str) -> Callable[[Any, Birth], Parameters]:
    """RunInstances takes the value at a path of its parameters."""

    def launch(value: Any, _: Birth) -> Parameters:
        for key in reversed(path.split(".")):
            value = {key: value}
        return dict(value)

    return launch


def _device(name: str | None, volume: Mapping[str, Any]) -> Parameters:
    return {"DeviceName": name, "Ebs": _camel(volume)}


def _root_volume(value: Mapping[str, Any], birth: Birth) -> Parameters:
    return {"BlockDeviceMappings": [_device(birth.root_device, value)]}


def _volumes(value: Iterable[Mapping[str, Any]], _: Birth) -> Parameters:
    devices = [
        _device(each["device_name"], {key: item for key, item in each.items() if key != "device_name"})
        for each in value
    ]
    return {"BlockDeviceMappings": devices}


def _volume_tags(value: Mapping[str, str], birth: Birth) -> Parameters:
    tags = {**birth.tags, **value}
    return {"TagSpecifications": tag_specifications("volume", tags)} if tags else {}


def _spot(value: Mapping[str, Any], birth: Birth) -> Parameters:
    return {
        "InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": _camel(value)},
        # So that the request can be cancelled when its instance ends.
        "TagSpecifications": tag_specifications("spot-instances-request", birth.ownership),
    }


_PLACES = {"group": "GroupName", "tenancy": "Tenancy", "partition": "PartitionNumber", "host_id": "HostId"}


def _placement(value: Mapping[str, Any], _: Birth) -> Parameters:
    places = {_PLACES[key]: item for key, item in value.items() if item != ""}
    return {"Placement": places} if places else {}


def _group(value: Mapping[str, Any]) -> Any:
    """EC2 moves a stopped instance to another placement group."""
    return {"group": value["group"]} if "group" in value else None


def _besides_group(value: Mapping[str, Any]) -> Any:
    return {key: item for key, item in value.items() if key != "group"} or None


class _Placement(Setting, frozen=True):
    """The group is compared, the rest told by a hash."""

    def observed(self, live: LiveInstance) -> Any:
        return {"group": live.placement_group}

    def found(self, live: LiveInstance, wanted: Any) -> Any:
        present = super().found(live, wanted)
        has_both = isinstance(present, Mapping) and "group" in wanted
        return {**present, **self.observed(live)} if has_both else present


# ---- calls of changes


def _attribute(parameter: str) -> Change:
    """ModifyInstanceAttribute takes one attribute a call."""
    return lambda instance, value: (MODIFY, {"InstanceId": instance, parameter: {"Value": value}})


def _monitor(instance: Id, value: bool) -> tuple[str, Parameters]:
    return "MonitorInstances" if value else "UnmonitorInstances", {"InstanceIds": [instance]}


def _recover(instance: Id, value: str) -> tuple[str, Parameters]:
    return "ModifyInstanceMaintenanceOptions", {"InstanceId": instance, "AutoRecovery": value}


def _credit(instance: Id, value: str) -> tuple[str, Parameters]:
    specification = {"InstanceId": instance, "CpuCredits": value}
    return "ModifyInstanceCreditSpecification", {"InstanceCreditSpecifications": [specification]}


def _move(instance: Id, value: Mapping[str, Any]) -> tuple[str, Parameters]:
    return "ModifyInstancePlacement", {"InstanceId": instance, "GroupName": value["group"]}


# ---- the table


def _restarts(row: Instance) -> bool:
    return row.on_change == "restart"


def _restarts_into_group(row: Instance) -> bool:
    return _restarts(row) and row.placement is not None and row.placement.group is not None


def _plain(
    name: str, parameter: str, changes: Changes = Changes.IN_PLACE, *, record: str = "", usual: Any = False
) -> Setting:
    """A setting that EC2 takes and shows as the spec writes it, and ModifyInstanceAttribute changes."""
    fixed = changes is Changes.AT_CREATION
    return Setting(
        name,
        changes,
        calls=() if fixed else (MODIFY,),
        parameter=parameter,
        record=record,
        may_change=_restarts if changes is Changes.WHILE_STOPPED else None,
        launch=_at(parameter),
        usual=usual,
        change=_impossible if fixed else _attribute(parameter),
    )


def _at_launch(
    name: str,
    launch: Callable[[Any, Birth], Parameters],
    encoded: Callable[[Any], Any] = _itself,
    usual: Any = None,
) -> Setting:
    """A setting that EC2 takes at launch only, told by a hash."""
    return Setting(
        name,
        Changes.AT_CREATION,
        launch=launch,
        encoded=encoded,
        usual=usual,
        kept=_nothing,
        launched=_itself,
    )


INSTANCE_TYPE = _plain("instance_type", "InstanceType", Changes.WHILE_STOPPED)
KEY_NAME = _plain("key_name", "KeyName", Changes.AT_CREATION)
TERMINATION_PROTECTION = _plain("termination_protection", "DisableApiTermination", record="protected")
STOP_PROTECTION = _plain("stop_protection", "DisableApiStop", record="stop_protected")
EBS_OPTIMIZED = _plain("ebs_optimized", "EbsOptimized", Changes.WHILE_STOPPED)
PLACEMENT = _Placement(
    "placement",
    Changes.WHILE_STOPPED,
    calls=("ModifyInstancePlacement",),
    may_change=_restarts_into_group,
    launch=_placement,
    usual={"tenancy": "default"},
    change=_move,
    shown=lambda value: ("DescribeInstances", "Placement.GroupName || ''", (value["group"],)),
    kept=_group,
    launched=_besides_group,
)
SETTINGS: tuple[Setting, ...] = (
    INSTANCE_TYPE,
    KEY_NAME,
    TERMINATION_PROTECTION,
    EBS_OPTIMIZED,
    STOP_PROTECTION,
    _plain("shutdown_behavior", "InstanceInitiatedShutdownBehavior"),
    Setting(
        "monitoring",
        calls=("MonitorInstances", "UnmonitorInstances"),
        launch=_at("Monitoring.Enabled"),
        change=_monitor,
        shown=lambda value: (
            "DescribeInstances",
            "Monitoring.State",
            ("enabled", "pending") if value else ("disabled", "disabling"),
        ),
    ),
    Setting(
        "auto_recovery",
        calls=("ModifyInstanceMaintenanceOptions",),
        launch=_at("MaintenanceOptions.AutoRecovery"),
        encoded=lambda value: "default" if value else "disabled",
        usual=True,
        change=_recover,
        shown=lambda value: ("DescribeInstances", "MaintenanceOptions.AutoRecovery", (value,)),
    ),
    Setting(
        "cpu_credits",
        calls=("ModifyInstanceCreditSpecification",),
        launch=_at("CreditSpecification.CpuCredits"),
        change=_credit,
        shown=lambda value: ("DescribeInstanceCreditSpecifications", "CpuCredits", (value,)),
        of_type=True,
    ),
    PLACEMENT,
    _at_launch("root_volume", _root_volume),
    _at_launch("volumes", _volumes, usual=[]),
    _at_launch("volume_tags", _volume_tags),
    _at_launch("cpu_options", _at("CpuOptions"), _camel),
    _at_launch("hibernation", _at("HibernationOptions"), _camel, usual={"configured": False}),
    _at_launch("enclave", _at("EnclaveOptions"), _camel, usual={"enabled": False}),
    _at_launch("capacity_reservation", _at("CapacityReservationSpecification"), _camel),
    _at_launch("spot", _spot),
    # kinds.instance lays it under the user data.
    _at_launch("guest_network", _unsaid),
)
"""In the order in which a plan shows them."""
