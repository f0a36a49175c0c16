"""What the simulator shows: the paper's table 3 and networks with their controls, and recovery of programmed edges."""
