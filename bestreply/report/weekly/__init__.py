"""The report over many runs: one page and one Markdown text of the same content, from the files of run directories alone.

`find` and `record` read; `groups` says which runs are one method; `held`, `curves`, `returns` and `problems` work out what can be said;
`section_*` put it into blocks (`document`), which `page` and `markdown` write.
"""
