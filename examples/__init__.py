"""A small inference service, and traffic to try deployments with."""
