"""Runs the pods bound to this node: knows the API by its client, containers by CRI alone."""
