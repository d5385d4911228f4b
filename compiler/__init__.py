"""Text in, program or diagnostics out: Prism, org charts and what they compile to. Pure: no clock, no I/O."""
