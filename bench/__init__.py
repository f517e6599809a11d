"""Measurements, each printing a table: `python -m bench` for all, `python -m bench NAME` for one."""
