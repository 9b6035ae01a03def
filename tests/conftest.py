"""Fixtures that every tier may use: clusters that stand for the whole session, started by the first test that asks."""

from tests.support.cluster import cluster, control_plane, control_plane_of_tenants, control_plane_without_gangs, machine_before

__all__ = ["cluster", "control_plane", "control_plane_of_tenants", "control_plane_without_gangs", "machine_before"]
