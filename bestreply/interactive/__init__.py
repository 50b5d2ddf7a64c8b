"""A person plays a seat in the browser, among agents and other players; finished games are logged like any other play."""
