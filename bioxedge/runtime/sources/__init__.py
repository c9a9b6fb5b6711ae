"""Where samples come from: boards through BrainFlow, and recordings."""
