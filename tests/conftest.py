"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# A slow machine is no failed property; times are measured in bench/.
settings.register_profile("bluegreen", deadline=None)
settings.load_profile("bluegreen")
