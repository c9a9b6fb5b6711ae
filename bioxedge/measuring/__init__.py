"""What a bundle costs on this machine: time, memory, energy, and what may be believed of it."""
