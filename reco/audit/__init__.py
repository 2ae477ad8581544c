"""What happened and how good it was: the append-only trail and the quality figures. No decision is taken here."""
