"""A simulated EC2 to try specs on: moto's server. The only module of the package that imports moto."""

from __future__ import annotations

import copy
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from enireconcile.errors import EnireconcileError

if TYPE_CHECKING:
    from moto.core.common_types import TYPE_RESPONSE
    from moto.core.responses import ActionResult
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface

_HOST = "127.0.0.1"
_CREDENTIALS = {
    # Placeholders: moto accepts any.
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_UBUNTU = {
    "ami_id": "ami-0c7217cdde317cfec",
    "name": "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260115",
    "description": "Canonical, Ubuntu, 24.04, amd64 noble image",
    "owner_id": "099720109477",
    "public": True,
    "state": "available",
    "creation_date": "2026-01-15T07:19:48.000Z",
    "architecture": "x86_64",
    "virtualization_type": "hvm",
    "hypervisor": "xen",
    "image_type": "machine",
    "image_location": "amazon/ubuntu-noble-24.04",
    "root_device_type": "ebs",
    "root_device_name": "/dev/sda1",
    "sriov": "simple",
}
_HIDDEN = (
    "AWS_PROFILE",
    "ENIRECONCILE_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ENDPOINT_URL_EC2",
)


def run(port: int, command: Sequence[str], *, lab: bool = False) -> int:
    """Serve until Ctrl-C or SIGTERM, or while ``command`` runs. Returns the exit code of ``command``.

    With ``lab``, the endpoint has the networks that the project's specs stand in.
    """
    for name in _HIDDEN:
        # moto, too, would look for the profile.
        os.environ.pop(name, None)
    try:
        from moto.server import ThreadedMotoServer
    except ImportError:
        raise EnireconcileError(
            "the sandbox needs the package moto, which is not installed",
            hint="install enireconcile with its extra `sandbox`: pip install '.[sandbox]' in a checkout",
        ) from None
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    correct_boot_modes()
    _check_free(port)
    _free_interfaces_of_terminated_instances()
    _apply_delete_on_termination()
    _end_primary_interfaces_with_their_instance()
    _launch_into_default_subnets()
    _attach_without_changing_groups()
    _associate_with_private_addresses()
    _take_rules_without_ports()
    _revoke_rules_whatever_their_descriptions()
    _add_public_images()
    _refuse_what_moto_lacks()
    server = ThreadedMotoServer(ip_address=_HOST, port=port, verbose=False)
    server.start()
    host, chosen = server.get_host_and_port()
    variables = {"AWS_ENDPOINT_URL": f"http://{host}:{chosen}", **_CREDENTIALS}
    try:
        if lab:
            from enireconcile.aws.lab import make_lab

            make_lab(variables["AWS_ENDPOINT_URL"], variables)
        return _with(variables, command) if command else _serve(variables)
    finally:
        server.stop()


def _free_interfaces_of_terminated_instances() -> None:
    """moto leaves interfaces attached to a terminated instance for ever; EC2 detaches them."""
    from moto.ec2.models.instances import Instance, InstanceState

    terminate = Instance.terminate

    def terminate_and_detach(instance: Instance) -> InstanceState:
        previous = terminate(instance)
        for index, interface in tuple(instance.nics.items()):
            if not interface.delete_on_termination:
                # moto still looks up the addresses of a terminated instance on its interfaces.
                seen_last = copy.copy(interface)
                instance.detach_eni(interface)
                instance.nics[index] = seen_last
        return previous

    Instance.terminate = terminate_and_detach  # type: ignore[assignment,method-assign]


def _apply_delete_on_termination() -> None:
    """moto ignores the Attachment of ModifyNetworkInterfaceAttribute, so such a change would never converge."""
    from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces as Responses

    modify = Responses.modify_network_interface_attribute

    def modify_attachment_too(call: Responses) -> ActionResult:
        answer = modify(call)
        value = call._get_bool_param("Attachment.DeleteOnTermination")
        if value is not None:
            interface = call.ec2_backend.get_network_interface(call._get_param("NetworkInterfaceId"))
            interface.delete_on_termination = value
        return answer

    Responses.modify_network_interface_attribute = modify_attachment_too  # type: ignore[assignment,method-assign]


def _end_primary_interfaces_with_their_instance() -> None:
    """moto keeps the primary interface that RunInstances makes; EC2 deletes it, unless told otherwise."""
    from moto.ec2.models.instances import Instance

    prepare = Instance.prep_nics

    def prepare_interfaces(
        instance: Instance, nic_spec: list[dict[str, Any]], *arguments: Any, **more: Any
    ) -> None:
        chosen = any(
            int(nic["DeviceIndex"]) == 0
            and (nic.get("NetworkInterfaceId") or nic.get("DeleteOnTermination") is False)
            for nic in nic_spec
        )
        prepare(instance, nic_spec, *arguments, **more)
        if 0 in instance.nics and not chosen:
            instance.nics[0].delete_on_termination = True

    Instance.prep_nics = prepare_interfaces  # type: ignore[assignment,method-assign]


def _launch_into_default_subnets() -> None:
    """moto gives an instance without a subnet an address of no subnet; EC2 launches it into a default one."""
    from moto.ec2.models.instances import InstanceBackend

    run = InstanceBackend.run_instances

    def run_instances(backend: InstanceBackend, *arguments: Any, **more: Any) -> Any:
        if not more.get("subnet_id") and not more.get("nics"):
            subnets: dict[str, Any] = backend.get_default_subnets()  # type: ignore[attr-defined]
            zone = more.get("placement") or min(subnets, default="")
            more["subnet_id"] = subnets[zone].id if zone in subnets else None
        return run(backend, *arguments, **more)

    InstanceBackend.run_instances = run_instances  # type: ignore[assignment,method-assign]


def _attach_without_changing_groups() -> None:
    """moto adds the groups of an instance to each of its interfaces; in EC2, each keeps its own."""
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface

    NetworkInterface.group_set = property(lambda interface: interface._group_set)  # type: ignore[assignment]


def _associate_with_private_addresses() -> None:
    """moto associates every Elastic IP with the primary private address of its interface."""
    from moto.ec2.models.elastic_ip_addresses import ElasticAddress, ElasticAddressBackend
    from moto.ec2.responses.elastic_ip_addresses import ElasticIPAddresses as Responses

    associate, disassociate = Responses.associate_address, ElasticAddressBackend.disassociate_address

    def private_ip_address(address: ElasticAddress) -> str | None:
        chosen: str | None = vars(address).get("chosen_private_ip")
        return (chosen or address.eni.private_ip_address) if address.eni else None

    def show_primary(backend: ElasticAddressBackend, interface: NetworkInterface) -> None:
        """An interface shows the Elastic IP of its primary private address."""
        primary = interface.private_ip_address
        mine = [each for each in backend.addresses if each.eni is interface]
        interface.public_ip = next((each.public_ip for each in mine if each.private_ip_address == primary), None)

    def associate_address(call: Responses) -> ActionResult:
        answer: Any = associate(call)
        [address] = call.ec2_backend.address_by_association([answer.result["AssociationId"]])
        address.chosen_private_ip = call._get_param("PrivateIpAddress")
        show_primary(call.ec2_backend, address.eni)
        return answer  # type: ignore[no-any-return]

    def disassociate_address(
        backend: ElasticAddressBackend, address: str | None = None, association_id: str | None = None
    ) -> None:
        interfaces: list[Any] = [each.eni for each in backend.addresses if each.eni]
        disassociate(backend, address, association_id)
        for interface in interfaces:
            if interface.public_ip is None:
                show_primary(backend, interface)

    ElasticAddress.private_ip_address = property(private_ip_address)  # type: ignore[assignment]
    Responses.associate_address = associate_address  # type: ignore[assignment,method-assign]
    ElasticAddressBackend.disassociate_address = disassociate_address  # type: ignore[assignment,method-assign]


def _take_rules_without_ports() -> None:
    """moto fails at protocols without ports (ESP, AH, 51), for which EC2 takes and shows none."""
    from moto.ec2.models.security_groups import SecurityGroupRule

    make = SecurityGroupRule.__init__

    def make_without_ports(
        rule: SecurityGroupRule,
        ec2_backend: Any,
        ip_protocol: str,
        group_id: str,
        from_port: str | None,
        to_port: str | None,
        *arguments: Any,
        **more: Any,
    ) -> None:
        has_ports = from_port is not None and to_port is not None
        first, last = (from_port, to_port) if has_ports else ("0", "0")
        make(rule, ec2_backend, ip_protocol, group_id, first, last, *arguments, **more)
        if not has_ports:
            rule.from_port = rule.to_port = None

    SecurityGroupRule.__init__ = make_without_ports  # type: ignore[assignment,method-assign]


def _revoke_rules_whatever_their_descriptions() -> None:
    """moto compares the description of a source group, so it does not find the rule to revoke. EC2 ignores it."""
    from moto.ec2.models.security_groups import SecurityGroupRule

    equal = SecurityGroupRule.__eq__

    def undescribed(rule: SecurityGroupRule) -> SecurityGroupRule:
        bare = copy.copy(rule)
        bare.source_group = {key: value for key, value in rule.source_group.items() if key != "Description"}
        return bare

    def equal_but_for_descriptions(rule: SecurityGroupRule, other: SecurityGroupRule) -> bool:
        return equal(undescribed(rule), undescribed(other))

    SecurityGroupRule.__eq__ = equal_but_for_descriptions  # type: ignore[method-assign]


def _add_public_images() -> None:
    """An image of Canonical, which moto does not know."""
    from moto.ec2.models.amis import AMIS

    AMIS.append(_UBUNTU)


def _refuse_what_moto_lacks() -> None:
    """moto answers a call at which it fails with a server error, which is tried again, and a traceback.

    Such are calls that it does not simulate, and some with parameters that it does not expect.
    """
    from moto.core.exceptions import JsonRESTError, ServiceException
    from moto.core.responses import ActionResult, BaseResponse
    from moto.ec2.exceptions import EC2ClientError
    from werkzeug.exceptions import HTTPException

    call_action = BaseResponse.call_action

    def refuse_what_is_not_simulated(call: BaseResponse) -> TYPE_RESPONSE:
        try:
            return call_action(call)
        except NotImplementedError:
            why = f"the sandbox does not simulate {call._get_action()}"
        except (HTTPException, ServiceException):
            raise
        except Exception as failure:  # noqa: BLE001 (moto can fail in any way)
            why = f"the sandbox cannot simulate this {call._get_action()}: moto ends in {type(failure).__name__}"
        error = "UnsupportedOperation", why
        if call.service_name == "ec2":
            return call.serialized(ActionResult(EC2ClientError(*error)))
        refusal = JsonRESTError(*error)
        return refusal.code, dict(refusal.get_headers()), refusal.description

    BaseResponse.call_action = refuse_what_is_not_simulated  # type: ignore[assignment,method-assign]


def correct_boot_modes() -> None:
    """Amazon's images boot in both modes. moto says ``uefi`` of all, which types such as t2.micro cannot boot."""
    from moto.ec2.models.amis import Ami

    Ami.boot_mode = property(lambda _: "uefi-preferred", lambda *_: None)  # type: ignore[assignment]


def _check_free(port: int) -> None:
    """The server thread would not report that the port is in use. Raises EnireconcileError."""
    try:
        socket.create_server((_HOST, port)).close()
    except OSError as error:
        raise EnireconcileError(
            f"cannot listen on {_HOST}:{port}: {error.strerror}", hint="choose another --port"
        ) from None


def _with(variables: Mapping[str, str], command: Sequence[str]) -> int:
    """Run a command against the endpoint, with a temporary state directory."""
    with tempfile.TemporaryDirectory(prefix="enireconcile-") as state:
        environment = {**os.environ, **variables, "ENIRECONCILE_STATE": state}
        try:
            return subprocess.run(list(command), env=environment, check=False).returncode  # noqa: S603 (it is the user's own command)
        except FileNotFoundError:
            raise EnireconcileError(f"command not found: {command[0]}") from None


def _serve(variables: Mapping[str, str]) -> int:
    for key, value in variables.items():
        click.echo(f"export {key}={value}")
    click.echo(
        "The sandbox is running. Export these variables in another terminal; press Ctrl-C to stop.", err=True
    )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    return 0
