"""What a study, a trial and an attempt are, and how they may change.

Pure rules on plain values: standard library only, no I/O, no clock of its own (times come in as arguments, in Unix
seconds). Everything that decides about states lives here, so that service, storage, clients and controller cannot
disagree. What must not live here: wire types, SQL, threads, files, numpy.
"""
