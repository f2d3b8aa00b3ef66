"""Statistics on NumPy arrays that several stages use: estimates, shares, corrections, power, jackknife."""
