"""Item master data: what an item is called and where it belongs.

Belongs here: files about items. Does not belong here: order lines.
"""
