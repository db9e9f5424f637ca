"""Instances in motion: power, attributes and the end."""

from __future__ import annotations

import base64
from typing import Literal

from .errors import EC2Error, bad_combination, invalid_value, multiple_interfaces, not_permitted
from .launch import Launches, check_imds_tags, check_user_data
from .records import STATE_CODES, Instance, InstanceState, Interface, Params, Result
from .state import operation

ATTRIBUTES = (
    "InstanceType",
    "UserData",
    "DisableApiTermination",
    "DisableApiStop",
    "SourceDestCheck",
    "Groups",
    "InstanceInitiatedShutdownBehavior",
    "EbsOptimized",
    "EnaSupport",
    "BlockDeviceMappings",
    "Kernel",
    "Ramdisk",
    "SriovNetSupport",
    "Attribute",
)

METADATA_OPTIONS = (
    "HttpTokens",
    "HttpPutResponseHopLimit",
    "HttpEndpoint",
    "HttpProtocolIpv6",
    "InstanceMetadataTags",
)


class Instances(Launches):
    """EC2 docs: states change by themselves; what an instance carries outlives a stop, and some of it the end."""

    # -- power ---------------------------------------------------------------------------------------

    def _become(self, instance: Instance, state: InstanceState, reason: str = "") -> None:
        instance.state = state
        instance.since = self.now
        instance.reason = reason

    def on_running(self, instance_id: str, when: float) -> None:
        instance = self.data.instances.get(instance_id)
        if instance and instance.state == "pending" and self.has_unusable_key(instance):
            code = "Client.InvalidKMSKey.InvalidState"
            instance.reason_code = (code, f"{code}: The KMS key provided is in an incorrect state")
            self.on_terminated(instance_id, when)
        elif instance and instance.state == "pending":
            instance.state, instance.since = "running", when

    def on_stopped(self, instance_id: str, when: float) -> None:
        instance = self.data.instances.get(instance_id)
        if instance and instance.state == "stopping":
            instance.state, instance.since = "stopped", when
            instance.blocked.clear()
            for eni in self.interfaces_of(instance):
                if eni.attachment and eni.attachment.status == "detaching":
                    self.unfasten(eni)

    @operation
    def start_instances(self, p: Params) -> Result:
        """No-op on what runs already; anything on its way somewhere else is refused."""
        instances = self._all(p)
        for instance in instances:
            if instance.state not in ("stopped", "running", "pending"):
                raise EC2Error(
                    "IncorrectInstanceState",
                    f"The instance '{instance.id}' is not in a state from which it can be started.",
                )
            self._check_type_is_applied(instance)
            kind = self.instance_type(instance.instance_type)
            self.check_cards(kind, [(e.attachment.card, e) for e in self.interfaces_of(instance) if e.attachment])
        changes = []
        for instance in instances:
            before = instance.state
            if before == "stopped":
                self._become(instance, "pending")
                instance.reason_code = None
                self.later(self.settings.pending_delay, "running", instance.id)
                for eni in self.interfaces_of(instance):
                    self.refresh_public_ip(eni)
            changes.append(_change(instance, before))
        return {"StartingInstances": changes}

    @operation
    def stop_instances(self, p: Params) -> Result:
        """EC2 docs: interfaces, private addresses and Elastic IPs stay; EC2's own public address goes."""
        instances = self._all(p)
        for instance in instances:
            if instance.no_stop:
                raise not_permitted(
                    f"The instance '{instance.id}' may not be stopped. Modify its 'disableApiStop' instance "
                    "attribute and try again."
                )
            request = self.data.spot_requests.get(instance.spot_request or "")
            if request and request.type == "one-time":
                raise EC2Error(
                    "UnsupportedOperation",
                    f"You can't stop the Spot Instance '{instance.id}' because it is associated with a one-time "
                    "Spot Instance request.",
                )
            if instance.state not in ("running", "stopping", "stopped"):
                raise EC2Error(
                    "IncorrectInstanceState",
                    f"This instance '{instance.id}' is not in a state from which it can be stopped.",
                )
            if p.get("Hibernate") and not instance.hibernation:
                raise EC2Error(
                    "UnsupportedHibernationConfiguration",
                    f"The instance '{instance.id}' was not launched with hibernation enabled.",
                )
        changes = []
        for instance in instances:
            before = instance.state
            if before == "running":
                date = self.date(self.now).strftime("%Y-%m-%d %H:%M:%S GMT")
                self._become(instance, "stopping", f"User initiated ({date})")
                how = "Hibernate" if p.get("Hibernate") else "Shutdown"
                code = f"Client.UserInitiated{how}"
                instance.reason_code = (code, f"{code}: User initiated {how.lower()}")
                self.later(self.settings.stop_delay, "stopped", instance.id)
                for eni in self.interfaces_of(instance):
                    self.refresh_public_ip(eni)
            changes.append(_change(instance, before))
        return {"StoppingInstances": changes}

    @operation
    def terminate_instances(self, p: Params) -> Result:
        """EC2 docs: repeated calls succeed. One protected instance keeps all of its zone, but no others.

        Stop protection protects from termination, too.
        """
        instances = self._all(p)
        protected = {each.zone: each for each in instances if each.no_termination or each.no_stop}
        changes = []
        for instance in instances:
            if instance.zone in protected:
                continue
            before = instance.state
            if before not in ("shutting-down", "terminated"):
                date = self.date(self.now).strftime("%Y-%m-%d %H:%M:%S GMT")
                self._become(instance, "shutting-down", f"User initiated ({date})")
                instance.reason_code = (
                    "Client.UserInitiatedShutdown",
                    "Client.UserInitiatedShutdown: User initiated shutdown",
                )
                self.later(self.settings.terminate_delay, "terminated", instance.id)
                self._end_request(instance)
                for eni in self.interfaces_of(instance):
                    self.refresh_public_ip(eni)
            changes.append(_change(instance, before))
        if protected:
            first = next(iter(protected.values()))
            attribute = "disableApiTermination" if first.no_termination else "disableApiStop"
            raise not_permitted(
                f"The instance '{first.id}' may not be terminated. Modify its '{attribute}' instance attribute "
                "and try again."
            )
        return {"TerminatingInstances": changes}

    def _end_request(self, instance: Instance) -> None:
        """EC2 docs: a persistent request is open again, and EC2 launches an instance for it, unless cancelled."""
        request = self.data.spot_requests.get(instance.spot_request or "")
        if request and request.state == "active":
            request.state = "open" if request.type == "persistent" else "closed"

    def on_terminated(self, instance_id: str, when: float) -> None:
        instance = self.data.instances.get(instance_id)
        if instance is None or instance.state == "terminated":
            return
        instance.state, instance.since = "terminated", when
        for volume_id in instance.volumes:
            if self.data.volumes[volume_id].delete_on_termination:
                del self.data.volumes[volume_id]
        instance.volumes.clear()
        if self.settings.linger_delay > 0:
            self.later(when + self.settings.linger_delay - self.now, "abandoned", instance_id)
        else:
            self.on_abandoned(instance_id, when)
        self.later(when + self.settings.terminated_retention - self.now, "forgotten", instance_id)

    def on_abandoned(self, instance_id: str, when: float) -> None:
        """EC2 docs: an interface goes with its instance if, and only if, its attachment says so."""
        instance = self.data.instances.get(instance_id)
        if instance is None:
            return
        for eni in self.interfaces_of(instance):
            deleted = eni.attachment is not None and eni.attachment.delete_on_termination
            self.unfasten(eni)
            if deleted:
                self.remove_interface(eni)

    def on_forgotten(self, instance_id: str, when: float) -> None:
        self.data.instances.pop(instance_id, None)

    # -- attributes ----------------------------------------------------------------------------------

    @operation
    def modify_instance_attribute(self, p: Params) -> Result:
        """EC2 docs: one attribute per call; type and user data change on a stopped instance only."""
        instance = self._all({"InstanceIds": [p["InstanceId"]]})[0]
        asked = [name for name in ATTRIBUTES if name in p]
        if len(asked) != 1:
            raise bad_combination(
                f"Exactly one instance attribute must be specified in a call, not: {', '.join(asked) or 'none'}"
            )
        name, value = asked[0], p[asked[0]]
        if name == "Attribute":
            name, value = p["Attribute"][0].upper() + p["Attribute"][1:], {"Value": p.get("Value")}
            if name.startswith("Disable"):
                value = {"Value": str(p.get("Value")).lower() == "true"}
        match name:
            case "InstanceType":
                if instance.spot_request:
                    raise EC2Error("UnsupportedOperation", "The type of a Spot Instance cannot be changed.")
                self._must_be_stopped(instance)
                self._change_type(instance, value["Value"])
            case "UserData":
                self._must_be_stopped(instance)
                raw = value.get("Value", b"")
                text = base64.b64encode(raw).decode() if isinstance(raw, bytes) else raw
                check_user_data(text)
                instance.user_data = text
            case "DisableApiTermination" | "DisableApiStop" if instance.spot_request and value["Value"]:
                raise EC2Error("UnsupportedOperation", f"{name} is not supported for Spot Instances.")
            case "DisableApiTermination":
                instance.no_termination = value["Value"]
            case "DisableApiStop":
                instance.no_stop = value["Value"]
            case "InstanceInitiatedShutdownBehavior":
                instance.shutdown_behavior = value["Value"]
            case "EbsOptimized":
                self._must_be_stopped(instance)
                instance.ebs_optimized = value["Value"]
            case "SourceDestCheck":
                self._only_interface(instance).source_dest_check = value["Value"]
            case "Groups":
                eni = self._only_interface(instance)
                eni.group_ids = self.groups_for(value, eni.vpc_id)
            case "BlockDeviceMappings":
                self._modify_volumes(instance, value)
            case other:
                raise EC2Error("UnsupportedOperation", f"{other} is not supported")
        return {}

    @operation
    def monitor_instances(self, p: Params) -> Result:
        return self._monitor(p, enabled=True)

    @operation
    def unmonitor_instances(self, p: Params) -> Result:
        return self._monitor(p, enabled=False)

    def _monitor(self, p: Params, *, enabled: bool) -> Result:
        """EC2 docs: the answer says `pending` or `disabling`; repeating it is no error."""
        instances = self._all(p)
        for instance in instances:
            instance.monitoring = enabled
        state = "pending" if enabled else "disabling"
        rows = [{"InstanceId": each.id, "Monitoring": {"State": state}} for each in instances]
        return {"InstanceMonitorings": rows}

    @operation
    def modify_instance_maintenance_options(self, p: Params) -> Result:
        """EC2 docs: running or stopped instances."""
        instance = self._all({"InstanceIds": [p["InstanceId"]]})[0]
        self._must_take_a_profile(instance)
        if p.get("AutoRecovery") not in ("default", "disabled"):
            raise invalid_value(f"Invalid value '{p.get('AutoRecovery')}' for AutoRecovery")
        instance.auto_recovery = p["AutoRecovery"]
        return {"InstanceId": instance.id, "AutoRecovery": instance.auto_recovery}

    @operation
    def modify_instance_credit_specification(self, p: Params) -> Result:
        """EC2 docs: what is refused is told in the answer, which is no error."""
        done: list[Result] = []
        refused: list[Result] = []
        for asked in p["InstanceCreditSpecifications"]:
            instance = self.instance(asked["InstanceId"])
            if not self.instance_type(instance.instance_type).burstable:
                code = "InstanceCreditSpecification.NotSupported"
            elif instance.state not in ("running", "stopped"):
                code = "IncorrectInstanceState"
            else:
                instance.cpu_credits = asked["CpuCredits"]
                done.append({"InstanceId": instance.id})
                continue
            refused.append({"InstanceId": instance.id, "Error": {"Code": code, "Message": "It was not changed."}})
        return {
            "SuccessfulInstanceCreditSpecifications": done,
            "UnsuccessfulInstanceCreditSpecifications": refused,
        }

    @operation
    def modify_instance_placement(self, p: Params) -> Result:
        """EC2 docs: on a stopped instance; an empty group name takes it out of its group."""
        instance = self._all({"InstanceIds": [p["InstanceId"]]})[0]
        self._must_be_stopped(instance)
        if p.get("GroupName"):
            self.check_group(p["GroupName"], self.instance_type(instance.instance_type))
        if "GroupName" in p:
            instance.placement["GroupName"] = p["GroupName"]
            instance.placement.pop("PartitionNumber", None)
        return {"Return": True}

    @operation
    def modify_instance_metadata_options(self, p: Params) -> Result:
        """EC2 docs: what is not named stays; the change is `pending` at first and applied a moment later."""
        instance = self._all({"InstanceIds": [p["InstanceId"]]})[0]
        if instance.state not in ("running", "stopped", "pending", "stopping"):
            raise EC2Error("IncorrectInstanceState", f"The instance '{instance.id}' is {instance.state}.")
        asked = {name: p[name] for name in METADATA_OPTIONS if name in p}
        if not asked:
            raise bad_combination("At least one metadata option must be specified")
        if not 1 <= asked.get("HttpPutResponseHopLimit", 1) <= 64:
            raise invalid_value("HttpPutResponseHopLimit must be from 1 to 64")
        if asked.get("InstanceMetadataTags") == "enabled":
            check_imds_tags(instance.tags)
        instance.metadata.update(asked)
        return {
            "InstanceId": instance.id,
            "InstanceMetadataOptions": {"State": "pending", **instance.metadata},
        }

    @operation
    def associate_iam_instance_profile(self, p: Params) -> Result:
        """EC2 docs: an instance has one profile at most, and takes one while it runs or is stopped."""
        instance = self._all({"InstanceIds": [p["InstanceId"]]})[0]
        self._must_take_a_profile(instance)
        name = self.known_profile(p["IamInstanceProfile"])
        if instance.profile:
            raise EC2Error("IncorrectState", f"There is an existing association for instance {instance.id}")
        return self._associate_profile(instance, name)

    @operation
    def replace_iam_instance_profile_association(self, p: Params) -> Result:
        """EC2 docs: the instance need not lose its profile before; the association gets another id."""
        instance = self._with_profile_association(p["AssociationId"])
        self._must_take_a_profile(instance)
        return self._associate_profile(instance, self.known_profile(p["IamInstanceProfile"]))

    @operation
    def disassociate_iam_instance_profile(self, p: Params) -> Result:
        instance = self._with_profile_association(p["AssociationId"])
        shown = self.show_profile_association(instance, "disassociating")
        instance.profile = None
        return {"IamInstanceProfileAssociation": shown}

    def _with_profile_association(self, association_id: str) -> Instance:
        for instance in self.data.instances.values():
            if instance.profile and instance.profile_association == association_id:
                return instance
        raise EC2Error("InvalidAssociationID.NotFound", f"The association ID '{association_id}' does not exist")

    def _must_take_a_profile(self, instance: Instance) -> None:
        if instance.state not in ("running", "stopped"):
            raise EC2Error(
                "IncorrectInstanceState",
                f"The instance '{instance.id}' is not in the 'running' or 'stopped' states.",
            )

    def _associate_profile(self, instance: Instance, name: str | None) -> Result:
        instance.profile, instance.profile_association = name, self.new_id("iip-assoc")
        return {"IamInstanceProfileAssociation": self.show_profile_association(instance, "associating")}

    def _must_be_stopped(self, instance: Instance) -> None:
        if instance.state != "stopped":
            raise EC2Error(
                "IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state."
            )

    def _only_interface(self, instance: Instance) -> Interface:
        if len(instance.interface_ids) != 1:
            raise multiple_interfaces(instance.id)
        return self.data.interfaces[instance.interface_ids[0]]

    def _change_type(self, instance: Instance, name: str) -> None:
        """A type with less room than what is attached is refused."""
        kind = self.instance_type(name)
        if not kind.reachable:
            raise EC2Error(
                "InvalidInstanceAttributeValue",
                f"Modifying the instance type from {instance.instance_type} to {name} is not allowed.",
            )
        image = self.data.images.get(instance.image_id)
        if image and image.architecture not in kind.architectures:
            raise invalid_value(f"The type {name} does not match the architecture '{image.architecture}'.")
        attached = self.interfaces_of(instance)
        self.check_cards(kind, [(e.attachment.card, e) for e in attached if e.attachment])
        for eni in attached:
            self.check_slots(kind, eni, "PrivateIpAddressLimitExceeded")
        if name != instance.instance_type:
            instance.type_before = (instance.instance_type, self.now + self.settings.type_change_delay)
        instance.instance_type = name

    def _check_type_is_applied(self, instance: Instance) -> None:
        """Others have met this right after ModifyInstanceAttribute, for up to a minute."""
        before, until = instance.type_before or ("", 0.0)
        if instance.type_before and self.now < until:
            raise invalid_value(
                f"Invalid value '{before}' for instanceType. LaunchPlan instance type does not match attribute "
                f"value {instance.instance_type}"
            )

    def _modify_volumes(self, instance: Instance, mappings: list[Params]) -> None:
        by_device = {self.data.volumes[each].device: self.data.volumes[each] for each in instance.volumes}
        for mapping in mappings:
            volume = by_device.get(mapping.get("DeviceName", ""))
            if volume is None:
                raise EC2Error(
                    "InvalidInstanceAttributeValue", f"No device is mapped at {mapping.get('DeviceName')}"
                )
            volume.delete_on_termination = mapping.get("Ebs", {}).get("DeleteOnTermination", True)

    # -- helpers for tests ---------------------------------------------------------------------------

    def set_health(
        self, instance_id: str, status: str = "impaired", which: Literal["instance", "system"] = "system"
    ) -> None:
        """Makes a status check of a running instance show `status`; `ok` heals it."""
        with self.lock:
            self.data.instances[instance_id].impaired[which] = status
            self._remember()

    def set_clinging(self, instance_id: str, clings: bool = True) -> None:
        """Makes the guest hold on to its interfaces (it hangs, say), or let go of them from now on."""
        with self.lock:
            self.settle()
            instance = self.data.instances[instance_id]
            instance.clings = clings
            for eni in self.interfaces_of(instance):
                if not clings and eni.attachment and eni.attachment.status == "detaching":
                    self.later(self.settings.detach_delay, "detached", eni.attachment.id)
            self._remember()

    def fail_launch(self, instance_id: str, code: str = "Server.InternalError") -> None:
        """A pending instance goes straight to terminated, as it does when its launch goes wrong."""
        with self.lock:
            self.settle()
            instance = self.data.instances[instance_id]
            instance.reason_code = (code, f"{code}: Internal error on launch")
            self.on_terminated(instance_id, self.now)
            self._remember()

    def set_operator(self, resource_id: str, principal: str = "eks.amazonaws.com") -> None:
        """Puts an instance or an interface into the hands of an AWS service."""
        with self.lock:
            if resource_id.startswith("i-"):
                self.data.instances[resource_id].operator = principal
            else:
                self.data.interfaces[resource_id].operator = principal
            self._remember()


def _change(instance: Instance, before: str) -> Result:
    return {
        "InstanceId": instance.id,
        "PreviousState": {"Code": STATE_CODES[before], "Name": before},
        "CurrentState": {"Code": STATE_CODES[instance.state], "Name": instance.state},
    }
