"""Text in, program or diagnostics out: the Prism language, org charts and what they compile to. Pure: no clock, no I/O."""
