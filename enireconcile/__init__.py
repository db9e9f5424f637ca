"""enireconcile: keep EC2 interfaces, addresses, groups and instances as one YAML file says.

The Python API: ``load``, ``plan``, ``apply``, ``show`` and ``verify`` do what the commands of these names do, and
return what these print with ``--output json``. They are loaded when a program first asks for one of them, so that
``import enireconcile`` loads no AWS code. The errors are in ``enireconcile.errors``.
"""

from typing import TYPE_CHECKING, Any

from enireconcile import errors as errors

if TYPE_CHECKING:
    from enireconcile.api import Inventory, Plan, Record, Report, Spec, apply, load, plan, show, verify

__version__ = "0.1.0"
__all__ = ["Inventory", "Plan", "Record", "Report", "Spec", "apply", "load", "plan", "show", "verify"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from enireconcile import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
