"""Instances.

The interfaces are created first and passed to RunInstances, so that the instance boots into its final network and
its primary address outlives it. Image and user_data are read at launch: a newer image is no drift, and user_data
that has changed since is a warning, because it runs at the first boot only. With ``on_change: replace`` either
takes a new instance, on the same interfaces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace

from enireconcile import model
from enireconcile.errors import UnsupportedError
from enireconcile.guest.userdata import Content, size
from enireconcile.kinds.attributes import Attribute, Changes
from enireconcile.kinds.base import Item, Kind
from enireconcile.kinds.conditions import Fact, groups_configured
from enireconcile.kinds.detach import (
    free,
)
from enireconcile.kinds.guests import Guests
from enireconcile.kinds.launch import (
    DESCRIBE_KEY,
    ENDED,
    INSTANCE_TYPE,
    KEY_NAME,
    MODIFY,
    SETTINGS,
    STOP_PROTECTION,
    USED,
    Birth,
    Setting,
    changed_since_launch,
    launch_tag,
    launched_with,
    merged,
    names_used,
    reads_attributes,
)
from enireconcile.kinds.permissions import (
    Call,
    Condition,
    Purpose,
    Read,
    When,
    as_values,
    has,
    keeps_or_removes,
    removes,
    sets,
)
from enireconcile.kinds.slots import (
    interface_slot,
)
from enireconcile.kinds.tags import (
    TAGS,
    born_with,
    known_tags,
    spec_tags,
    tag_steps,
    wanted_tags,
)
from enireconcile.kinds.world import World
from enireconcile.live.records import LiveInstance, LiveNetworkInterface, Record
from enireconcile.model import (
    Digest,
    Expect,
    Impact,
    Look,
    Ref,
    Secret,
    Step,
    Template,
    refs_in,
)
from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
    USER_DATA_TAG,
    ownership_filters,
    tag_specifications,
)
from enireconcile.spec.rows import USER_DATA_BYTES, Instance, MetadataOptions

SECTION = "instances"
_DESCRIBE = "DescribeInstances"
_AT_REST = ("stopping", "stopped")


_ASSOCIATE = "AssociateIamInstanceProfile"
_REPLACE = "ReplaceIamInstanceProfileAssociation"


ATTRIBUTES: tuple[Attribute, ...] = (
    INSTANCE_TYPE,
    Attribute("state", calls=("StartInstances", "StopInstances"), default="running"),
    Attribute(
        "metadata_options",
        calls=("ModifyInstanceMetadataOptions",),
        default={name: value for name, value in MetadataOptions() if value is not None},
    ),
    TAGS,
    KEY_NAME,
    Attribute(
        "iam_instance_profile",
        calls=(_ASSOCIATE, _REPLACE),
        events=("DisassociateIamInstanceProfile",),
    ),
    *(each for each in SETTINGS if each not in (INSTANCE_TYPE, KEY_NAME)),
    Attribute("image", Changes.AT_CREATION),
    Attribute("user_data", Changes.AT_CREATION, secret=True),
)
"""In the order in which a plan shows them."""
_FIXED_ON_SPOT = (INSTANCE_TYPE.name,)
_INSTANCE = Call(changes=("instance",))


def _launches(purpose: Purpose) -> bool:
    return any(row.image is not None for row in purpose.rows(SECTION))


def _launched_rows(purpose: Purpose) -> list[Instance]:
    return [row for row in purpose.rows(SECTION) if row.adopt is None]


def _is_launched(purpose: Purpose) -> bool:
    return bool(_launched_rows(purpose))


def _launch_types(purpose: Purpose) -> Sequence[Condition]:
    types = as_values(row.instance_type for row in _launched_rows(purpose))
    return ({"StringEquals": {"ec2:InstanceType": types}},)


def _modifications(purpose: Purpose) -> Sequence[Condition]:
    """Only attributes that a plan changes, each to a value of the spec. A request modifies one attribute."""
    values = {
        each.parameter: as_values(each.written(row) for row in purpose.rows(SECTION) if each.needs_calls(row))
        for each in SETTINGS
        if MODIFY in each.calls
    }
    return [{"StringEquals": {sets(name): allowed}} for name, allowed in sorted(values.items()) if allowed]


def _option_limits(purpose: Purpose) -> Condition:
    """Options are set to values of the spec only, and one that the spec leaves open is not set."""
    options = [_wanted_options(row) for row in purpose.rows(SECTION)]
    values = {sets(_OPTIONS[name]): as_values(row.get(name) for row in options) for name in _OPTIONS}
    return {
        "StringEqualsIfExists": {
            key: allowed for key, allowed in values.items() if allowed and allowed != _ANY_TOKENS
        },
        "Null": {key: "true" for key, allowed in values.items() if not allowed},
    }


def _attribute_reads(purpose: Purpose) -> Sequence[Condition]:
    """Reads of what only DescribeInstanceAttribute shows.

    EC2 cannot limit it to one attribute, and it also returns user data. So it is allowed for instances whose row
    sets such an attribute, for adopted ones whose row has user data, and before a removal for those without user
    data.
    """
    protected = [
        f"{SECTION}.{name}"
        for name, row in sorted(purpose.document.own_instances.items())
        if reads_attributes(row)
    ]
    named = {"StringEquals": {f"aws:ResourceTag/{NAME_TAG}": protected}}
    without_user_data = {"Null": {f"aws:ResourceTag/{USER_DATA_TAG}": "true"}}
    return [*([named] if protected else []), *([without_user_data] if purpose.removes(SECTION) else [])]


def _names(call: str) -> When:
    """A row names something that the call shows."""
    return lambda purpose: any(call == each for row in purpose.rows(SECTION) for each, *_ in names_used(row))


def _names_groups(purpose: Purpose) -> bool:
    return any(row.placement is not None and row.placement.group for row in purpose.rows(SECTION))


def _requests_spot(purpose: Purpose) -> bool:
    return any(row.spot is not None for row in purpose.rows(SECTION))


def _ends_spot(purpose: Purpose) -> bool:
    """What has left the spec may be a Spot Instance."""
    return purpose.removes(SECTION) and (purpose.prune or _requests_spot(purpose))


def _sets_credits(purpose: Purpose) -> bool:
    return any(row.cpu_credits is not None for row in purpose.rows(SECTION))


def _sets_profiles(purpose: Purpose) -> bool:
    return any(row.iam_instance_profile is not None for row in purpose.rows(SECTION))


class Instances(Kind):
    """Rows of ``instances``."""

    section = SECTION
    resource_type = "instance"
    attributes = ATTRIBUTES
    calls: ClassVar[Mapping[str, Call]] = {
        "RunInstances": Call(
            _is_launched,
            creates=("instance",),
            changes=("security-group",),
            uses=(
                *("image", "key-pair", "volume", "subnet", "security-group", "network-interface"),
                *("placement-group", "capacity-reservation", "snapshot", "spot-instances-request"),
            ),
            conditions=_launch_types,
        ),
        "StartInstances": _INSTANCE,
        "StopInstances": _INSTANCE,
        **{call: _INSTANCE for each in SETTINGS for call in each.calls},
        MODIFY: Call(changes=("instance",), conditions=_modifications),
        "ModifyInstancePlacement": Call(changes=("instance",), uses=("placement-group",)),
        "CancelSpotInstanceRequests": Call(_ends_spot, changes=("spot-instances-request",)),
        "ModifyInstanceMetadataOptions": Call(changes=("instance",), limits=_option_limits),
        _ASSOCIATE: _INSTANCE,
        _REPLACE: _INSTANCE,
        "TerminateInstances": Call(removes(SECTION), changes=("instance",)),
    }
    reads: ClassVar[Mapping[str, Read]] = {
        "DescribeInstances": Read(),
        "DescribeImages": Read(_launches),
        "DescribeInstanceTypeOfferings": Read(has(SECTION)),
        **{call: Read(_names(call)) for call in USED if call != DESCRIBE_KEY},
        "DescribeInstanceTypes": Read(has(SECTION)),
        "DescribeIamInstanceProfileAssociations": Read(_sets_profiles),
        "DescribePlacementGroups": Read(_names_groups),
        "DescribeInstanceCreditSpecifications": Read(_sets_credits),
        "DescribeInstanceAttribute": Read(keeps_or_removes(SECTION), owned=True, conditions=_attribute_reads),
    }

    def want(self, name: str, world: World) -> dict[str, Any]:
        row = world.document.own_instances[name]
        launched = world.record(f"{SECTION}.{name}", LiveInstance) is not None
        anew = row.adopt is None and (not launched or row.on_change == "replace")
        want: dict[str, Any] = {each.name: each.written(row) for each in ATTRIBUTES}
        want |= {
            **{each.name: each.wanted(row, anew=anew) for each in SETTINGS},
            "metadata_options": _wanted_options(row),
            "tags": {**wanted_tags(f"{SECTION}.{name}", row.tags, world), **_told_by_adoption(name, world)},
            "image": None,
        }
        if row.adopt is not None:
            # It was not launched from this row, so its image is compared only if the row names an id.
            want["image"] = row.image.id if row.image is not None else None
        elif anew:
            want["image"] = world.images[name]
        if not anew:
            # EC2 runs user data at the first boot only, so a change has no effect on this instance.
            del want["user_data"]
        elif row.user_data is not None:
            want["user_data"] = _secret(row.user_data, world)
        return {key: value for key, value in want.items() if value is not None}

    def have(self, name: str, world: World, want: Mapping[str, Any]) -> dict[str, Any] | None:
        live = world.record(f"{SECTION}.{name}", LiveInstance)
        if live is None:
            return None
        return {
            **{each.name: each.found(live, want[each.name]) for each in SETTINGS if each.name in want},
            "state": "stopped" if live.state in _AT_REST else "running",
            "tags": known_tags(live.tags, want),
            "iam_instance_profile": live.profile_as(want.get("iam_instance_profile")),
            "metadata_options": _known_options(live, want["metadata_options"]),
            "image": live.image_id,
            "user_data": _launched_with(live, want.get("user_data")),
        }

    def steps(self, item: Item, world: World) -> Sequence[Step]:
        if item.have is None:
            launched = [self._launch(item, world), *tag_steps(item, world)]
            return launched if item.want["state"] == "running" else [*launched, _stop(item, world)]
        steps = tag_steps(item, world)
        if item.differs("metadata_options"):
            steps.append(_modify_options(item, world))
        if item.differs("iam_instance_profile"):
            steps.append(_set_profile(item, world))
        changed = [each for each in SETTINGS if item.differs(each.name)]
        steps += [_modify(each, item, world) for each in changed if each.changes is Changes.IN_PLACE]
        restarting = [each for each in changed if each.changes is Changes.WHILE_STOPPED]
        return steps + (_restart(restarting, item, world) if restarting else _power(item, world))

    def fixed(self, item: Item, world: World) -> tuple[str, ...]:
        live = world.record(item.address, LiveInstance)
        if live is not None and live.spot_request:
            # EC2 refuses to change it, although the instance is stopped.
            return (*self._fixed(item, world), *_FIXED_ON_SPOT)
        return self._fixed(item, world)

    def _fixed(self, item: Item, world: World) -> tuple[str, ...]:
        if world.document.own_instances[item.name].on_change != "restart":
            return super().fixed(item, world)
        return tuple(each.name for each in ATTRIBUTES if each.changes is Changes.AT_CREATION)

    def advice(self, attribute: Attribute, address: str, world: World) -> str:
        live = world.record(address, LiveInstance)
        on_spot = live is not None and bool(live.spot_request) and attribute.name in _FIXED_ON_SPOT
        restart = attribute.changes is Changes.WHILE_STOPPED and not on_spot
        if world.rows[address].adopt:
            return "write on_change: restart (same instance, stopped and started)" if restart else ""
        if restart:
            return "write on_change: restart (same instance, stopped and started) or replace (new one)"
        return "write on_change: replace (new one)"

    def stops(self, item: Item, world: World) -> bool:
        live = world.record(item.address, LiveInstance)
        if live is None or live.state in _AT_REST:
            return False
        stopped = item.differs("state") and item.want["state"] == "stopped"
        changed = [each for each in ATTRIBUTES if item.differs(each.name)]
        return stopped or any(each.changes is Changes.WHILE_STOPPED for each in changed)

    def replaces(self, item: Item, world: World) -> bool:
        return world.document.own_instances[item.name].on_change == "replace"

    def follows(self, replaced: Collection[str], world: World) -> Sequence[str]:
        """An instance is replaced together with its primary interface."""
        return [
            f"{SECTION}.{name}"
            for name, row in world.document.own_instances.items()
            if row.on_change == "replace"
            and row.adopt is None
            and (live := world.record(f"{SECTION}.{name}", LiveInstance)) is not None
            and (primary := live.occupant(0, 0)) is not None
            and f"network_interfaces.{world.name_of(primary.network_interface_id)}" in replaced
        ]

    def refers(self, item: Item, world: World) -> Sequence[str]:
        """The interfaces that it boots with, and what its user data refers to."""
        if item.have is not None:
            return ()
        booted = [f"network_interfaces.{name}" for name, _, _ in _interfaces_of(item.name, world)]
        return [*booted, *(ref.address for ref in refs_in(Guests(world).user_data(item.name)))]

    def remove(self, address: str, live: Record, world: World) -> Sequence[Step]:
        if not isinstance(live, LiveInstance):
            return ()
        for protected, key, what in (
            (live.protected, "termination_protection", "termination"),
            (live.stop_protected, "stop_protection", "stopping, and so against termination"),
        ):
            if protected:
                raise UnsupportedError(
                    f"{address}: {live.id} is protected against {what}",
                    hint=f"to terminate it, set {key}: false and apply that first",
                )
        cancel = [_cancel(address, live)] if live.spot_request else []
        return [*cancel, _terminate(address, live.id, world)]

    def waits(self, item: Item, world: World) -> Sequence[Expect]:
        live = world.record(item.address, LiveInstance)
        wanted = item.want.get("state")
        if item.differs("state") or live is None or wanted is None or live.state == wanted:
            return ()
        has = (("State.Name", (wanted,)),)
        return (Expect(_DESCRIBE, live.id, has=has, never=ENDED),)

    def warnings(self, item: Item, world: World) -> Sequence[str]:
        live = world.record(item.address, LiveInstance)
        row = world.document.own_instances[item.name]
        if live is None:
            return _lacking_volume_tags(item, world)
        return (*_old_user_data(item, live, row, world), *_old_settings(item, live, row))

    def _launch(self, item: Item, world: World) -> Step:
        interfaces = sorted(_interfaces_of(item.name, world), key=lambda place: place[1:])
        if not interfaces or interfaces[0][1:] != (0, 0):
            raise _no_primary(item.name, world)
        addresses = [f"network_interfaces.{interface}" for interface, _, _ in interfaces]
        return Step(
            id=f"{item.address}/RunInstances",
            call="RunInstances",
            params=_launch_params(item, interfaces, world),
            address=item.address,
            after=frozenset(
                condition
                for (interface, _, _), address in zip(interfaces, addresses, strict=True)
                for condition in (Fact.CONFIGURED.of(address), *groups_configured(interface, world))
            ),
            follows=frozenset(map(Fact.ELASTIC_IP_ASSOCIATED.of, addresses)),
            brings=frozenset(Fact.ATTACHED.of(address) for address in addresses),
            claims=frozenset(interface_slot(address) for address in addresses),
            yields={Ref(item.address): "Instances[0].InstanceId"},
            sees={
                Ref(address, "attachment_id"): _ATTACHMENT.format(key="AttachmentId", index=index, card=card)
                for address, (_, card, index) in zip(addresses, interfaces, strict=True)
            },
            when=tuple(expect for address in addresses for expect in _released(address, world)),
            until=Expect(
                _DESCRIBE,
                Ref(item.address),
                has=(
                    # Another user may have stopped it meanwhile: the launch is complete.
                    ("State.Name", ("running", "stopping", "stopped")),
                    # Other tools may attach interfaces of their own at once.
                    *(
                        (_ATTACHMENT.format(key="Status", index=index, card=card), ("attached",))
                        for _, card, index in interfaces
                    ),
                ),
                never=ENDED,
            ),
            token=True,
            look=Look(
                describe=_DESCRIBE,
                filters=[
                    *ownership_filters(world.document.stack, item.address),
                    {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
                ],
                yields={Ref(item.address): "InstanceId"},
            ),
        )


_ATTACHMENT = (
    "NetworkInterfaces[?Attachment.DeviceIndex==`{index}` && not_null(Attachment.NetworkCardIndex, `0`)==`{card}`]"
    ".Attachment.{key} | [0]"
)


def _interfaces_of(instance: str, world: World) -> list[tuple[str, int, int]]:
    """(logical name, network card, device index) of the interfaces that the spec attaches to an instance.

    Those whose attachment the spec does not manage are not among them.
    """
    return [
        (name, place.network_card_index, place.device_index)
        for name, place in world.placements.items()
        if place.instance == instance and not world.leaves(f"network_interfaces.{name}", "attachment")
    ]


def _no_primary(instance: str, world: World) -> UnsupportedError:
    """The error for an instance whose primary interface is attached elsewhere."""
    name, aws_id, holder = next(
        (name, live.id, live.attachment.instance_id)
        for name, place in world.placements.items()
        if place.instance == instance and (place.network_card_index, place.device_index) == (0, 0)
        if (live := world.record(f"network_interfaces.{name}", LiveNetworkInterface)) and live.attachment
    )
    which = f"network_interfaces.{name} ({aws_id})"
    return UnsupportedError(
        f"{SECTION}.{instance} cannot be launched: its primary interface {which} is attached to {holder}, "
        "and the spec ignores its attachment",
        hint=f"detach it, or remove `attachment` from lifecycle.ignore of network_interfaces.{name}",
    )


def _released(address: str, world: World) -> tuple[Expect, ...]:
    """The wait before a launch, for an interface that the former instance still has.

    Once that instance is terminated, RunInstances itself is retried until the interface is free.
    """
    live = world.record(address, LiveNetworkInterface)
    if live and live.attachment and world.terminating.get(live.attachment.instance_id) == "terminated":
        return ()
    return free(live, world)


def _launch_params(item: Item, interfaces: Sequence[tuple[str, int, int]], world: World) -> dict[str, Any]:
    want, row = item.want, world.document.own_instances[item.name]
    tags: dict[str, Any] = {**born_with(want["tags"]), **launch_tag(row)}
    if "user_data" in want:
        secret: Secret = want["user_data"]
        tags[USER_DATA_TAG] = Digest(secret) if isinstance(secret.value, Template) else secret.digest
    birth = Birth(
        root_device=world.root_devices.get(item.name),
        ownership={key: want["tags"][key] for key in (STACK_TAG, NAME_TAG)},
        tags=_volume_tags(item.address, world),
    )
    params: dict[str, Any] = {
        "ImageId": want["image"],
        "MinCount": 1,
        "MaxCount": 1,
        "NetworkInterfaces": [
            {
                "NetworkInterfaceId": world.id_of(f"network_interfaces.{name}"),
                "DeviceIndex": index,
                "NetworkCardIndex": card,
            }
            for name, card, index in interfaces
        ],
        "MetadataOptions": _options_params(want),
        "TagSpecifications": tag_specifications(Instances.resource_type, tags),
    }
    params = merged([params, *(each.parameters(want.get(each.name), birth) for each in SETTINGS)])
    if "iam_instance_profile" in want:
        params["IamInstanceProfile"] = _profile_params(want["iam_instance_profile"])
    if (user_data := Guests(world).user_data(item.name)) is not None:
        _refuse_long(item.address, user_data)
        params["UserData"] = Secret(user_data)
    return params


def _volume_tags(address: str, world: World) -> dict[str, str | Template]:
    """The tags of the file and of the row that are known before the launch: those that refer to no instance."""
    tags = spec_tags(address, world)
    return {key: value for key, value in tags.items() if not any(map(_is_of_instance, refs_in(value)))}


def _is_of_instance(ref: Ref) -> bool:
    return ref.address.startswith(f"{SECTION}.")


def _lacking_volume_tags(item: Item, world: World) -> Sequence[str]:
    """The warning that volumes do not get tags which refer to an instance."""
    written = item.want.get("volume_tags")
    lacking = (
        spec_tags(item.address, world).keys() - _volume_tags(item.address, world).keys() - (written or {}).keys()
    )
    if written is None or not lacking:
        return ()
    named = ", ".join(sorted(lacking))
    return (
        f"{item.address}: its volumes do not get these tags, which refer to an instance and are known only after "
        f"the launch: {named}; write other values in volume_tags, or tag the volumes after the launch",
    )


def _refuse_long(address: str, user_data: Content) -> None:
    """Raises UnsupportedError if user data is too long with what configures the guest."""
    if (bytes_long := size(user_data)) > USER_DATA_BYTES:
        raise UnsupportedError(
            f"{address}: with guest_network, user data is {bytes_long} bytes long; EC2 accepts at most "
            f"{USER_DATA_BYTES}",
            hint="shorten user_data: let the script download the rest at boot",
        )


_ANY_TOKENS = ["optional", "required"]
"""All values of HttpTokens: nothing to limit."""
_OPTIONS = {
    "http_tokens": "HttpTokens",
    "http_endpoint": "HttpEndpoint",
    "http_put_response_hop_limit": "HttpPutResponseHopLimit",
    "instance_metadata_tags": "InstanceMetadataTags",
}


def _wanted_options(row: Instance) -> dict[str, Any]:
    """The options to keep: for an adopted instance those that the row has, for any other also the defaults."""
    options = row.metadata_options
    names = _OPTIONS if row.adopt is None else options.model_fields_set
    return {name: value for name in _OPTIONS if name in names and (value := getattr(options, name)) is not None}


def _known_options(live: LiveInstance, want: Mapping[str, Any]) -> Mapping[str, Any]:
    """The live values of the options that the spec manages. An option that EC2 does not return counts as equal."""
    return {name: live.metadata_options.get(_OPTIONS[name], value) for name, value in want.items()}


def _options_params(want: Mapping[str, Any]) -> dict[str, Any]:
    return {_OPTIONS[name]: value for name, value in want["metadata_options"].items()}


def _modify_options(item: Item, world: World) -> Step:
    was = (item.have or {})["metadata_options"]
    # Enabling access interrupts nothing; disabling it interrupts its users.
    opens = all(
        was[name] == value or value in ("optional", "enabled")
        for name, value in item.want["metadata_options"].items()
        if name != "http_put_response_hop_limit"
    )
    options = _options_params(item.want)
    return Step(
        id=f"{item.address}/ModifyInstanceMetadataOptions",
        call="ModifyInstanceMetadataOptions",
        params={"InstanceId": world.id_of(item.address), **options},
        address=item.address,
        impact=Impact.SAFE if opens else Impact.DISRUPTIVE,
        until=Expect(
            _DESCRIBE,
            world.id_of(item.address),
            has=tuple((f"MetadataOptions.{name}", (value,)) for name, value in options.items()),
            never=ENDED,
        ),
    )


def _modify(setting: Setting, item: Item, world: World) -> Step:
    """The call that changes a setting of an existing instance."""
    instance, value = world.id_of(item.address), item.want[setting.name]
    call, params = setting.change(instance, setting.encoded(value))
    after, brings = _around_restart(setting, item)
    return Step(
        id="/".join([item.address, call, *([setting.parameter] if setting.parameter else [])]),
        call=call,
        params=params,
        address=item.address,
        after=after,
        brings=brings,
        until=setting.expect(instance, value),
    )


def _around_restart(setting: Setting, item: Item) -> tuple[frozenset[model.Condition], frozenset[model.Condition]]:
    """What a change comes after, and what it brings, should the plan restart the instance, too."""
    nothing: frozenset[model.Condition] = frozenset()
    if setting is STOP_PROTECTION and item.want[setting.name]:
        return frozenset({Fact.STOPPED.of(item.address)}), nothing
    if setting is STOP_PROTECTION:
        return nothing, frozenset({Fact.STOPPABLE.of(item.address)})
    if setting.of_type and item.differs(INSTANCE_TYPE.name):
        # EC2 changes it on the new type only, and on no instance that is starting.
        typed = Fact.MODIFIED.of(f"{item.address}/{INSTANCE_TYPE.name}")
        return frozenset({typed}), frozenset({Fact.MODIFIED.of(item.address)})
    return nothing, nothing


def _launched_with(live: LiveInstance, wanted: Secret | None) -> Secret | str | None:
    """The user data of the launch: ``wanted`` if it is equal or the launch's is not known, else its hash."""
    digest = _digest_of_launch(live)
    return wanted if wanted is not None and digest in (wanted.digest, None) else digest or None


def _digest_of_launch(live: LiveInstance) -> str | None:
    """The hash of the user data of the launch, empty if there was none. None: not known.

    A tag tells that of a launch by enireconcile; that of any other launch was read.
    """
    return live.tags.get(USER_DATA_TAG, live.user_data)


def _told_by_adoption(name: str, world: World) -> dict[str, str]:
    """The tag for an instance that is adopted now, with the hash that was read: later plans need not read it."""
    live = world.record(f"{SECTION}.{name}", LiveInstance)
    return {USER_DATA_TAG: live.user_data} if live and live.user_data and STACK_TAG not in live.tags else {}


def _secret(user_data: str | bytes | Template, world: World) -> Secret:
    return Secret(user_data if isinstance(user_data, bytes) else world.text(user_data))


def _old_user_data(item: Item, live: LiveInstance, row: Instance, world: World) -> Iterator[str]:
    """The warning that the instance runs other user data than the row has."""
    if row.user_data is None or item.differs("user_data"):
        return
    if _digest_of_launch(live) in (_secret(row.user_data, world).digest, None):
        return
    differs, advice = "has changed since the instance was launched", _new_launch(row, ["user_data"])
    if row.adopt is not None:
        differs = "is not what the instance was launched with"
        advice = "an adopted instance is never replaced: run it there yourself, or remove user_data from the row"
    yield (
        f"{item.address}: user_data {differs}; it runs at the first boot only, so the instance stays as it is; "
        f"{advice}"
    )


def _old_settings(item: Item, live: LiveInstance, row: Instance) -> Iterator[str]:
    """The warning that the row has other settings than the launch of the instance had. Adopted ones have none."""
    told = {field.field for field in (*item.fields, *item.ignored)}
    changed = [name for name in changed_since_launch(row, live) if name not in told]
    if row.adopt is not None:
        return
    noted = launched_with(live)
    others = [name for name in changed if name in noted]
    # The instance was launched without them, or by another tool.
    unknown = [name for name in changed if name not in noted]
    for names, before, after in (
        (others, "", f" {'has' if len(others) == 1 else 'have'} changed since the instance was launched"),
        (unknown, "no tag tells that the instance was launched with ", ""),
    ):
        if names:
            yield (
                f"{item.address}: {before}{' and '.join(names)}{after}; EC2 sets "
                f"{'it' if len(names) == 1 else 'them'} at launch only, so the instance stays as it is; "
                f"{_new_launch(row, names)}"
            )


def _new_launch(row: Instance, changed: Collection[str]) -> str:
    """How to get an instance that is launched with what has changed."""
    ignored = [name for name in changed if name in row.lifecycle.ignore]
    if ignored:
        them = "it" if len(changed) == 1 else " and ".join(ignored)
        return f"remove {them} from lifecycle.ignore, and on_change: replace launches a new one"
    return "on_change: replace launches a new one"


def _profile_params(profile: str) -> dict[str, str]:
    return {"Arn" if profile.startswith("arn:") else "Name": profile}


def _set_profile(item: Item, world: World) -> Step:
    """Associate the instance profile, or replace the present one; the instance keeps running."""
    live = world.record(item.address, LiveInstance)
    associated = live.profile_association if live is not None else None
    call = _ASSOCIATE if associated is None else _REPLACE
    which = {"InstanceId": world.id_of(item.address)} if associated is None else {"AssociationId": associated}
    return Step(
        id=f"{item.address}/{call}",
        call=call,
        params={**which, "IamInstanceProfile": _profile_params(item.want["iam_instance_profile"])},
        address=item.address,
        # The software on the instance loses the permissions of the former role.
        impact=Impact.SAFE if associated is None else Impact.DISRUPTIVE,
        until=Expect(
            _DESCRIBE,
            world.id_of(item.address),
            has=(_has_profile(item.want["iam_instance_profile"]),),
            never=ENDED,
        ),
    )


def _has_profile(profile: str) -> tuple[str, tuple[str | bool]]:
    """The condition that an instance has a profile, which the spec names by its name or ARN."""
    if profile.startswith("arn:"):
        return "IamInstanceProfile.Arn", (profile,)
    return f"ends_with(not_null(IamInstanceProfile.Arn, ''), '/{profile}')", (True,)


def _power(item: Item, world: World) -> list[Step]:
    """Start or stop the instance, if its state differs."""
    if not item.differs("state"):
        return []
    return [_start(item, world) if item.want["state"] == "running" else _stop(item, world)]


def _restart(settings: Sequence[Setting], item: Item, world: World) -> list[Step]:
    """Stop, change the attributes, start: one restart for all of them. The instance keeps its interfaces."""
    live = world.record(item.address, LiveInstance)
    if live is None or item.have is None:
        return []
    before = [] if live.state in _AT_REST else [_stop(item, world)]
    # The old or the new type may not support a feature: turn it off before the type changes, or on afterwards.
    ordered = sorted(settings, key=lambda each: _ORDER.get(str(item.want[each.name]), 1))
    changes = [
        _modify_stopped(each, ordered[:position], item, live, world) for position, each in enumerate(ordered)
    ]
    running = item.want.get("state", item.have["state"]) == "running"
    return [*before, *changes, *([_start(item, world)] if running else [])]


_ORDER = {"False": 0, "True": 2}


def _modify_stopped(
    setting: Setting, earlier: Sequence[Setting], item: Item, live: LiveInstance, world: World
) -> Step:
    """Change a setting of a stopped instance, after ``earlier`` ones."""
    return replace(
        _modify(setting, item, world),
        impact=Impact.DISRUPTIVE,
        after=frozenset(
            {
                Fact.STOPPED.of(item.address),
                # A smaller type may have no room for what is still attached.
                Fact.INTERFACES_DETACHED.of(live.id),
                *(Fact.MODIFIED.of(f"{item.address}/{each.name}") for each in earlier),
            }
        ),
        brings=frozenset({Fact.MODIFIED.of(item.address), Fact.MODIFIED.of(f"{item.address}/{setting.name}")}),
        when=(_reached(("stopped",), item, world),) if live.state == "stopping" else (),
    )


def _start(item: Item, world: World) -> Step:
    live = world.record(item.address, LiveInstance)
    stopping = live is not None and live.state == "stopping"
    addresses = [f"network_interfaces.{name}" for name, _, _ in _interfaces_of(item.name, world)]
    instance_id = str(world.id_of(item.address))
    return Step(
        id=f"{item.address}/StartInstances",
        call="StartInstances",
        params={"InstanceIds": [world.id_of(item.address)]},
        address=item.address,
        after=frozenset({Fact.STOPPED.of(item.address)}),
        # It and its interfaces change while it is stopped. If EC2 refuses a change, it is started nevertheless.
        follows=frozenset(
            {
                Fact.MODIFIED.of(item.address),
                Fact.ADAPTERS_DETACHED.of(instance_id),
                *(
                    fact.of(address)
                    for address in addresses
                    for fact in (Fact.CONFIGURED, Fact.ATTACHED, Fact.ELASTIC_IP_ASSOCIATED)
                ),
            }
        ),
        brings=frozenset({Fact.RUNNING.of(item.address)}),
        # Any state but stopping: another host may have started it by then.
        when=(_reached(("stopped", "pending", "running"), item, world),) if stopping else (),
        until=_reached(("running",), item, world),
    )


def _stop(item: Item, world: World) -> Step:
    live = world.record(item.address, LiveInstance)
    if live is not None and live.stop_protected and not item.differs("stop_protection"):
        raise UnsupportedError(
            f"{item.address}: {live.id} is protected against stopping",
            hint="to stop it, set stop_protection: false and apply that first",
        )
    return Step(
        id=f"{item.address}/StopInstances",
        call="StopInstances",
        params={"InstanceIds": [world.id_of(item.address)]},
        address=item.address,
        impact=Impact.DISRUPTIVE,
        after=frozenset({Fact.STOPPABLE.of(item.address)}),
        brings=frozenset({Fact.STOPPED.of(item.address)}),
        until=_reached(("stopped",), item, world),
    )


def _cancel(address: str, live: LiveInstance) -> Step:
    """Cancel the Spot request of an instance: for a persistent one, EC2 would launch another instance."""
    return Step(
        id=f"{address}/CancelSpotInstanceRequests",
        call="CancelSpotInstanceRequests",
        params={"SpotInstanceRequestIds": [live.spot_request]},
        address=address,
        impact=Impact.DISRUPTIVE,
        brings=frozenset({Fact.SPOT_REQUEST_CANCELLED.of(live.id)}),
    )


def _terminate(address: str, instance_id: str, world: World) -> Step:
    """Terminate an instance, once EC2 will not delete any interface that the stack keeps together with it.

    If a new instance replaces it, the interfaces of the new one should exist before.
    """
    boots = _interfaces_of(address.partition(".")[2], world)
    held = [
        name
        for name, record in world.ours
        if isinstance(record, LiveNetworkInterface)
        and record.attachment is not None
        and record.attachment.instance_id == instance_id
    ]
    return Step(
        id=f"{address}/TerminateInstances",
        call="TerminateInstances",
        params={"InstanceIds": [instance_id]},
        address=address,
        impact=Impact.DESTRUCTIVE,
        after=frozenset({Fact.INTERFACES_PRESERVED.of(instance_id), Fact.SPOT_REQUEST_CANCELLED.of(instance_id)}),
        rather=frozenset(Fact.CONFIGURED.of(f"network_interfaces.{name}") for name, _, _ in boots),
        brings=frozenset({Fact.DELETED.of(address)}),
        frees=frozenset(interface_slot(name) for name in held),
        until=Expect(_DESCRIBE, instance_id, has=(("State.Name", ("terminated",)),), gone=True),
    )


def _reached(states: tuple[str, ...], item: Item, world: World) -> Expect:
    return Expect(_DESCRIBE, world.id_of(item.address), has=(("State.Name", states),), never=ENDED)
