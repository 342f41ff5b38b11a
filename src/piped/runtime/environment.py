"""RuntimeEnvironment: what a component is given in `configure`."""

from __future__ import annotations
