"""Evidence by its hash: received into quarantine, judged by its content, kept for ever, never changed.

`receiving` takes bytes from outside; `media_types` says what they are; a store of `port` keeps them: `disk`, or
`objects` for S3 and the like. Names in a store are SHA-256 hashes and nothing else, so that no name from outside ever
reaches a file system. Who may read what is not known here.
"""
