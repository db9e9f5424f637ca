"""The one error that EC2 answers with, and the few that are raised from many places."""

from __future__ import annotations


class EC2Error(Exception):
    """An error answer: EC2's code, its message, and the HTTP status it travels under."""

    def __init__(self, code: str, message: str, http_status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.http_status = http_status


def invalid_value(message: str) -> EC2Error:
    """EC2's most overloaded code: clients can only tell its meanings apart by the message."""
    return EC2Error("InvalidParameterValue", message)


def bad_combination(message: str) -> EC2Error:
    return EC2Error("InvalidParameterCombination", message)


def missing(parameter: str) -> EC2Error:
    return EC2Error("MissingParameter", f"The request must contain the parameter {parameter}")


def not_permitted(message: str) -> EC2Error:
    return EC2Error("OperationNotPermitted", message)


def managed_by_service() -> EC2Error:
    """EC2 refuses the account's own calls on a resource that an AWS service manages."""
    return EC2Error("AuthFailure", "You do not have permission to access the specified resource.")


def different_networks() -> EC2Error:
    """EC2's answer to a group of another VPC. In spite of its code, waiting does not help."""
    return EC2Error("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")


def multiple_interfaces(instance_id: str) -> EC2Error:
    return EC2Error(
        "InvalidInstanceID",
        f"There are multiple interfaces attached to instance '{instance_id}'. "
        "Please specify an interface ID for the operation instead.",
    )
