"""What is known before a run starts: its cost, and the state of its inputs."""
