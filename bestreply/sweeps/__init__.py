"""Many runs from one file: methods x games x seeds."""
