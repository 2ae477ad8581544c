"""Where data rests: the lake (Parquet), SQL and Redis connections. What the data means does not belong here."""
