"""Text in, programs or diagnostics out: no input or output, no clock, no randomness."""
