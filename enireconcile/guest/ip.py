"""``ip``: a shell script that uses iproute2, with the units that run it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from enireconcile.guest.model import Guest, Link, Rule, Side, marks, routes, rules
from enireconcile.guest.output import VALID_MARK, File, head

_ABOUT = """\
# Safe to repeat. Run it as root at every boot, and again whenever a network interface is plugged:
# its routes go with it. A systemd unit and a udev rule do that: `enireconcile guest --out DIR` writes them.
set -eu

# Prints the name of the link that has a MAC address; nothing if it is not plugged.
link() {
    ip -o link show | awk -v mac="$1" '
        { name = $2; sub(/:$/, "", name); below = name
          # What lies on top of another link (a VLAN) has the same MAC address.
          if (sub(/^[^@]*@/, "", below) && below !~ /^if[0-9]+$/) next
          sub(/@.*/, "", name)
          for (i = 3; i < NF; i++) if ($i == "link/ether" && tolower($(i + 1)) == mac) { print name; exit } }'
}

# address FAMILY ADDRESS/LENGTH: adds it to $device unless it is there. DHCP may have got the first one.
address() {
    [ -n "$(ip "$1" -o address show dev "$device" to "${2%/*}")" ] ||
        ip "$1" address add "$2" dev "$device" noprefixroute
}

# primary_only FAMILY: the default route of the main table leads to the primary interface only, if it has one.
primary_only() {
    [ -n "$primary" ] && [ -n "$(ip "$1" route show default dev "$primary")" ] || return 0
    while [ -n "$(ip "$1" route show default dev "$device")" ]; do
        ip "$1" route del default dev "$device"
    done
}

# Prints the rules of a family at our priorities, one a line, as `ip rule add` takes them.
rules_now() {
    ip "$1" rule show | sed -n -e 's/ \\[detached\\]//; s/ suppress_prefixlength 0//; s/ proto [a-z0-9]*//' \\
        -e 's/from all //; s/ lookup / table /; s/ *$//' -e 's/^\\(50[012][012]\\):[[:space:]]*/priority \\1 /p'
}

# ours FAMILY RULE NOW WANTED: is it a rule of this stack? Those of another stack on this instance stay.
ours() {
    selector=${2#priority ???? }
    selector=${selector% table *}
    table=${2##* }
    if [ "$table" = main ]; then
        # The last of the three rules tells the table.
        table=$(printf '%s\\n' "$3" | grep -F "2 $selector table ") || return 1
        table=${table##* }
    fi
    for own in $tables; do
        [ "$table" != "$own" ] || return 0
        # It is from an address that this stack now has elsewhere.
        case "$4 " in *" $selector table $own"[!0-9]*) return 0 ;; esac
    done
    # The interface is no longer here.
    [ -z "$(ip "$1" route show table "$table" 2> /dev/null)" ]
}

# rules FAMILY WANTED: adds the rules that are not there, then removes those of ours that are not wanted.
rules() {
    now=$(rules_now "$1")
    printf '%s\\n' "$2" | grep -vxF -e "" -e "$now" | while read -r rule; do
        # Only the last of the three rules for a source counts the default route.
        case $rule in
            "priority "???2" "*) specific= ;;
            *) specific="suppress_prefixlength 0" ;;
        esac
        # shellcheck disable=SC2086 # words
        ip "$1" rule add $rule $specific
    done
    printf '%s\\n' "$now" | grep -vxF -e "" -e "$2" | while read -r rule; do
        ours "$1" "$rule" "$now" "$2" || continue
        # shellcheck disable=SC2086 # words
        ip "$1" rule del $rule
    done
}

primary=
want4=
want6=
"""


def script(guest: Guest) -> str:
    """The path of the script. Several stacks may have interfaces on one instance."""
    return f"/usr/local/sbin/enireconcile-guest-{guest.stack}"


def unit(guest: Guest) -> str:
    return f"enireconcile-guest-{guest.stack}.service"


def files(guest: Guest) -> tuple[File, ...]:
    """The script, and the units that run it at boot and when an interface is plugged."""
    return (
        File(script(guest), _script(guest), 0o755),
        File(
            f"/etc/systemd/system/{unit(guest)}",
            f"{head(guest)}[Unit]\n"
            "Description=Configure network interfaces and their addresses\n"
            "Wants=network-online.target\n"
            "After=network-online.target\n"
            "\n"
            "[Service]\n"
            "Type=oneshot\n"
            f"ExecStart={script(guest)}\n"
            "\n"
            "[Install]\n"
            "WantedBy=multi-user.target\n",
        ),
        File(
            f"/etc/udev/rules.d/99-enireconcile-guest-{guest.stack}.rules",
            f'{head(guest)}ACTION=="add", SUBSYSTEM=="net", KERNEL!="lo", TAG+="systemd", '
            f'ENV{{SYSTEMD_WANTS}}+="{unit(guest)}"\n',
        ),
    )


def _script(guest: Guest) -> str:
    own = " ".join(str(link.table) for link in guest.links if not link.shared)
    blocks = [f'#!/bin/sh\n{head(guest)}{_ABOUT}tables="{own}"\n', *(_block(guest, link) for link in guest.links)]
    blocks.append("".join(f'rules -{version} "$want{version}"\n' for version in guest.versions))
    if text := marks(guest, by_mark=False):
        blocks.append(f"nft -f - <<'END'\n{text}END\n{_set(VALID_MARK, 1)}\n")
    return "\n".join(blocks)


def _set(name: str, value: int) -> str:
    return f"echo {value} > /proc/sys/{name.replace('.', '/')}"


def _block(guest: Guest, link: Link) -> str:
    """What the script does for one link, if it is plugged."""
    lines = ['ip link set dev "$device" up', *(['primary="$device"'] if link.primary else [])]
    for side in link.sides:
        lines += _addresses(link, side)
        lines += _routes(link, side)
        wanted = "".join(f"\n{_rule(rule)}" for rule in rules(guest, link, side, by_mark=False))
        lines.append(f'want{side.version}="$want{side.version}{wanted}"')
    body = "\n".join(line if line.startswith("priority") else f"    {line}" for line in lines)
    return f'device=$(link {link.mac})  # {link.name}\nif [ -n "$device" ]; then\n{body}\nfi\n'


def _addresses(link: Link, side: Side) -> Iterator[str]:
    family = f"-{side.version}"
    yield from (f"address {family} {address}/{side.length}" for address in side.primary)
    yield from (f"address {family} {address}/{side.bits}" for address in side.further)
    if link.primary:
        return
    if side.version == 6:
        yield 'echo 0 > "/proc/sys/net/ipv6/conf/$device/accept_ra"'
    yield f"primary_only {family}"
    source = "".join(f" src {address}" for address in side.primary)
    for subnet in side.subnets:
        yield f'ip {family} route replace {subnet} dev "$device"{source} metric {link.table}'


def _routes(link: Link, side: Side) -> Iterator[str]:
    for route in routes(side):
        to = "default" if route.to == side.everywhere else route.to
        via = f"via {route.via} onlink " if route.via else ""
        yield f'ip -{side.version} route replace {to} {via}dev "$device" table {link.table}'


def _rule(rule: Rule) -> str:
    """A rule as the script compares it with those of the kernel."""
    if rule.source is not None:
        address, _, length = rule.source.partition("/")
        selector = f"from {address if length in ('32', '128') else rule.source}"
    elif rule.mark is not None:
        selector = f"fwmark {rule.mark:#x}"
    else:
        selector = "iif $device"
    return f"priority {rule.priority} {selector} table {rule.table or 'main'}"
