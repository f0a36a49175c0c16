"""Circuits to and from PennyLane, Qiskit and OpenQASM, and runs on their devices; the packages are an extra."""
