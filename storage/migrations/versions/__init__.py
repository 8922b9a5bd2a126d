"""One step of the schema a file, in order. A step that has been released is never edited; a new one follows it."""
