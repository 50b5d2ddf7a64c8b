"""How an agent answers: score every candidate against what the others are believed to do, choose the best."""
