"""What systems of language are built of."""
