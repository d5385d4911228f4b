"""Simulation: any pattern, run against simulated agents on a virtual clock, as often as it takes to know how it goes.

The program is the real one; what answers it is drawn from distributions. The same seed gives the same runs.
"""
