"""guest: print what an instance has to configure for its network interfaces, or write the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from msgspec import Struct

from enireconcile import files as written
from enireconcile.aws.api import Reader
from enireconcile.cli.session import Connection
from enireconcile.cli.signals import run_async
from enireconcile.engine.planner import guard_account
from enireconcile.errors import EnireconcileError, SpecErrors
from enireconcile.guest import formats
from enireconcile.guest.families import family, is_windows
from enireconcile.guest.output import File
from enireconcile.kinds.guests import Guests
from enireconcile.live import guests as live_guests
from enireconcile.live import reader as live_reader
from enireconcile.live.records import LiveImage, LiveInstance
from enireconcile.model import Reads
from enireconcile.outputs import logs
from enireconcile.planning.draft import Draft, draft
from enireconcile.printable import printable
from enireconcile.spec import Spec
from enireconcile.spec.suggest import Nearest, hint_text


class GuestOptions(Struct, frozen=True):
    """``format``, and ``backend`` of the files that cloud-init writes; None: what the image has."""

    format: str | None
    backend: str | None
    out: Path | None
    published_ports: bool


class _Seen(Struct, frozen=True):
    """The guests of one spec, and what is known of their images, by instance id."""

    drafted: Draft
    guests: Guests
    images: dict[str, LiveImage]

    def instance(self, name: str) -> LiveInstance | None:
        return self.guests.world.record(f"instances.{name}", LiveInstance)


def guest_specs(specs: Sequence[Spec], instance: str | None, connection: Connection, options: GuestOptions) -> int:
    """Print or write the files of one instance, or write those of all. Returns the exit code."""
    chosen = _chosen(specs, instance, everything=options.out is not None)
    for spec in specs:
        names = [name for each, name in chosen if each is spec]
        if not names:
            continue
        with logs.about(spec.document.stack), connection.open(spec, read_only=True) as channel:
            seen = run_async(_read(Reader(channel), spec, channel.session.region, names))
        for name in names:
            _deliver(seen, name, _folder(spec, name, chosen, options), options)
    return 0


def _folder(spec: Spec, name: str, chosen: Sequence[tuple[Spec, str]], options: GuestOptions) -> Path | None:
    """Where the files of an instance go: several have a directory each, below one for their stack."""
    if options.out is None or len(chosen) == 1:
        return options.out
    several = len({each.file for each, _ in chosen}) > 1
    return options.out / spec.document.stack / name if several else options.out / name


def _chosen(specs: Sequence[Spec], instance: str | None, *, everything: bool) -> list[tuple[Spec, str]]:
    """The instances to configure. Raises EnireconcileError if that is not clear."""
    known = [(spec, name) for spec in specs for name in sorted(spec.document.instances)]
    names = [name for _, name in known]
    if instance is not None:
        found = [each for each in known if each[1] == instance]
        if not found:
            hint = hint_text(Nearest(instance, names)) if names else "the spec has no instances"
            raise EnireconcileError(f"the spec has no instance {printable(instance)}", hint=hint)
        if len(found) > 1:
            files = ", ".join(printable(each.file) for each, _ in found)
            raise EnireconcileError(
                f"several specs have an instance {printable(instance)}: {files}", hint="give one of them as SPEC"
            )
        return found
    attached = [(spec, name) for spec, name in known if _interfaces(spec, name)]
    if not attached:
        raise EnireconcileError(
            "no interface of the spec is attached to an instance", hint="nothing is to configure in a guest"
        )
    if len(attached) > 1 and not everything:
        listed = ", ".join(name for _, name in attached)
        raise EnireconcileError(
            f"the spec has several instances: {listed}",
            hint="name one of them, or write the files of all with --out DIR",
        )
    return attached


def _interfaces(spec: Spec, instance: str) -> list[str]:
    """The interfaces that the spec attaches to an instance, or may attach by a failover."""
    rows = spec.document.network_interfaces.items()
    return [name for name, row in rows if row.attachment is not None and instance in row.attachment.candidates]


async def _read(reader: Reads, spec: Spec, region: str, names: Sequence[str]) -> _Seen:
    """Read the live state of the spec, and the primary interfaces and images of these instances."""
    found = await live_reader.read(reader, spec.document, region)
    guard_account(spec, found.account_id)
    drafted = draft(spec, found, prune=False)
    world = drafted.world
    instances = [live for name in names if (live := world.record(f"instances.{name}", LiveInstance)) is not None]
    foreign = await live_guests.primaries(reader, instances)
    images = await live_guests.images(reader, {live.image_id for live in instances if live.image_id})
    return _Seen(drafted, Guests(world, foreign), images)


def _deliver(seen: _Seen, name: str, folder: Path | None, options: GuestOptions) -> None:
    _refuse(seen, name)
    guest = seen.guests.guest(name, publishes=options.published_ports)
    usual = _say_what_it_does(seen, name)
    if options.format == formats.CLOUD_INIT:
        text = formats.cloud_config(formats.BACKENDS[options.backend or usual], guest)
        if folder is None:
            click.echo(text, nl=False)
        else:
            _write(folder, (File("/user-data", text),))
        logs.say(f"note: {name}: this is a part of user data, for a launch; `guest_network` in the spec adds it")
        return
    style = formats.BACKENDS[options.format or usual]
    files = style.files(guest)
    if folder is None:
        click.echo(formats.printed(style, files), nl=False)
        shown = files[:1] if style.single else files
        for file in shown:
            logs.say(f"note: {name}: {file.path} (mode {file.mode:04o})")
        if others := files[len(shown) :]:
            logs.say(
                f"note: {name}: run it there as root, at every boot and whenever an interface is plugged; "
                f"`--out DIR` also writes what does that: {' and '.join(file.path for file in others)}"
            )
            return
    else:
        _write(folder, files)
        logs.say(f"note: {name}: copy the content of {printable(str(folder))} to /, as root")
    logs.say(f"note: {name}: then run there: {formats.commands(style, guest, files)}")


def _refuse(seen: _Seen, name: str) -> None:
    """Raises EnireconcileError if the guest cannot be configured."""
    live = seen.instance(name)
    mine = {f"instances.{name}", *(f"network_interfaces.{each}" for each in _interfaces(seen.drafted.spec, name))}
    problems = [each.problem for each in seen.drafted.exclusions.errors(None) if mine & set(each.left_out)]
    if problems:
        raise SpecErrors(problems)
    if live is not None and is_windows(live.system):
        raise EnireconcileError(
            f"instances.{name} ({live.id}) runs Windows",
            hint="Windows selects the source address by itself; see AWS's guide for secondary addresses there",
        )
    if missing := seen.guests.missing(name):
        what = " and ".join(missing) + (" is" if len(missing) == 1 else " are")
        raise EnireconcileError(
            f"{what} not made yet: the guest is configured by the MAC addresses that EC2 gives",
            hint="apply the spec first",
        )


def _write(folder: Path, files: Sequence[File]) -> None:
    for file in files:
        path = folder / file.path.lstrip("/")
        try:
            written.make_folders(path.parent, 0o755)
            written.replace(path, file.text.encode(), mode=file.mode, exact=True)
        except OSError as error:
            raise EnireconcileError(f"cannot write {printable(str(path))}: {error.strerror or error}") from None


def _say_what_it_does(seen: _Seen, name: str) -> str:
    """Say whether the guest configures its interfaces by itself. Returns the format that its image reads."""
    live = seen.instance(name)
    image = seen.images.get(live.image_id) if live is not None else None
    known = family(image.name if image else "", live.system if live else "")
    if known is None:
        logs.say(f"note: {name}: it is not known whether its image configures its interfaces by itself")
    elif known.copes:
        logs.say(f"note: {name}: {known.name} configures its interfaces by itself; these files take precedence")
    else:
        logs.say(f"note: {name}: {known.name} is not known to configure further interfaces by itself")
    return known.format if known is not None else "ip"
