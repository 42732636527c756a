"""What is written to disk and how it is proved intact: bag schema, recorder, reader, check, recovery."""
