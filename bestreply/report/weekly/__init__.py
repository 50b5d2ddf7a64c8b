"""The report over several runs.

`discovery` and `record` read files, and `groups` assigns runs to methods. `comparisons`, `curves`,
`returns` and `problems` compute results. The sections compose a `document` from these, which `page`
and `markdown` write.
"""
