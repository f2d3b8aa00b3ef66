"""Worlds with a planted truth: what discovery should find, and what should fool a careless method."""

from firstday.simulation.bank import simulate_bank
from firstday.simulation.bank_world import Bank
from firstday.simulation.world import ACTIONS, SEGMENTS, Truth, World, simulate

__all__ = ["ACTIONS", "SEGMENTS", "Bank", "Truth", "World", "simulate", "simulate_bank"]
