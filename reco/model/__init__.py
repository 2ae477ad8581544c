"""What is counted over orders: item stats, co-occurrence, similar items, and the checks of their invariants.

Each module turns Parquet files into one Parquet file and figures about it. Reading drops, and serving the result, do
not belong here.
"""
