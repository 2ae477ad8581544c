"""Offline evaluation: how often the model finds an item that was taken out of a later order.

Each module is pure: orders, settings and a seed in, figures out. Publishing by these figures, and showing them, do not
belong here.
"""
