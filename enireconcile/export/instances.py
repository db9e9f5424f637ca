"""Rows of ``instances``. Of what EC2 sets at launch only, they have what its hash in a tag tells. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from enireconcile.export.said import Said, Source
from enireconcile.export.volumes import recognized_volumes, shown_volumes
from enireconcile.kinds.launch import SETTINGS, launched_with
from enireconcile.live.records import LiveInstance
from enireconcile.spec.render import one_line

_IMDS = {
    "http_tokens": ("HttpTokens", "required"),
    "http_endpoint": ("HttpEndpoint", "enabled"),
    "instance_metadata_tags": ("InstanceMetadataTags", "disabled"),
}
"""The keys of ``metadata_options`` with EC2's names and the defaults of the spec."""
_FEW: Mapping[str, tuple[tuple[Any, Any], ...]] = {
    "guest_network": tuple((each, each) for each in ("networkd", "networkmanager", "ip")),
    "hibernation": ((True, {"configured": True}),),
    "enclave": ((True, {"enabled": True}),),
    "spot": (({}, {"spot_instance_type": "one-time"}),),
}
"""Keys with few possible values, as a row says each and as its hash is made."""


def instance_row(live: LiveInstance, source: Source) -> Said:
    """The row of an instance. Without its primary interface in the spec, it is one that is adopted."""
    primary = live.occupant(0, 0)
    said = source.begun(live, adopt=primary is None or primary.network_interface_id not in source.rows)
    said.say(
        image=live.image_id or None,
        instance_type=live.instance_type or None,
        key_name=live.key_name,
        iam_instance_profile=live.profile.rpartition("/")[2] if live.profile else None,
        state="stopped" if live.state in ("stopping", "stopped") else None,
        termination_protection=live.protected or None,
        stop_protection=live.stop_protected or None,
        ebs_optimized=live.ebs_optimized or None,
        monitoring=live.monitoring or None,
        auto_recovery=None if live.auto_recovery else False,
        shutdown_behavior="terminate" if live.shutdown_behavior == "terminate" else None,
        cpu_credits=_credits(live),
        placement={"group": live.placement_group} if live.placement_group else None,
        metadata_options=dict(_options(live)) or None,
    )
    volumes = shown_volumes(live)
    if "adopt" not in said.row:
        recognized = _recognized(live)
        said.say(**recognized)
        if "volumes" not in volumes or "volumes" in {*recognized, *launched_with(live)}:
            # It has only what its image has, or the row or a note tells of them.
            volumes = {}
    if volumes:
        said.comments[()] = one_line(volumes)
    return said


def external_row(live: LiveInstance) -> Said:
    """The row of an instance to which interfaces are attached, and that the spec does not manage."""
    return Said({"external": live.id})


def launch_note(live: LiveInstance, source: Source) -> str | None:
    """What EC2 set at the launch of an instance and does not show."""
    kept = sorted({*launched_with(live)} - ({*_recognized(live)} if source.owned else set()))
    if live.spot_request and "spot" not in launched_with(live):
        kept.append("spot")
    if not kept:
        return None
    volumes = {key: value for key, value in shown_volumes(live).items() if key in kept and source.owned}
    return (
        f"instances.{source.names[live.id]} was launched with {', '.join(kept)}, which cannot be read back: "
        f"add {'it' if len(kept) == 1 else 'them'} to its row for the next launch"
        + (f"; EC2 shows {one_line(volumes)}" if volumes else "")
    )


def _recognized(live: LiveInstance) -> dict[str, Any]:
    """What EC2 set at the launch and our tag tells by a hash, where few values are possible."""
    hashed, found = launched_with(live), {}
    for setting in SETTINGS:
        for said, value in _FEW.get(setting.name, ()):
            if setting.name in hashed and setting.digest(value) == hashed[setting.name]:
                found[setting.name] = said
    return found | recognized_volumes(live)


def _credits(live: LiveInstance) -> str | None:
    """The credit option, if it is not the usual one of the type."""
    usual = "standard" if live.instance_type.startswith("t2.") else "unlimited"
    return live.cpu_credits if live.cpu_credits != usual else None


def _options(live: LiveInstance) -> Iterator[tuple[str, Any]]:
    """The metadata options that are not the defaults. EC2's limit of hops is 1, or 2 for images with IMDSv2."""
    options = live.metadata_options
    for key, (name, default) in _IMDS.items():
        if options.get(name, default) != default:
            yield key, options[name]
    hops = options.get("HttpPutResponseHopLimit", 1)
    if hops not in (1, 2):
        yield "http_put_response_hop_limit", hops
