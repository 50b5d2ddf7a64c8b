"""Planners: score candidate actions against predicted opponents and choose the best."""
