"""Dagster assets and asset checks: what the pipeline makes.

Belongs here: bodies of about ten lines that read, call `reco`, write and report. Does not belong here: the work itself
(`reco`), how to reach a store (`resources`), when anything runs (`reco_pipeline`).
"""
