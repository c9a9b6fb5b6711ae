"""From trained parts to a proven bundle: one fused graph, golden windows, parity."""
