"""The Dagster code location and the command line: in what order, and when.

Belongs here: definitions, jobs, schedules, sensors, `cli/`. Does not belong here: work (`reco`), what is made
(`assets`) or how it reaches servers (`resources`). This file imports nothing: the arrow of imports must stay one.
"""
