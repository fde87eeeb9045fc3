"""How many examples a property is tried on."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def examples(count: int, *suppress: HealthCheck) -> settings:
    """Settings of a property: so many examples in `make test`, as many times more in `make soak` as its profile says.

    Without it a property is tried on the profile's own number (conftest.py), 100 in `make test`.
    """
    profile = settings()
    return settings(
        max_examples=count * profile.max_examples // 100,
        suppress_health_check=[*profile.suppress_health_check, *suppress],
    )
