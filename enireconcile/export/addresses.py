"""Rows of ``elastic_ips``. Pure."""

from __future__ import annotations

from enireconcile.export.said import Said, Source
from enireconcile.live.records import LiveElasticIp


def address_row(live: LiveElasticIp, source: Source) -> Said:
    """The row of an Elastic IP, with its public address as a comment."""
    said = source.begun(live)
    said.comments[()] = live.public_ip
    said.say(
        reverse_dns=(live.reverse_dns.settling or None) if live.reverse_dns else None,
        public_ipv4_pool=live.pool if live.pool != "amazon" else None,
        network_border_group=live.border_group if live.border_group not in ("", source.region) else None,
    )
    if live.network_interface_id is not None:
        _say_association(said, live, live.network_interface_id, source)
    return said


def _say_association(said: Said, live: LiveElasticIp, interface_id: str, source: Source) -> None:
    holder = source.interfaces.get(interface_id)
    if holder is None or holder.manager is not None:
        who = holder.manager if holder and holder.manager else interface_id
        said.comments[()] = f"{live.public_ip}, associated with {who}"
        said.ignored.append("association")
        return
    association = {
        "network_interface": source.names[interface_id] if interface_id in source.rows else interface_id
    }
    if live.private_ip not in (None, holder.private_ip):
        association["private_ip"] = str(live.private_ip)
    said.say(association=association)
