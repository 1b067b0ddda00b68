"""Data for training: requests, trajectories, filters, ground truths, splits, exports."""
