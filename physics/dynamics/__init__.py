"""Dynamical cores: spectral transform, primitive equations, time stepping, initial states."""
