"""What `scripts/campaign.py` does to kdscope: kills, corruptions, faults of the machine, malformed inputs."""
