"""Tools of the repository that are no part of the product: they run from a checkout, never from a wheel."""
