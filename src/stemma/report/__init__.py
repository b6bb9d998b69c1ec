"""One self-contained page from the results of a comparison."""
