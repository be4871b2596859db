"""Stages of `tools/reversal_results.py`."""
