"""`genevolve compile`: a policy is trained on what its own rollouts teach, from settings to a folder with weights."""
