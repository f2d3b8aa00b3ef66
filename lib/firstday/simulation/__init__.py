"""Worlds with a planted truth: what discovery should find, and what should fool a careless method."""

from firstday.simulation.world import ACTIONS, SEGMENTS, Truth, World, simulate

__all__ = ["ACTIONS", "SEGMENTS", "Truth", "World", "simulate"]
