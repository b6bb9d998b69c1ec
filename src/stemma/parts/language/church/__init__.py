"""A small Church: Scheme whose primitives may draw; read, run and inferred over with limits, and never Python."""
