"""What configures the network of a guest, the real thing, inside a network namespace.

Each program runs in a mount namespace with an /etc, /run, /var, /tmp and /usr/local of the guest. All other files
are the machine's, and read-only; so is /sys, so that nothing waits for udev. All processes of a guest end with it.

``files`` is what a guest has been given: absolute paths and texts.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

Files = Mapping[str, str]

PATIENCE = 60.0
"""Seconds after which a guest is said never to become what a test waits for."""
NETWORKD = "/lib/systemd/systemd-networkd"
NETPLAN = "/usr/libexec/netplan/generate"
NETPLAN_BEFORE_0_106 = "/usr/lib/netplan/generate"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SECRET = (".nmconnection", ".yaml")
_OWN = ("etc", "run", "var", "tmp", "usr/local")
_SHARED_ETC = ("alternatives", "cloud", "group", "iproute2", "ld.so.cache", "nsswitch.conf", "passwd")
"""What programs need of the machine's /etc, copied."""
_ENTER = """
mount --make-rprivate /
for own in etc run var usr/local tmp; do mount --bind "$0/$own" "/$own"; done
mount -o remount,bind,ro /
mount -o remount,bind,ro /sys
exec "$@"
"""


def lacking(*programs: str) -> str | None:
    """Why guests with these programs cannot run here; None if they can."""
    if os.geteuid() != 0 or int(Path("/proc/self/uid_map").read_text().split()[2]) < 1000:
        return "root is needed, and the users that services run as"
    absent = [
        program for program in ("ip", "nft", "sysctl", "unshare", *programs) if shutil.which(program) is None
    ]
    if absent:
        return f"not installed: {', '.join(absent)}"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "true"], check=False, capture_output=True, text=True
    )
    return f"namespaces cannot be made: {tried.stderr.strip()}" if tried.returncode else None


def lacking_networkd() -> str | None:
    return lacking(NETWORKD)


def lacking_netplan() -> str | None:
    return lacking_networkd() or (None if _netplan() else "not installed: netplan")


def lacking_networkmanager() -> str | None:
    return lacking("NetworkManager", "dbus-daemon")


def lacking_cloud_init() -> str | None:
    return lacking(NETWORKD, "cloud-init")


def _netplan() -> str | None:
    return next((path for path in (NETPLAN, NETPLAN_BEFORE_0_106) if Path(path).exists()), None)


@dataclass(frozen=True)
class System:
    """The files of a guest, and the network namespace that its programs run in."""

    namespace: str
    root: Path

    def write(self, files: Files) -> None:
        """Put files into the guest's own folders. NetworkManager reads only what others cannot."""
        for name, text in files.items():
            assert name.startswith(tuple(f"/{own}/" for own in _OWN)), name
            path = self.root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755 if text.startswith("#!") else 0o600 if name.endswith(_SECRET) else 0o644)

    def boot(self) -> None:
        """What systemd starts at boot, of what is in /etc: the settings of the kernel and the units."""
        for settings in sorted((self.root / "etc/sysctl.d").glob("*.conf")):
            self.run("sysctl", "-q", "-p", f"/etc/sysctl.d/{settings.name}")
        for unit in sorted((self.root / "etc/systemd/system").glob("*.service")):
            self._start(unit.name)

    def plugged(self) -> None:
        """An interface has come: the units that rules of udev want. Managers notice it by themselves."""
        for rules in sorted((self.root / "etc/udev/rules.d").glob("*.rules")):
            for unit in re.findall(r'SYSTEMD_WANTS\}\+="([^"]+)"', rules.read_text(encoding="utf-8")):
                self._start(unit)

    def _start(self, unit: str) -> None:
        text = (self.root / "etc/systemd/system" / unit).read_text(encoding="utf-8")
        for command in re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE):
            self.run(*shlex.split(command))

    def run(self, *command: str, stdin: str | None = None) -> str:
        """What a program prints on the guest. AssertionError: it fails."""
        ran = subprocess.run(
            [*self._entered("--mount"), *command],
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    @contextlib.contextmanager
    def running(self, *command: str) -> Iterator[None]:
        """A program that runs meanwhile, and all that it starts."""
        log = self.root / "log"
        with log.open("ab") as out:
            alone = self._entered("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
            process = subprocess.Popen([*alone, *command], stdout=out, stderr=out, start_new_session=True)
        try:
            yield
            assert process.poll() is None, f"{command} has ended"
        except AssertionError as error:
            error.add_note(log.read_text(errors="replace")[-3000:])
            raise
        finally:
            # unshare itself ends once its child has, which is the first process of the namespace: all others have.
            if process.poll() is None:
                for pid in _children(process.pid) or [process.pid]:
                    os.kill(pid, signal.SIGKILL)
            process.wait()

    def _entered(self, *namespaces: str) -> Sequence[str]:
        there = ("env", "-i", f"PATH={_PATH}", "ip", "netns", "exec", self.namespace)
        return [*there, "unshare", *namespaces, "sh", "-eu", "-c", _ENTER, str(self.root)]


def _children(pid: int) -> list[int]:
    """Of a process that has one thread."""
    with contextlib.suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


@contextlib.contextmanager
def system(namespace: str, files: Files) -> Iterator[System]:
    """A guest that has these files, and on which no program runs yet."""
    with tempfile.TemporaryDirectory(prefix="guest-") as directory:
        made = System(namespace, Path(directory))
        for own in _OWN:
            (made.root / own).mkdir(mode=0o755, parents=True)
        (made.root / "var/run").symlink_to("/run")
        for name in _SHARED_ETC:
            _copy(Path("/etc") / name, made.root / "etc" / name)
        made.write({"/etc/machine-id": f"{namespace.encode().hex():0<32.32}\n", **files})
        yield made


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    elif source.exists():
        shutil.copy(source, target)


# ---- What configures a network


@contextlib.contextmanager
def networkd(namespace: str, files: Files) -> Iterator[System]:
    """systemd-networkd, with the files of /etc/systemd/network."""
    with system(namespace, files) as made:
        made.boot()
        with running_networkd(made):
            yield made


@contextlib.contextmanager
def running_networkd(on: System) -> Iterator[None]:
    runtime = on.root / "run/systemd/netif"
    runtime.mkdir(parents=True, exist_ok=True)
    shutil.chown(runtime, "systemd-network", "systemd-network")
    with on.running("env", "SYSTEMD_LOG_TARGET=console", "SYSTEMD_LOG_COLOR=0", NETWORKD):
        yield


@contextlib.contextmanager
def netplan(namespace: str, files: Files) -> Iterator[System]:
    """netplan with networkd behind it, as Ubuntu has it, with the files of /etc/netplan."""
    generate = _netplan()
    assert generate
    with system(namespace, files) as made:
        made.boot()
        made.run(generate)
        # A veth has no permanent address, which an ENI has.
        for made_of_it in (made.root / "run/systemd/network").glob("*.network"):
            text = made_of_it.read_text(encoding="utf-8")
            made_of_it.write_text(text.replace("PermanentMACAddress=", "MACAddress="), encoding="utf-8")
        with running_networkd(made):
            yield made


@contextlib.contextmanager
def networkmanager(namespace: str, files: Files) -> Iterator[System]:
    """NetworkManager, with the keyfiles of /etc/NetworkManager/system-connections."""
    config = {"/etc/NetworkManager/NetworkManager.conf": "[main]\nplugins=keyfile\ndhcp=internal\n"}
    with system(namespace, {**config, **files}) as made:
        for directory in ("run/dbus", "var/lib/NetworkManager"):
            (made.root / directory).mkdir(parents=True)
        made.boot()
        with made.running("dbus-daemon", "--system", "--nofork", "--nopidfile"):
            until((made.root / "run/dbus/system_bus_socket").exists, "the message bus")
            with made.running("NetworkManager", "--no-daemon"):
                yield made


@contextlib.contextmanager
def script(namespace: str, files: Files) -> Iterator[System]:
    """No manager: a script, which a unit runs at boot."""
    with system(namespace, files) as made:
        made.boot()
        yield made


@dataclass(frozen=True)
class Manager:
    """What reads the files of a format."""

    run: Callable[[str, Files], contextlib.AbstractContextManager[System]]
    lacking: Callable[[], str | None]


MANAGERS: Mapping[str, Manager] = {
    "ip": Manager(script, lacking),
    "networkd": Manager(networkd, lacking_networkd),
    "netplan": Manager(netplan, lacking_netplan),
    "networkmanager": Manager(networkmanager, lacking_networkmanager),
}
"""By the name of the format."""


# ---- cloud-init

_SYSTEMCTL = {"/usr/local/bin/systemctl": '#!/bin/sh\necho "$*" >> /run/asked\n'}
"""There is no systemd in the namespace: what it was asked to do is written down."""


@contextlib.contextmanager
def cloud_config(
    namespace: str, files: Files, user_data: str, cloud_init: Callable[[System, str], Sequence[str]] | None = None
) -> Iterator[System]:
    """The first boot of an image with networkd, which runs before cloud-init."""
    with system(namespace, {**files, **_SYSTEMCTL}) as made:
        with running_networkd(made):
            asked = (cloud_init or run_part)(made, user_data)
        assert "try-restart systemd-networkd.service" in asked, asked
        with running_networkd(made):
            yield made


def run_part(on: System, part: str) -> Sequence[str]:
    """What cloud-init does at a boot with user data that is one part, and what it asks of systemd."""
    assert part.startswith("#cloud-config\n")
    config = yaml.safe_load(part)
    assert set(config) <= {"bootcmd", "merge_how"}, "this is not interpreted here"
    lines = [each if isinstance(each, str) else shlex.join(each) for each in config["bootcmd"]]
    on.write({"/var/bootcmd": "\n".join(lines), "/run/asked": ""})
    on.run("sh", "/var/bootcmd")
    return (on.root / "run/asked").read_text(encoding="utf-8").splitlines()


def run_cloud_init(on: System, user_data: str) -> Sequence[str]:
    """The same by cloud-init itself, with one module: others would change disks and users."""
    for defaults in (on.root / "etc/cloud/cloud.cfg.d").glob("*"):
        defaults.unlink()
    seed = "/var/lib/cloud/seed/nocloud"
    on.write(
        {
            "/etc/cloud/cloud.cfg": _CLOUD_CFG,
            f"{seed}/meta-data": "instance-id: i-00000000000000001\n",
            f"{seed}/user-data": user_data,
            "/run/asked": "",
        }
    )
    on.run("unshare", "--uts", "cloud-init", "init", "--local")
    on.run("unshare", "--uts", "cloud-init", "init")
    return (on.root / "run/asked").read_text(encoding="utf-8").splitlines()


_CLOUD_CFG = """\
datasource_list: [NoCloud]
datasource: {NoCloud: {fs_label: null}}
cloud_init_modules: [bootcmd]
network: {config: disabled}
system_info: {distro: debian}
"""


# ---- Waiting


def until(condition: Callable[[], object], what: str) -> None:
    """Return once the condition holds. AssertionError: it does not within PATIENCE."""
    turn, deadline = threading.Event(), time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s: {what}"
        turn.wait(0.02)
