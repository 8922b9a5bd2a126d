"""Who did what: one record for each call that changes something, and for each that was denied.

    call ── interceptor ──> Auditor ──> a record ── in the unit of the change itself (`within`)     what people do
                                           │   └── Recorder: log and table, twice a second         what trials do
                                           └────── Folding: like ones become one record            reports; refusals

What is recorded when is decided in `auditor.py`; docs/decisions/0095-audit-records.md says why.
"""
