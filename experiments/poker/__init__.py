"""Play 20 hands of Kuhn or Leduc poker against one opponent of unknown style, learned from logs."""
