"""Dagster resources: how the pipeline reaches its settings, lake, SQL and Redis.

Belongs here: opening what an asset needs. Does not belong here: what is done with it, or any rule of the business.
"""
