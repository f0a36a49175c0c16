"""Speed, memory and error as ratios to a named peer in the same run."""
